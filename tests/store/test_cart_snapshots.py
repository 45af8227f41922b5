"""Snapshots: they may lag and come late, they never lead and never go back, and what is lost with one is nothing."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from backend.carts import registry
from backend.carts.documents import SessionDocument
from backend.carts.log import COLLECTION
from backend.kit import mongo
from backend.lifespan import Services
from backend.settings import Settings
from tests.carts import Cart, logged, open_cart, processes
from tests.factories import replay
from tests.proxy import Proxy


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No snapshot is written for its age alone: how fast the machine is decides nothing here."""
    monkeypatch.setattr(registry, "SNAPSHOT_AFTER_S", 3600)


@pytest.fixture(scope="module")
async def three(settings: Settings, database: mongo.Database) -> AsyncIterator[list[Services]]:
    """Three processes."""
    async with processes(database, settings, settings, settings) as services:
        yield services


@pytest.fixture
async def cart(three: list[Services]) -> Cart:
    return await open_cart(three[0])


async def save(services: Services) -> None:
    """Write every snapshot that is not the log's head as far as the process knows it."""
    await services.carts.rooms.save_snapshots(asyncio.get_running_loop().time(), all_dirty=True)


async def saved_seq(cart: Cart) -> int:
    row = await SessionDocument.get_pymongo_collection().find_one({"_id": cart.session_id}, {"seq": 1})
    assert row is not None
    seq: int = row["seq"]
    return seq


async def assert_true_to_the_log(services: Services, database: mongo.Database, cart: Cart) -> None:
    truth = replay(await logged(database, cart.session_id))
    assert msgspec.to_builtins(await cart.seen_by(services)) == msgspec.to_builtins(truth)


class TestLoading:
    async def test_takes_the_snapshot_and_the_tail_past_it(
        self, three: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        one, two, _ = three
        for n in range(4):
            await cart.does(one, f"a{n}", cart.scan(n % 3))
        await save(one)
        for n in range(3):
            await cart.does(one, f"b{n}", cart.scan(n))
        assert await saved_seq(cart) == 6
        await assert_true_to_the_log(two, database, cart)

    async def test_reads_no_event_that_the_snapshot_has(
        self, three: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        """The log's beginning is taken away, which nobody does, to see that it is not needed."""
        one, two, _ = three
        for n in range(4):
            await cart.does(one, f"a{n}", cart.scan(n % 3))
        await save(one)
        await cart.does(one, "b", cart.scan())
        truth = msgspec.to_builtins(replay(await logged(database, cart.session_id)))
        await database[COLLECTION].delete_many({"_id.s": cart.session_id, "_id.n": {"$lte": 6}})
        assert msgspec.to_builtins(await cart.seen_by(two)) == truth

    async def test_needs_no_snapshot(
        self, three: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        one, two, _ = three
        await cart.does(one, "a", cart.scan())
        await save(one)
        await SessionDocument.get_pymongo_collection().delete_one({"_id": cart.session_id})
        await assert_true_to_the_log(two, database, cart)

    async def test_of_what_a_process_has_in_memory_is_brought_up_to_the_log(
        self, three: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        """No phone looks at the cart, so nobody tells the other process of anything."""
        one, two, _ = three
        assert (await cart.seen_by(two)).seq == 2
        await cart.does(one, "a", cart.scan())
        assert (await cart.seen_by(two)).seq == 3
        await assert_true_to_the_log(two, database, cart)


class TestSaving:
    async def test_by_a_slower_process_never_goes_back(
        self, three: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        one, two, new = three
        await cart.does(two, "a", cart.scan())
        for n in range(5):
            await cart.does(one, f"b{n}", cart.scan())
        await save(one)
        assert await saved_seq(cart) == 8
        await cart.does(two, "c", cart.scan())
        await save(two)
        assert await saved_seq(cart) == 9
        await save(one)
        assert await saved_seq(cart) == 9
        await assert_true_to_the_log(new, database, cart)

    async def test_of_an_older_state_beside_a_newer_one_keeps_the_newer(
        self, three: list[Services], cart: Cart
    ) -> None:
        """Both in their own processes, the older one's write last."""
        one, two, _ = three
        await cart.does(two, "a", cart.scan())
        await cart.does(one, "b", cart.scan())
        other = await open_cart(two)
        await save(one)
        before = await SessionDocument.get_pymongo_collection().find_one({"_id": cart.session_id})
        await save(two)
        assert await SessionDocument.get_pymongo_collection().find_one({"_id": cart.session_id}) == before
        assert await saved_seq(other) == 2

    async def test_is_coalesced(self, three: list[Services], cart: Cart, database: mongo.Database) -> None:
        """Forty scans at once are far fewer writes; so many events are never behind."""
        one, *_ = three
        count = registry.SNAPSHOT_AFTER_EVENTS - 24
        await save(one)
        await asyncio.gather(*(cart.does(one, f"a{n}", cart.scan()) for n in range(count)))
        await one.carts.rooms.save_snapshots(0)
        assert await saved_seq(cart) == 2
        await asyncio.gather(*(cart.does(one, f"b{n}", cart.scan()) for n in range(24)))
        await one.carts.rooms.save_snapshots(0)
        assert await saved_seq(cart) == 2 + registry.SNAPSHOT_AFTER_EVENTS

    async def test_lists_the_cart_by_its_fields(self, three: list[Services], cart: Cart) -> None:
        one, *_ = three
        await cart.does(one, "a", cart.scan(1, qty=3))
        await save(one)
        row = await SessionDocument.get(cart.session_id)
        assert row is not None
        assert (row.host_user_id, row.status, row.seq) == (cart.host.user_id, "active", 3)
        assert [member["user_id"] for member in row.participants] == [cart.host.user_id, cart.member.user_id]
        assert [(item["barcode"], item["qty"]) for item in row.items] == [(cart.barcodes[1], 3)]


async def test_a_snapshot_never_leads_the_log(settings: Settings, database: mongo.Database) -> None:
    """A scan is decided, and on its way to mongod, while the snapshot is written."""
    async with Proxy(settings.mongodb_url) as proxy:
        behind_it = msgspec.structs.replace(settings, mongodb_url=proxy.url)
        async with processes(database, behind_it) as (services,):
            cart = await open_cart(services)
            await cart.does(services, "a", cart.scan())
            proxy.requests.hold(to=b"insert")
            scan = asyncio.create_task(cart.does(services, "b", cart.scan()))
            await proxy.requests.caught()
            await save(services)
            assert await saved_seq(cart) == len(await logged(database, cart.session_id)) == 3
            proxy.requests.release()
            assert await scan == 4
            await save(services)
            assert await saved_seq(cart) == 4
