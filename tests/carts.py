"""Carts for tests of what may go wrong: processes of a server, a cart in them, and what they ask of MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from pymongo.monitoring import CommandListener, CommandStartedEvent

from backend import documents
from backend.accounts import Principal
from backend.carts import CartLog, CartState
from backend.carts.commands import AddItem, AnyCommand
from backend.carts.events import Entry
from backend.carts.log import COLLECTION, Outcome
from backend.carts.schemas import JoinIn, StartIn
from backend.kit import mongo
from backend.kit.clock import SystemClock
from backend.kit.ids import new_id
from backend.lifespan import Services, open_services
from backend.settings import Settings
from tests.factories import Shopping
from tests.world import open_store, stock


@asynccontextmanager
async def running_log(database: mongo.Database) -> AsyncIterator[CartLog]:
    """A log with its committer running."""
    cart_log = CartLog(database)
    committer = asyncio.create_task(cart_log.run())
    try:
        yield cart_log
    finally:
        committer.cancel()
        await asyncio.gather(committer, return_exceptions=True)


def append(log: CartLog, *entries: Entry) -> list[asyncio.Future[Outcome]]:
    """The outcomes to be, of entries that are appended at once."""
    outcomes = []
    for entry in entries:
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        log.append(entry, outcome.set_result)
        outcomes.append(outcome)
    return outcomes


async def all_of(outcomes: Iterable[asyncio.Future[Any]]) -> list[Any]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*outcomes)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def entries_of(count: int, session_id: str | None = None) -> list[Entry]:
    """The first entries of a new cart."""
    cart = Shopping()
    for n in range(count - 1):
        cart.scan(n)
    session_id = session_id or new_id("ses")
    return [msgspec.structs.replace(entry, session_id=session_id) for entry in cart.entries]


def first_entry() -> Entry:
    """The first entry of a new cart."""
    return entries_of(1)[0]


def rival_of(entry: Entry) -> Entry:
    """Another process's entry for the same place in the log."""
    return msgspec.structs.replace(entry, w=entry.w + 1, by="usr_rival")


@asynccontextmanager
async def processes(database: mongo.Database, *of: Settings) -> AsyncIterator[list[Services]]:
    """Processes' services in this loop, one a settings. Opened and closed in one task, as their lifespans need.

    Beanie binds its documents once a process, so here all of them use the run's own client for them.
    """
    opened, done = asyncio.Event(), asyncio.Event()
    all_services: list[Services] = []

    async def hold() -> None:
        async with AsyncExitStack() as stack:
            for settings in of:
                services = await stack.enter_async_context(open_services(settings, SystemClock()))
                all_services.append(services)
            await documents.bind(database)
            opened.set()
            await done.wait()

    holder = asyncio.create_task(hold())
    waiter = asyncio.create_task(opened.wait())
    await asyncio.wait([holder, waiter], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield all_services
    finally:
        waiter.cancel()
        done.set()
        await holder


class Cart(NamedTuple):
    """A cart of two, at seq 2, and what can be scanned into it at 1000, 2000 and 4000."""

    session_id: str
    host: Principal
    member: Principal
    barcodes: list[str]

    def scan(self, product: int = 0, qty: int = 1) -> AddItem:
        return AddItem(self.barcodes[product], qty)

    async def does(
        self, services: Services, command_id: str, command: AnyCommand, by: Principal | None = None
    ) -> int:
        """Carry out a command of the host's, or of somebody else's; the seq it became."""
        user_id = (by or self.host).user_id
        async with asyncio.timeout(10):
            seq, _ = await services.carts.command(user_id, self.session_id, command_id, command)
        return seq

    async def seen_by(self, services: Services) -> CartState:
        return await services.carts.current(self.host.user_id, self.session_id)


async def open_cart(services: Services) -> Cart:
    store = await open_store(services)
    products = await stock(services, 1000, 2000, 4000)
    host, member = [await new_guest(services, name) for name in ("Host", "Member")]
    session = await services.carts.start(host, StartIn(store_id=store.store_id))
    assert session.join
    await services.carts.join(member, JoinIn(token=session.join.token))
    return Cart(session.session_id, host, member, [product.barcode for product in products])


async def new_guest(services: Services, name: str) -> Principal:
    return await services.accounts.authenticate((await services.accounts.guest(name)).access_token)


async def logged(database: mongo.Database, session_id: str) -> list[Entry]:
    """The cart's log. Its seqs are checked: 1, 2, 3, and nothing else under this cart's name."""
    under_its_name = await database[COLLECTION].count_documents({"_id.s": session_id})
    entries = await CartLog(database).tail(session_id, 0)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert under_its_name <= len(entries)
    return entries


class LogCommands(CommandListener):
    """Every command that concerns the log, as it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    @property
    def inserts(self) -> list[list[Any]]:
        """The documents of each insert."""
        return [command["documents"] for command in self.sent if "insert" in command]

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get(event.command_name) == COLLECTION:
            self.sent.append(dict(event.command))

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...
