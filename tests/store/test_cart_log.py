"""The log on a real mongod: who wins, what travels together, what is read back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import msgspec
import pytest

from backend.carts import CartLog, store
from backend.carts.log import COMMITTERS, Outcome
from backend.kit import mongo
from backend.kit.ids import new_id
from backend.settings import Settings
from tests.carts import (
    LogCommands,
    all_of,
    append,
    entries_of,
    first_entry,
    open_cart,
    processes,
    rival_of,
    running_log,
)
from tests.factories import Shopping
from tests.proxy import Proxy

APPENDED, TAKEN, REFUSED = Outcome.APPENDED, Outcome.TAKEN, Outcome.REFUSED


@pytest.fixture
async def log(database: mongo.Database) -> AsyncIterator[CartLog]:
    async with running_log(database) as cart_log:
        yield cart_log


class TestAppend:
    async def test_keeps_entries_in_order(self, log: CartLog) -> None:
        entries = entries_of(5)
        for entry in entries:
            assert await all_of(append(log, entry)) == [APPENDED]
        assert await log.tail(entries[0].session_id, 0) == entries
        assert await log.tail(entries[0].session_id, 3) == entries[3:]

    async def test_who_is_first_wins_a_seq(self, log: CartLog) -> None:
        entry = first_entry()
        assert await all_of(append(log, entry)) == [APPENDED]
        assert await all_of(append(log, rival_of(entry))) == [TAKEN]
        assert await log.tail(entry.session_id, 0) == [entry]

    async def test_what_can_never_be_stored_is_refused_and_stops_nobody(self, log: CartLog) -> None:
        wrong = msgspec.structs.replace(first_entry(), seq=0)
        assert await all_of(append(log, wrong, first_entry())) == [REFUSED, APPENDED]

    async def test_the_write_goes_on_when_its_asker_is_gone(self, log: CartLog) -> None:
        entry = first_entry()

        async def ask() -> None:
            await all_of(append(log, entry))

        asker = asyncio.create_task(ask())
        await asyncio.sleep(0)
        asker.cancel()
        await asyncio.gather(asker, return_exceptions=True)
        async with asyncio.timeout(10):
            await log.drained()
        assert await log.tail(entry.session_id, 0) == [entry]

    async def test_an_asker_who_fails_at_the_answer_is_logged_and_stops_nobody(
        self, log: CartLog, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_: Outcome) -> None:
            raise RuntimeError("cannot take it")

        first = append(log, first_entry())
        log.append(first_entry(), fail)
        last = append(log, first_entry())
        assert await all_of([*first, *last]) == [APPENDED, APPENDED]
        await log.drained()
        [told] = [record for record in caplog.records if record.message == "outcome not taken"]
        assert told.exc_info
        assert "cannot take it" in str(told.exc_info[1])


class TestGroups:
    @pytest.fixture
    async def proxy(self, settings: Settings) -> AsyncIterator[Proxy]:
        async with Proxy(settings.mongodb_url) as proxy:
            yield proxy

    @pytest.fixture
    async def used(
        self, settings: Settings, log_commands: LogCommands, proxy: Proxy
    ) -> AsyncIterator[CartLog]:
        """A log that has its connection already; what it sent before is forgotten."""
        client = mongo.connect(proxy.url)
        async with running_log(mongo.open_database(client, settings.qless_database)) as log:
            await all_of(append(log, first_entry()))
            log_commands.sent.clear()
            yield log
        await client.close()

    async def test_are_acknowledged_from_a_majoritys_disks(
        self, used: CartLog, log_commands: LogCommands
    ) -> None:
        await all_of(append(used, first_entry()))
        [insert] = [command for command in log_commands.sent if "insert" in command]
        assert insert["writeConcern"] == {"w": "majority", "j": True}

    async def test_of_one_go_at_once(self, used: CartLog, log_commands: LogCommands) -> None:
        """Before any timer could have rung: the loop turns without ever waiting."""
        outcomes = append(used, first_entry())
        for _ in range(100):
            await asyncio.sleep(0)
        assert [len(documents) for documents in log_commands.inserts] == [1]
        assert await all_of(outcomes) == [APPENDED]

    async def test_are_what_was_decided_while_as_many_as_may_were_on_their_way(
        self, used: CartLog, log_commands: LogCommands, proxy: Proxy
    ) -> None:
        proxy.replies.hold(to=b"insert", times=COMMITTERS)
        outcomes = []
        for number in range(1, COMMITTERS + 1):
            outcomes += append(used, first_entry())
            await proxy.replies.caught(number)
        for _ in range(50):
            outcomes += append(used, first_entry())
            await asyncio.sleep(0)
        proxy.replies.release()
        assert await all_of(outcomes) == [APPENDED] * (COMMITTERS + 50)
        assert [len(documents) for documents in log_commands.inserts] == [1] * COMMITTERS + [50]

    async def test_overtake_one_that_hangs_and_are_all_waited_for(self, used: CartLog, proxy: Proxy) -> None:
        proxy.replies.hold(to=b"insert", times=1)
        hanging = append(used, first_entry())
        await proxy.replies.caught()
        assert await all_of(append(used, first_entry())) == [APPENDED]
        drained = asyncio.create_task(used.drained())
        await asyncio.sleep(0.05)
        assert not drained.done()
        proxy.replies.release()
        assert await all_of(hanging) == [APPENDED]
        await asyncio.wait_for(drained, 5)

    async def test_hold_one_event_of_a_cart_at_most(
        self, settings: Settings, database: mongo.Database, log_commands: LogCommands, proxy: Proxy
    ) -> None:
        """Two carts, ten commands of each at once, while mongod is slow to answer."""
        behind_it = msgspec.structs.replace(settings, mongodb_url=proxy.url)
        async with processes(database, behind_it) as (services,):
            carts = [await open_cart(services) for _ in range(2)]
            log_commands.sent.clear()
            proxy.replies.hold(to=b"insert", times=1)
            scans = [cart.does(services, f"c{n}", cart.scan()) for cart in carts for n in range(10)]
            answers = asyncio.gather(*scans)
            await proxy.replies.caught()
            await asyncio.sleep(0.05)
            proxy.replies.release()
            assert sorted(await answers) == sorted([*range(3, 13)] * 2)
        for documents in log_commands.inserts:
            assert max(Counter(document["_id"]["s"] for document in documents).values()) == 1


class TestHeadCheck:
    async def test_names_the_carts_that_went_on(self, log: CartLog) -> None:
        a, b = entries_of(3), entries_of(3)
        for entry in [*a, *b]:
            await all_of(append(log, entry))
        assert await log.ahead([(a[0].session_id, 3), (b[0].session_id, 2)]) == [b[0].session_id]
        assert await log.ahead([]) == []


async def test_a_snapshot_never_goes_back(database: mongo.Database) -> None:
    cart = Shopping()
    cart.cart.session_id = session_id = new_id("ses")
    older = store.encode_snapshot(cart.cart)
    cart.scan()
    await store.save_snapshots_forward([(session_id, store.encode_snapshot(cart.cart))])
    await store.save_snapshots_forward([(session_id, older)])
    assert await store.load_snapshot(session_id) == cart.state
