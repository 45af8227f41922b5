"""The two levels in front of MongoDB, with real servers: what is read once, held how long, stale how long."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from backend.catalog import Catalog, Product, cache
from backend.errors import ProductNotFound
from backend.kit import mongo, redis
from backend.kit.clock import Clock, SystemClock
from backend.kit.embedded import EmbeddedRedis
from tests.factories import FakeClock
from tests.store.catalog_processes import (
    EAN,
    EAN_8,
    OTHER_EAN,
    Process,
    Reads,
    make_product,
    until,
    watched_products,
)

Start = Callable[..., Process]


@pytest.fixture(autouse=True)
async def reads(database: mongo.Database, mongodb_url: str) -> AsyncIterator[Reads]:
    async with watched_products(database, mongodb_url) as reads:
        yield reads


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def start(redis_server: EmbeddedRedis, clock: FakeClock) -> AsyncIterator[Start]:
    """Starts a process on a Redis that was emptied."""
    async with AsyncExitStack() as stack:
        admin = redis.connect(redis_server.url)
        stack.push_async_callback(admin.connection_pool.disconnect)
        await admin.flushall()

        def start(clock: Clock = clock, client: type[redis.Client] = redis.Client) -> Process:
            process = Process(redis_server.url, clock, client)
            stack.push_async_callback(process.stop)
            return process

        yield start


@pytest.fixture
async def catalog(start: Start) -> Catalog:
    process = await start().listen()
    return process.catalog


class TestReading:
    async def test_a_thousand_misses_at_once_read_once(self, catalog: Catalog, reads: Reads) -> None:
        product = await catalog.put(make_product())
        before = reads.count
        found = await asyncio.gather(*(catalog.find(EAN) for _ in range(1000)))
        assert found == [product] * 1000
        assert reads.count - before == 1

    async def test_the_first_one_leaving_does_not_disturb_the_others(
        self, catalog: Catalog, reads: Reads
    ) -> None:
        product = await catalog.put(make_product())
        before = reads.count
        first, second = (asyncio.create_task(catalog.find(EAN)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == product
        assert first.cancelled()
        assert reads.count - before == 1

    async def test_another_process_is_served_by_redis(
        self, catalog: Catalog, reads: Reads, start: Start
    ) -> None:
        product = await catalog.put(make_product())
        other = await start().listen()
        await other.redis.flushall()
        before = reads.count
        assert await catalog.find(EAN) == await other.catalog.find(EAN) == product
        assert reads.count - before == 1
        assert 3_590_000 < await other.redis.pttl((await other.redis.keys())[0]) <= 3_600_000

    async def test_an_unknown_code_is_read_again_after_half_a_minute(
        self, catalog: Catalog, reads: Reads, clock: FakeClock, start: Start
    ) -> None:
        other = await start().listen()
        for asked in (catalog, catalog, other.catalog):
            with pytest.raises(ProductNotFound):
                await asked.find(EAN)
        assert reads.count == 1
        assert 0 < await other.redis.pttl((await other.redis.keys())[0]) <= 30_000
        clock.advance(seconds=30)
        await other.redis.flushall()
        with pytest.raises(ProductNotFound):
            await catalog.find(EAN)
        assert reads.count == 2


class TestPeek:
    async def test_gives_what_was_found_for_a_minute(self, catalog: Catalog, clock: FakeClock) -> None:
        product = await catalog.put(make_product())
        assert catalog.peek(EAN) is None
        await catalog.find(EAN)
        clock.advance(seconds=59.9)
        assert catalog.peek(EAN) == catalog.peek(f"0{EAN}") == product
        clock.advance(seconds=0.1)
        assert catalog.peek(EAN) is None

    async def test_gives_nothing_for_unknown_and_misread_codes(self, catalog: Catalog) -> None:
        with pytest.raises(ProductNotFound):
            await catalog.find(EAN)
        assert [catalog.peek(text) for text in (EAN, "8901262010024", "hello")] == [None] * 3

    async def test_keeps_what_was_used_last(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache, "MAX_HELD", 2)
        for barcode in (EAN, OTHER_EAN, EAN_8):
            await catalog.put(make_product(barcode))
        for barcode in (EAN, OTHER_EAN, EAN, EAN_8):
            await catalog.find(barcode)
        held = [barcode for barcode in (EAN, OTHER_EAN, EAN_8) if catalog.peek(barcode)]
        assert held == [EAN, EAN_8]


class GatedRedis(redis.Client):
    """Shelves nothing until its gate is opened: a process that is slow between reading and shelving."""

    gate: asyncio.Event

    async def set(self, *args: Any, **options: Any) -> Any:
        await self.gate.wait()
        return await super().set(*args, **options)


class TestChangeElsewhere:
    async def changed(self, changer: Process, product: Product) -> Product:
        return await changer.catalog.put(
            msgspec.structs.replace(product, price_minor=product.price_minor + 1)
        )

    async def test_shows_within_a_second(self, start: Start) -> None:
        changer = await start(SystemClock()).listen()
        product = await changer.catalog.put(make_product())
        watcher = await start(SystemClock()).listen()
        for _ in range(20):
            await watcher.catalog.find(EAN)
            assert watcher.catalog.peek(EAN) == product
            product = await self.changed(changer, product)
            assert await until(lambda: watcher.catalog.peek(EAN) is None) < 1
            assert await watcher.catalog.find(EAN) == product

    async def test_shows_within_a_second_while_the_bus_is_cut(self, start: Start, clock: FakeClock) -> None:
        changer, deaf = await start().listen(), start()
        product = await changer.catalog.put(make_product())
        assert await deaf.catalog.find(EAN) == product
        product = await self.changed(changer, product)
        clock.advance(seconds=1)
        assert await deaf.catalog.find(EAN) == product

    async def test_shows_when_the_bus_is_back(self, start: Start) -> None:
        changer = await start().listen()
        product = await changer.catalog.put(make_product())
        watcher = await start().listen()
        assert await watcher.catalog.find(EAN) == watcher.catalog.peek(EAN)
        await watcher.redis.client_kill_filter(_type="pubsub")
        await until(lambda: not watcher.bus.connected)
        product = await self.changed(changer, product)
        await until(lambda: watcher.bus.connected and watcher.catalog.peek(EAN) is None)
        assert await watcher.catalog.find(EAN) == product

    @pytest.mark.parametrize("cut", [False, True], ids=["told by the bus", "told when the bus is back"])
    async def test_a_reading_that_began_before_is_answered_but_not_kept(
        self, start: Start, cut: bool
    ) -> None:
        GatedRedis.gate = asyncio.Event()
        changer, slow = await start().listen(), start(client=GatedRedis)
        old = await changer.catalog.put(make_product())
        await changer.redis.flushall()
        if not cut:
            await slow.listen()
        finding = asyncio.create_task(slow.catalog.find(EAN))
        await asyncio.sleep(0.1)
        new = await self.changed(changer, old)
        await (slow.listen() if cut else asyncio.sleep(0.1))
        GatedRedis.gate.set()
        assert await finding == old
        assert slow.catalog.peek(EAN) is None
        assert await slow.catalog.find(EAN) == await changer.catalog.find(EAN) == new

    async def test_is_told_later_when_redis_did_not_hear_of_it(self, start: Start) -> None:
        changer = await start(SystemClock()).listen()
        product = await changer.catalog.put(make_product())
        watcher = await start(SystemClock()).listen()
        await changer.redis.flushall()
        assert await watcher.catalog.find(EAN) == watcher.catalog.peek(EAN) == product
        await watcher.redis.client_pause(1500)
        product = await self.changed(changer, product)
        for _ in range(100):
            if await watcher.catalog.find(EAN) == product:
                break
            await asyncio.sleep(0.05)
        assert watcher.catalog.peek(EAN) == product

    async def test_a_code_can_move_to_another_product(self, catalog: Catalog, start: Start) -> None:
        old = await catalog.put(make_product(EAN, EAN_8))
        other = (await start().listen()).catalog
        assert await other.find(EAN_8) == old
        await catalog.put(msgspec.structs.replace(old, codes=old.codes[:1]))
        await until(lambda: other.peek(EAN_8) is None)
        with pytest.raises(ProductNotFound):
            await other.find(EAN_8)
        new = await catalog.put(make_product(OTHER_EAN, EAN_8))
        await asyncio.sleep(0.2)
        assert await other.find(EAN_8) == await catalog.find(EAN_8) == new


class TestWithoutRedis:
    async def test_look_ups_and_changes_go_on(
        self, redis_server: EmbeddedRedis, start: Start, clock: FakeClock
    ) -> None:
        here, there = await start().listen(), await start().listen()
        product = await here.catalog.put(make_product())
        await there.catalog.find(EAN)
        redis_server.stop()
        await until(lambda: not there.bus.connected)
        product = await here.catalog.put(msgspec.structs.replace(product, price_minor=1))
        began = time.monotonic()
        for _ in range(50):
            clock.advance(seconds=1)
            assert await there.catalog.find(EAN) == product
        assert time.monotonic() - began < 2
        redis_server.start()
        await until(lambda: here.bus.connected and there.bus.connected, within_s=20)
        assert await there.catalog.find(EAN) == await here.catalog.find(EAN) == product

    async def test_a_silent_redis_delays_by_its_time_out_once(self, start: Start) -> None:
        process = await start(SystemClock()).listen()
        product = await process.catalog.put(make_product())
        await process.redis.client_pause(1900)
        began = time.monotonic()
        assert await process.catalog.find(EAN) == product
        with pytest.raises(ProductNotFound):
            await process.catalog.find(OTHER_EAN)
        assert 0.9 < time.monotonic() - began < 1.5
