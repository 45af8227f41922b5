"""What the clients do, and the carts they do it in.

To have the clients do more, write an operation here and add it to `OPERATIONS`; `checker.EFFECTS` must know what an
accepted one does to the quantities.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.chaos.machines import Machines
from tests.chaos.phone import ChaosPhone, Client, Failed
from tests.chaos.screen import Frame
from tests.chaos.till import HttpShopper
from tests.world import Person, guest

STORE = "store_demo_blr"


@dataclass(frozen=True)
class Goods:
    """What the demo store sells: price by barcode, in minor units."""

    prices: dict[str, int]

    @property
    def barcodes(self) -> list[str]:
        return list(self.prices)

    def only(self, products: int) -> "Goods":
        """So many of them."""
        return Goods(dict(list(self.prices.items())[:products]))


Wish = dict[str, Any]
"""A command without its id."""
Operation = Callable[[Client, random.Random, Sequence[str]], Wish | None]
"""Thinks of something to do at this screen; None where nothing of the kind can be done."""


def add(_: Client, dice: random.Random, barcodes: Sequence[str]) -> Wish:
    return {"kind": "add", "barcode": dice.choice(barcodes), "qty": dice.randint(1, 3)}


def set_quantity(client: Client, dice: random.Random, _: Sequence[str]) -> Wish | None:
    line_id = _any_line(client, dice)
    return line_id and {"kind": "set_quantity", "line_id": line_id, "qty": dice.randint(1, 9)}


def remove(client: Client, dice: random.Random, _: Sequence[str]) -> Wish | None:
    line_id = _any_line(client, dice)
    return line_id and {"kind": "remove", "line_id": line_id}


def _any_line(client: Client, dice: random.Random) -> Any:
    lines = list(client.screen.lines)
    return dice.choice(lines) if lines else None


OPERATIONS: dict[Operation, int] = {add: 6, set_quantity: 2, remove: 2}
"""With how often each is done, in parts of their sum."""
SENT_TWICE = 0.05
BURST = 0.1
"""How often three scans are sent before the first is answered."""


async def shop(client: Client, dice: random.Random, barcodes: Sequence[str], operations: int) -> None:
    """Do so many random things, mostly one after the other."""
    done = 0
    while done < operations:
        wishes = [_wish(client, dice, barcodes)]
        if dice.random() < BURST:
            wishes = [add(client, dice, barcodes) for _ in range(min(3, operations - done))]
        twice = dice.random() < SENT_TWICE
        await asyncio.gather(*(client.do(twice=twice, **wish) for wish in wishes))
        done += len(wishes)


def _wish(client: Client, dice: random.Random, barcodes: Sequence[str]) -> Wish:
    (operation,) = dice.choices(list(OPERATIONS), list(OPERATIONS.values()))
    return operation(client, dice, barcodes) or add(client, dice, barcodes)


@dataclass(frozen=True)
class Family:
    """One cart and who shops in it."""

    session_id: str
    people: list[Person]

    @property
    def host(self) -> Person:
        return self.people[0]


async def goods_of(url: str) -> Goods:
    async with httpx.AsyncClient(base_url=url, timeout=20) as web:
        answer = await web.get("/products", params={"page_size": 100})
    return Goods({product["barcode"]: product["price_minor"] for product in answer.json()["items"]})


async def new_family(web: httpx.AsyncClient, members: int) -> Family:
    """A new cart in the demo store with so many guests."""
    host = await guest(web, "Host")
    session = await host.post("/session/start", {"store_id": STORE, "budget_limit_minor": 500_000})
    people = [host]
    for n in range(1, members):
        member = await guest(web, f"Member {n}")
        await member.post("/session/join", {"token": session["join"]["token"]})
        people.append(member)
    return Family(session["session_id"], people)


class Crowd:
    """All clients of a run, shopping until they are told to end."""

    def __init__(self, seed: str, barcodes: Sequence[str]) -> None:
        self.phones: list[ChaosPhone] = []
        self.tills: list[HttpShopper] = []
        self.barcodes = list(barcodes)
        self._seed = seed
        self._shopping: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()

    @property
    def clients(self) -> list[ChaosPhone | HttpShopper]:
        return [*self.phones, *self.tills]

    def begin(self, pause_s: float, every: int = 1) -> None:
        """Every client shops, or each so many-th phone, resting up to twice `pause_s` between two things."""
        shoppers = list(enumerate(self.phones))[::every]
        self._shopping += [
            *(asyncio.create_task(self._shop(phone, n, pause_s)) for n, phone in shoppers),
            *(asyncio.create_task(self._scan(till, n, pause_s)) for n, till in enumerate(self.tills)),
        ]

    async def _shop(self, phone: ChaosPhone, n: int, pause_s: float) -> None:
        dice = random.Random(f"{self._seed} phone {n}")
        while not self._over.is_set():
            await shop(phone, dice, self.barcodes, 1)
            await asyncio.sleep(dice.uniform(0, 2 * pause_s))

    async def _scan(self, till: HttpShopper, n: int, pause_s: float) -> None:
        dice = random.Random(f"{self._seed} till {n}")
        while not self._over.is_set():
            await till.do("add", barcode=dice.choice(self.barcodes), qty=dice.randint(1, 3))
            await asyncio.sleep(dice.uniform(0, 2 * pause_s))

    async def end(self) -> None:
        """Nobody begins anything new; returns when everything begun has its answer."""
        self._over.set()
        await asyncio.gather(*self._shopping)

    def cancel(self) -> None:
        for task in self._shopping:
            task.cancel()

    async def goes_on(self, since: float, within_s: float, written_before_s: float = 0.0) -> float:
        """Wait until a command is acknowledged in every cart; how long after `since` that was.

        Args:
            written_before_s: acknowledgements of so long after `since` may be of what was written before.

        Raises:
            Failed: it took longer than `within_s`, or a client gave up.
        """
        carts = {client.session_id for client in self.clients}
        while time.monotonic() - since < within_s:
            for task in self._shopping:
                if task.done():
                    task.result()
            after = since + written_before_s
            if carts == {client.session_id for client in self.clients if client.latest > after}:
                return time.monotonic() - since
            await asyncio.sleep(0.02)
        raise Failed(f"In some cart nothing was acknowledged within {within_s:g} s.")


def spread(machines: Machines, n: int) -> list[str]:
    """The servers in the order in which client number `n` tries them first."""
    urls = machines.urls
    return urls[n % len(urls) :] + urls[: n % len(urls)]


def is_refused(answer: Frame) -> bool:
    return bool(answer["type"] == "error")
