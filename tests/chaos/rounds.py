"""One round: carts and clients, something that goes wrong meanwhile, and the judgement."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern

from tests.chaos import diary
from tests.chaos.checker import LINE_GONE, Cart, Document, judge, seq_of
from tests.chaos.machines import Machines
from tests.chaos.phone import ChaosPhone
from tests.chaos.shopping import Crowd, Family, Goods, goods_of, new_family, spread
from tests.chaos.till import HttpShopper

SETTLES_WITHIN_S = 10.0
"""How long the screens may take to be equal once everything runs and nobody shops."""
SHOWN = 20
"""Findings that a failure prints."""


@dataclass
class Plan:
    """How large a run is, and where its random choices come from.

    The same seed brings the same choices; what they meet is up to the machine.
    """

    name: str
    seed: int
    full: bool
    lines: list[str]
    """What is told at the end of the whole run."""

    @property
    def lasts_s(self) -> float:
        """How long a run may take before it is ended."""
        return 4 * 3600 if self.full else 300

    def count(self, quick: int, full: int) -> int:
        return full if self.full else quick

    def dice(self, what: str = "") -> random.Random:
        return random.Random(f"{self.seed} {self.name} {what}")

    def tell(self, goal: str, **figures: object) -> None:
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
        self.lines.append(f"{goal}: {said}; --seed {self.seed}")


@dataclass(frozen=True)
class Size:
    """Who shops in a round.

    Attributes:
        phones: of each member; the last member scans over HTTP besides, if `till`.
        pause_s: the mean rest of each client between two things.
        lookers: only those shop who begin at the first server; the others, at the second, look on.
    """

    carts: int
    members: int
    pause_s: float
    phones: int = 1
    till: bool = True
    lookers: bool = False


async def read_log(machines: Machines, session_id: str) -> list[Document]:
    """The raw documents of a cart, in the order of seq; whatever names the cart, in whatever form."""
    async with AsyncMongoClient[Document](machines.mongo.url, timeoutMS=30_000) as client:
        events = client[machines.database].get_collection("cart_events", read_concern=ReadConcern("majority"))
        found = await events.find({"_id.s": session_id}).to_list()
    return sorted(found, key=seq_of)


@asynccontextmanager
async def crowd_in(
    machines: Machines, families: Sequence[Family], goods: Goods, size: Size, seed: str, folder: Path
) -> AsyncIterator[Crowd]:
    """Clients of these carts, spread over the servers; they hang up when the block ends.

    Args:
        folder: for their diaries; it is made.
    """
    crowd = Crowd(seed, goods.barcodes)
    os.mkdir(folder)
    try:
        for family in families:
            for person in family.people * size.phones:
                n = len(crowd.phones)
                phone = ChaosPhone(
                    f"p{n}", person, family.session_id, spread(machines, n), folder, f"{seed} {n}"
                )
                crowd.phones.append(phone)
            if size.till:
                name = f"t{len(crowd.tills)}"
                till = HttpShopper(
                    name, family.people[-1], family.session_id, machines.urls, folder, f"{seed} {name}"
                )
                crowd.tills.append(till)
        await asyncio.gather(*(phone.reaches(1, SETTLES_WITHIN_S) for phone in crowd.phones))
        yield crowd
    finally:
        crowd.cancel()
        ended = [client.hang_up() for client in crowd.clients]
        await asyncio.gather(*ended, return_exceptions=True)


async def settle(machines: Machines, crowd: Crowd, session_ids: Sequence[str]) -> None:
    """Wait until every screen of these carts is where the log is.

    Raises:
        Failed: one is not.
    """
    for session_id in session_ids:
        head = seq_of((await read_log(machines, session_id))[-1])
        looking = [phone for phone in crowd.phones if phone.session_id == session_id]
        await asyncio.gather(*(phone.reaches(head, SETTLES_WITHIN_S) for phone in looking))


async def shop_through(
    machines: Machines,
    size: Size,
    seed: str,
    folder: Path,
    trouble: Callable[[Crowd], Awaitable[None]],
) -> list[Cart]:
    """Families shop while there is trouble, and until it is over; then judge. The evidence, found in order.

    Raises:
        AssertionError: something is wrong with a cart.
        Failed: a client was left without an answer, or a screen behind.
    """
    goods = await goods_of(machines.urls[0])
    async with httpx.AsyncClient(base_url=machines.urls[0], timeout=20) as web:
        families = [await new_family(web, size.members) for _ in range(size.carts)]
    async with crowd_in(machines, families, goods, size, seed, folder) as crowd:
        crowd.begin(size.pause_s, every=len(machines.servers) if size.lookers else 1)
        await trouble(crowd)
        await crowd.end()
        await settle(machines, crowd, [family.session_id for family in families])
    return await judged(machines, families, goods, folder)


async def judged(
    machines: Machines,
    families: Sequence[Family],
    goods: Goods,
    folder: Path,
    refusals: frozenset[str] = frozenset({LINE_GONE}),
) -> list[Cart]:
    """The evidence of these carts.

    Raises:
        AssertionError: something is wrong.
    """
    diaries = diary.read_all(folder)
    carts, findings = [], []
    for family in families:
        log = await read_log(machines, family.session_id)
        cart = Cart(log, [each for each in diaries if each.session_id == family.session_id])
        findings += judge(cart, goods.prices, refusals)
        carts.append(cart)
    assert not findings, "\n".join([f"{len(findings)} findings; diaries in {folder}", *findings[:SHOWN]])
    return carts


def acknowledged(carts: Sequence[Cart]) -> int:
    """How many commands were acknowledged."""
    return sum(
        len({record["frame"]["id"] for record in each.records if _is_ack(record)})
        for cart in carts
        for each in cart.diaries
    )


def _is_ack(record: diary.Record) -> bool:
    return bool(record["is"] == "got" and record["frame"]["type"] == "ack")


def resent(carts: Sequence[Cart]) -> int:
    """How many frames went out again."""
    sent = [
        (each.client, record["frame"]["id"])
        for cart in carts
        for each in cart.diaries
        for record in each.records
        if record["is"] == "sent" and "id" in record["frame"]
    ]
    return len(sent) - len(set(sent))
