"""The log on a real mongod: who wins, what is known, what is read back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import WriteError
from pymongo.monitoring import CommandListener, CommandStartedEvent

from backend.carts import store
from backend.carts.events import Entry, to_document
from backend.carts.log import COLLECTION, CartLog, Outcome
from backend.kit import mongo
from backend.kit.ids import new_id
from backend.settings import Settings
from tests.factories import Shopping


@pytest.fixture
async def log(database: mongo.Database) -> AsyncIterator[CartLog]:
    """A log with its committer running."""
    cart_log = CartLog(database)
    committer = asyncio.create_task(cart_log.run())
    yield cart_log
    committer.cancel()
    await asyncio.gather(committer, return_exceptions=True)


def entries_of(count: int) -> list[Entry]:
    """The first entries of a new cart."""
    cart = Shopping()
    for n in range(count - 1):
        cart.scan(n)
    session_id = new_id("ses")
    return [msgspec.structs.replace(entry, session_id=session_id) for entry in cart.entries]


async def append(log: CartLog, *entries: Entry) -> list[Outcome]:
    """The outcomes of entries that are appended at once."""
    outcomes: list[asyncio.Future[Outcome]] = []
    for entry in entries:
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        log.append(entry, outcome.set_result)
        outcomes.append(outcome)
    return await asyncio.wait_for(asyncio.gather(*outcomes), 10)


class TestAppend:
    async def test_keeps_entries_in_order(self, log: CartLog) -> None:
        entries = entries_of(5)
        for entry in entries:
            assert await append(log, entry) == [Outcome.APPENDED]
        assert await log.tail(entries[0].session_id, 0) == entries
        assert await log.tail(entries[0].session_id, 3) == entries[3:]

    async def test_who_is_first_wins_a_seq(self, log: CartLog) -> None:
        entry = entries_of(1)[0]
        other = msgspec.structs.replace(entry, w=entry.w + 1, by="usr_other")
        assert await append(log, entry) == [Outcome.APPENDED]
        assert await append(log, other) == [Outcome.TAKEN]
        assert await log.tail(entry.session_id, 0) == [entry]

    async def test_the_identical_document_is_recognised_as_ours(self, log: CartLog) -> None:
        entry = entries_of(1)[0]
        assert await append(log, entry) == [Outcome.APPENDED]
        assert await append(log, entry) == [Outcome.APPENDED]

    async def test_a_duplicate_in_a_batch_leaves_the_others_written(self, log: CartLog) -> None:
        taken, *others = [entries_of(1)[0] for _ in range(4)]
        await append(log, taken)
        late = msgspec.structs.replace(taken, w=taken.w + 1)
        outcomes = await append(log, others[0], late, others[1], others[2])
        assert outcomes == [Outcome.APPENDED, Outcome.TAKEN, Outcome.APPENDED, Outcome.APPENDED]
        for entry in others:
            assert await log.tail(entry.session_id, 0) == [entry]

    async def test_what_can_never_be_stored_is_refused_and_stops_nobody(self, log: CartLog) -> None:
        wrong = msgspec.structs.replace(entries_of(1)[0], seq=0)
        right = entries_of(1)[0]
        assert await append(log, wrong, right) == [Outcome.REFUSED, Outcome.APPENDED]

    async def test_the_write_goes_on_when_its_asker_is_gone(self, log: CartLog) -> None:
        entry = entries_of(1)[0]
        asker = asyncio.create_task(append(log, entry))
        await asyncio.sleep(0)
        asker.cancel()
        await asyncio.gather(asker, return_exceptions=True)
        await asyncio.wait_for(log.drained(), 10)
        assert await log.tail(entry.session_id, 0) == [entry]


class Inserts(CommandListener):
    """Counts the inserts into the log and how many documents each carried."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "insert" and event.command["insert"] == COLLECTION:
            self.sizes.append(len(event.command["documents"]))

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


async def test_what_is_decided_during_a_commit_travels_together(
    settings: Settings, database: mongo.Database
) -> None:
    inserts = Inserts()
    client: mongo.Client = AsyncMongoClient(settings.mongodb_url, event_listeners=[inserts], tz_aware=True)
    log = CartLog(mongo.open_database(client, settings.qless_database))
    committer = asyncio.create_task(log.run())
    first = asyncio.create_task(append(log, entries_of(1)[0]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.gather(first, append(log, *(entries_of(1)[0] for _ in range(50))))
    committer.cancel()
    await client.close()
    assert sum(inserts.sizes) == 51
    assert len(inserts.sizes) <= 3


class TestHeadCheck:
    async def test_names_the_carts_that_went_on(self, log: CartLog) -> None:
        a, b = entries_of(3), entries_of(3)
        for entry in [*a, *b]:
            await append(log, entry)
        assert await log.ahead([(a[0].session_id, 3), (b[0].session_id, 2)]) == [b[0].session_id]
        assert await log.ahead([]) == []


async def test_reading_a_tail_touches_no_other_carts(log: CartLog, database: mongo.Database) -> None:
    entries = entries_of(5)
    for entry in [*entries, *entries_of(5)]:
        await append(log, entry)
    session_id = entries[0].session_id
    bounds = {"$gt": {"s": session_id, "n": 0}, "$lte": {"s": session_id, "n": 2**31 - 1}}
    plan = await database.command(
        {"explain": {"find": COLLECTION, "filter": {"_id": bounds}}, "verbosity": "executionStats"}
    )
    assert plan["executionStats"]["totalDocsExamined"] == 5


async def test_the_collection_refuses_keys_of_another_form(database: mongo.Database) -> None:
    document = to_document(entries_of(1)[0])
    for key in [{"s": "x", "n": 1.0}, {"s": "x", "n": 1, "z": 1}, {"s": "x"}, {"s": 1, "n": 1}]:
        with pytest.raises(WriteError):
            await database[COLLECTION].insert_one({**document, "_id": key})


async def test_a_snapshot_never_goes_back(database: mongo.Database) -> None:
    cart = Shopping()
    cart.cart.session_id = session_id = new_id("ses")
    older = store.encode_snapshot(cart.cart)
    cart.scan()
    await store.save_snapshots_forward([(session_id, store.encode_snapshot(cart.cart))])
    await store.save_snapshots_forward([(session_id, older)])
    assert await store.load_snapshot(session_id) == cart.state
