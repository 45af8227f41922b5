"""Many open carts, put into the database at once: one cart is really made, the others are copies of its snapshot.

Opening ten thousand carts by HTTP takes minutes, most of them for drawing the QR codes of their join links. Each
copy has a host and a login of its own, and differs from a cart of a server that was restarted by one thing: its
log before the snapshot is not copied, as nothing reads it.
"""

from datetime import timedelta
from typing import NamedTuple

import msgspec

from backend.accounts import Kind, Principal
from backend.accounts.documents import LoginDocument, UserDocument
from backend.accounts.tokens import AccessTokens
from backend.carts import store
from backend.carts.commands import AddItem
from backend.carts.schemas import StartIn
from backend.carts.state import CartState, answer_key
from backend.kit.clock import SystemClock
from backend.kit.ids import new_id
from backend.kit.secrets import Keyring
from backend.lifespan import open_services
from backend.settings import Settings
from scripts.benchmarks.drivers import BUDGET_MINOR, Way, hello
from scripts.benchmarks.servers import STORE

AT_ONCE = 1_000


class _Person(NamedTuple):
    user: UserDocument
    login: LoginDocument


async def seed_carts(settings: Settings, barcodes: list[str], carts: int) -> list[Way]:
    """So many carts with a line of each barcode; gives the way into each."""
    clock = SystemClock()
    tokens = AccessTokens(settings, clock, Keyring(settings.qless_secret))
    ways: list[Way] = []
    async with open_services(settings, clock) as services:
        host = Principal(new_id("usr"), new_id("lgn"), Kind.GUEST, "Asha", ())
        start = StartIn(store_id=STORE.store_id, budget_limit_minor=BUDGET_MINOR)
        session_id = (await services.carts.start(host, start)).session_id
        for barcode in barcodes:
            await services.carts.command(host.user_id, session_id, new_id("cmd"), AddItem(barcode, 1))
        made = await services.carts.current(host.user_id, session_id)
        for begun in range(0, carts, AT_ONCE):
            people = [_person(made) for _ in range(min(AT_ONCE, carts - begun))]
            states = [_copy(made, person.user.id) for person in people]
            await UserDocument.insert_many([person.user for person in people])
            await LoginDocument.insert_many([person.login for person in people])
            await store.save_snapshots_forward([(s.session_id, store.encode_snapshot(s)) for s in states])
            for person, state in zip(people, states, strict=True):
                token = tokens.issue(person.user.id, person.login.id)
                ways.append(Way(f"/ws/cart/{state.session_id}", hello(token), token))
    return ways


def _person(made: CartState) -> _Person:
    user_id, login_id = new_id("usr"), new_id("lgn")
    user = UserDocument(id=user_id, kind=Kind.GUEST, name="Asha", created_at=made.started_at)
    expires_at = made.started_at + timedelta(hours=2)
    login = LoginDocument(
        id=login_id,
        user_id=user_id,
        device="Benchmark",
        network="",
        begun_at=made.started_at,
        refresh_digest=login_id,
        expires_at=expires_at,
    )
    return _Person(user, login)


def _copy(made: CartState, host: str) -> CartState:
    """The same cart of somebody else, its commands' ids new."""
    replace = msgspec.structs.replace
    [member] = made.members.values()
    return replace(
        made,
        session_id=new_id("ses"),
        host=host,
        members={host: replace(member, user_id=host)},
        lines={line_id: replace(line, added_by=host) for line_id, line in made.lines.items()},
        answers={answer_key(host, new_id("cmd")): answer for answer in made.answers.values()},
    )
