"""Two processes on one cart: whatever the members do at once, the log, the acks and every screen agree."""

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from backend import documents, errors
from backend.accounts import Accounts, Principal
from backend.carts import CartLog
from backend.carts.commands import AddItem, AnyCommand, LeaveSession, RemoveItem, SetQuantity
from backend.carts.log import COLLECTION
from backend.carts.schemas import JoinIn, StartIn
from backend.kit import mongo
from backend.kit.clock import SystemClock
from backend.lifespan import Services, open_services
from backend.settings import Settings
from tests.factories import replay
from tests.world import open_store, stock

MEMBERS = 8
OPERATIONS = 40
SEEDS = [1, 2, 3]


@pytest.fixture
async def processes(settings: Settings, database: mongo.Database) -> AsyncIterator[list[Services]]:
    """Two processes' services in this loop. They hear each other by Redis, as real ones do."""
    opened, done = asyncio.Event(), asyncio.Event()
    both: list[Services] = []

    async def hold() -> None:
        async with (
            open_services(settings, SystemClock()) as one,
            open_services(settings, SystemClock()) as two,
        ):
            both.extend([one, two])
            await documents.bind(database)
            opened.set()
            await done.wait()

    holder = asyncio.create_task(hold())
    await opened.wait()
    yield both
    done.set()
    await holder


async def family_of(services: Services, count: int, token: str) -> list[Principal]:
    """Guests who joined a cart."""
    members = []
    for n in range(count):
        member = await new_guest(services.accounts, f"Member {n}")
        await services.carts.join(member, JoinIn(token=token))
        members.append(member)
    return members


async def new_guest(accounts: Accounts, name: str) -> Principal:
    return await accounts.authenticate((await accounts.guest(name)).access_token)


class Member:
    """Does random things through random processes, and keeps what it was told."""

    def __init__(
        self, who: Principal, processes: list[Services], session_id: str, rng: random.Random
    ) -> None:
        self.who, self.processes, self.session_id, self.rng = who, processes, session_id, rng
        self.acked: dict[str, int] = {}

    async def run(self, barcodes: list[str]) -> None:
        for n in range(OPERATIONS):
            command = self._anything(barcodes)
            for _ in range(self.rng.choice([1, 1, 2])):
                await self._send(f"{n}", command)

    def _anything(self, barcodes: list[str]) -> AnyCommand:
        line_id = f"l{self.rng.randint(2, 60)}"
        choices: list[AnyCommand] = [
            AddItem(self.rng.choice(barcodes), self.rng.randint(1, 3)),
            AddItem(self.rng.choice(barcodes), 1),
            SetQuantity(line_id, self.rng.randint(1, 9)),
            RemoveItem(line_id),
        ]
        return self.rng.choice(choices)

    async def _send(self, command_id: str, command: AnyCommand) -> None:
        carts = self.rng.choice(self.processes).carts
        try:
            seq, _ = await carts.command(self.who.user_id, self.session_id, command_id, command)
        except errors.LineNotFound:
            return
        assert self.acked.setdefault(command_id, seq) == seq


@pytest.mark.parametrize("seed", SEEDS)
async def test_acks_log_and_states_agree(
    processes: list[Services], database: mongo.Database, seed: int
) -> None:
    one, two = processes
    rng = random.Random(seed)
    store = await open_store(one)
    barcodes = [product.barcode for product in await stock(one, 100, 250, 999)]
    host = await new_guest(one.accounts, "Host")
    session = await one.carts.start(host, StartIn(store_id=store.store_id, budget_limit_minor=50_000))
    assert session.join
    people = [host, *await family_of(two, MEMBERS - 1, session.join.token)]
    members = [Member(who, processes, session.session_id, random.Random(rng.random())) for who in people]
    await asyncio.gather(*(member.run(barcodes) for member in members))

    entries = await CartLog(database).tail(session.session_id, 0)
    told = {(m.who.user_id, command_id): seq for m in members for command_id, seq in m.acked.items()}
    logged = {(e.by, e.command_id): e.seq for e in entries if (e.by, e.command_id) in told}
    assert told == logged
    assert len({(entry.by, entry.command_id) for entry in entries}) == len(entries)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert await database[COLLECTION].count_documents({"_id.s": session.session_id}) == len(entries)
    truth = msgspec.to_builtins(replay(entries))
    for process in processes:
        assert msgspec.to_builtins(await process.carts.current(host.user_id, session.session_id)) == truth


async def test_a_snapshot_and_its_tail_give_the_state(processes: list[Services]) -> None:
    one, two = processes
    store = await open_store(one)
    (product,) = await stock(one, 100)
    host = await new_guest(one.accounts, "Host")
    session = await one.carts.start(host, StartIn(store_id=store.store_id))
    for n in range(5):
        await one.carts.command(host.user_id, session.session_id, f"a{n}", AddItem(product.barcode, 1))
    await one.carts.rooms.save_snapshots(0, all_dirty=True)
    for n in range(3):
        await one.carts.command(host.user_id, session.session_id, f"b{n}", AddItem(product.barcode, 1))
    loaded = await two.carts.current(host.user_id, session.session_id)
    assert loaded == await one.carts.current(host.user_id, session.session_id)
    assert loaded.totals.total_minor == 800
    again, _ = await two.carts.command(host.user_id, session.session_id, "a0", AddItem(product.barcode, 1))
    assert again == 2


async def test_a_process_that_lags_takes_nothing_for_done_that_was_undone(processes: list[Services]) -> None:
    one, two = processes
    store = await open_store(one)
    host, member = await new_guest(one.accounts, "Host"), await new_guest(one.accounts, "Member")
    session = await one.carts.start(host, StartIn(store_id=store.store_id))
    assert session.join
    way_in = JoinIn(token=session.join.token)
    await one.carts.join(member, way_in)
    await two.carts.command(member.user_id, session.session_id, "bye", LeaveSession())
    joined = await one.carts.join(member, way_in)
    assert member.user_id in {participant.user_id for participant in joined.participants}
