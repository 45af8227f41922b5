"""Side effects on a real mongod: written with their cause, carried out, whatever happens to whoever does it."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from backend.kit import mongo, outbox
from backend.kit.ids import new_id
from backend.kit.outbox import LEASE_S, MAX_BACKOFF_S, Outbox, OutboxDocument
from tests.factories import FakeClock

PATIENCE_S = 10


class Recorder:
    """A handler that remembers what it carried out, and fails or waits when told."""

    def __init__(self) -> None:
        self.handled: list[Any] = []
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failures = 0

    async def __call__(self, payload: dict[str, Any]) -> None:
        self.began.set()
        await self.go_on.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("the mail server is away")
        self.handled.append(payload["n"])


class Setting:
    """A kind of rows that is this test's own, and the processes that know it."""

    def __init__(self, database: mongo.Database, clock: FakeClock) -> None:
        self.database = database
        self.client = database.client
        self.clock = clock
        self.kind = new_id("test")

    def process(self, handler: Callable[[dict[str, Any]], Awaitable[None]] | None = None) -> Outbox:
        made = Outbox(self.clock)
        if handler is not None:
            made.on(self.kind, handler)
        return made

    async def add(self, *numbers: int, **more: Any) -> None:
        async def work(session: mongo.Session) -> None:
            for n in numbers:
                await self.process().add(session, self.kind, {"n": n}, **more)

        await mongo.in_transaction(self.client, work)

    async def rows(self) -> list[dict[str, Any]]:
        return await OutboxDocument.get_pymongo_collection().find({"kind": self.kind}).to_list()

    async def done(self) -> bool:
        return not any(row.get("pending") for row in await self.rows())


@pytest.fixture
async def setting(database: mongo.Database, clock: FakeClock) -> Setting:
    return Setting(database, clock)


@asynccontextmanager
async def at_work(*processes: Outbox) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Their loops running."""
    tasks = [asyncio.create_task(process.run(kind)) for process in processes for kind in process.kinds]
    try:
        yield tasks
    finally:
        for task in tasks:
            await cancelled(task)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """End a task as the lifespan does: a cancellation that a driver lost is repeated."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.5)
    with contextlib.suppress(asyncio.CancelledError):
        task.result()


async def until(happens: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await happens():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


class TestAdd:
    async def test_in_a_transaction_that_fails_leaves_nothing(self, setting: Setting) -> None:
        async def work(session: mongo.Session) -> None:
            await setting.process().add(session, setting.kind, {"n": 1})
            raise ValueError("something else was wrong")

        with pytest.raises(ValueError, match="something else"):
            await mongo.in_transaction(setting.client, work)
        assert await setting.rows() == []
        assert not await setting.process(Recorder()).work_one(setting.kind)

    async def test_is_seen_by_nobody_before_the_commit(self, setting: Setting) -> None:
        handler = Recorder()

        async def work(session: mongo.Session) -> None:
            await setting.process().add(session, setting.kind, {"n": 1})
            assert not await setting.process(handler).work_one(setting.kind)

        await mongo.in_transaction(setting.client, work)
        assert await setting.process(handler).work_one(setting.kind)
        assert handler.handled == [1]

    async def test_with_a_delay_is_due_after_it(self, setting: Setting) -> None:
        process = setting.process(Recorder())
        await setting.add(1, delay=timedelta(seconds=10))
        setting.clock.advance(seconds=9.9)
        assert not await process.work_one(setting.kind)
        setting.clock.advance(seconds=0.1)
        assert await process.work_one(setting.kind)


class TestWork:
    async def test_is_done_once_with_two_processes_at_it(self, setting: Setting) -> None:
        handlers = [Recorder(), Recorder()]
        await setting.add(*range(60))
        async with at_work(*map(setting.process, handlers)):
            await until(setting.done)
        assert Counter(handlers[0].handled + handlers[1].handled) == Counter(range(60))
        assert all(handler.handled for handler in handlers)
        assert {row["attempts"] for row in await setting.rows()} == {1}

    async def test_begins_with_what_is_due_longest(self, setting: Setting) -> None:
        handler = Recorder()
        for n in range(3):
            await setting.add(n)
            setting.clock.advance(seconds=1)
        process = setting.process(handler)
        while await process.work_one(setting.kind):
            pass
        assert handler.handled == [0, 1, 2]

    async def test_leaves_kinds_that_it_does_not_know_to_others(self, setting: Setting) -> None:
        await setting.add(1)
        stranger = setting.process()
        stranger.on("test-other", Recorder())
        assert stranger.kinds == ["test-other"]
        assert not await stranger.work_one("test-other")
        assert setting.process().kinds == []
        assert [row["attempts"] for row in await setting.rows()] == [0]
        assert await setting.process(Recorder()).work_one(setting.kind)

    async def test_is_kept_as_done_when_it_is(self, setting: Setting) -> None:
        await setting.add(1)
        await setting.process(Recorder()).work_one(setting.kind)
        [row] = await setting.rows()
        assert "pending" not in row
        assert row["done_at"] == setting.clock.now()
        setting.clock.advance(days=1)
        assert not await setting.process(Recorder()).work_one(setting.kind)

    async def test_has_one_handler_a_kind(self, setting: Setting) -> None:
        process = setting.process(Recorder())
        with pytest.raises(ValueError, match="two handlers"):
            process.on(setting.kind, Recorder())


class TestFailure:
    async def test_is_tried_again_after_a_back_off_that_grows(self, setting: Setting) -> None:
        handler = Recorder()
        handler.failures = 2
        process = setting.process(handler)
        await setting.add(1)
        for back_off_s in (1, 2):
            assert await process.work_one(setting.kind)
            setting.clock.advance(seconds=back_off_s - 0.1)
            assert not await process.work_one(setting.kind)
            setting.clock.advance(seconds=0.1)
        assert await process.work_one(setting.kind)
        assert handler.handled == [1]
        assert await setting.done()

    async def test_is_tried_for_ever_at_the_longest_back_off(self, setting: Setting) -> None:
        handler = Recorder()
        handler.failures = 1
        process = setting.process(handler)
        await setting.add(1)
        await OutboxDocument.get_pymongo_collection().update_one(
            {"kind": setting.kind}, {"$set": {"attempts": 5_000}}
        )
        assert await process.work_one(setting.kind)
        setting.clock.advance(seconds=MAX_BACKOFF_S)
        assert await process.work_one(setting.kind)
        assert handler.handled == [1]

    async def test_does_not_keep_others_waiting(self, setting: Setting) -> None:
        handler = Recorder()
        handler.failures = 1
        await setting.add(1)
        setting.clock.advance(seconds=0.1)
        await setting.add(2)
        process = setting.process(handler)
        assert [await process.work_one(setting.kind) for _ in range(3)] == [True, True, False]
        assert handler.handled == [2]

    async def test_that_never_ends_is_given_up_within_the_lease(
        self, setting: Setting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outbox, "LEASE_S", 5.1)
        handler = Recorder()
        handler.go_on.clear()
        await setting.add(1)
        async with asyncio.timeout(PATIENCE_S):
            assert await setting.process(handler).work_one(setting.kind)
        assert [row["pending"] for row in await setting.rows()] == [True]


class TestLease:
    async def test_of_a_worker_that_died_runs_out(self, setting: Setting) -> None:
        dead, alive = Recorder(), Recorder()
        dead.go_on.clear()
        await setting.add(1)
        worker = asyncio.create_task(setting.process(dead).work_one(setting.kind))
        await dead.began.wait()
        process = setting.process(alive)
        setting.clock.advance(seconds=LEASE_S - 0.1)
        assert not await process.work_one(setting.kind)
        setting.clock.advance(seconds=0.1)
        assert await process.work_one(setting.kind)
        assert (dead.handled, alive.handled) == ([], [1])
        assert await setting.done()
        await cancelled(worker)

    async def test_of_a_worker_that_is_stopped_is_given_back_at_once(self, setting: Setting) -> None:
        """As when SIGTERM comes in the middle of a handler: nobody waits for the lease to run out."""
        stopped, alive = Recorder(), Recorder()
        stopped.go_on.clear()
        await setting.add(1)
        worker = asyncio.create_task(setting.process(stopped).work_one(setting.kind))
        await stopped.began.wait()
        await cancelled(worker)
        assert worker.cancelled()
        assert await setting.process(alive).work_one(setting.kind)
        assert (stopped.handled, alive.handled) == ([], [1])

    async def test_of_another_is_not_given_back_by_a_worker_that_is_stopped_late(
        self, setting: Setting
    ) -> None:
        frozen, alive = Recorder(), Recorder()
        workers = []
        await setting.add(1)
        for handler in (frozen, alive):
            handler.go_on.clear()
            workers.append(asyncio.create_task(setting.process(handler).work_one(setting.kind)))
            await handler.began.wait()
            setting.clock.advance(seconds=LEASE_S)
        setting.clock.advance(seconds=-1)
        await cancelled(workers[0])
        assert not await setting.process(Recorder()).work_one(setting.kind)
        alive.go_on.set()
        await workers[1]
        assert alive.handled == [1]

    async def test_is_not_cut_short_by_whoever_held_it_before(self, setting: Setting) -> None:
        frozen, alive = Recorder(), Recorder()
        frozen.failures = 1
        workers = []
        await setting.add(1)
        for handler in (frozen, alive):
            handler.go_on.clear()
            workers.append(asyncio.create_task(setting.process(handler).work_one(setting.kind)))
            await handler.began.wait()
            setting.clock.advance(seconds=LEASE_S)
        setting.clock.advance(seconds=-LEASE_S)
        frozen.go_on.set()
        await workers[0]
        setting.clock.advance(seconds=LEASE_S - 1)
        assert not await setting.process(Recorder()).work_one(setting.kind)
        alive.go_on.set()
        await workers[1]
        assert alive.handled == [1]
        assert await setting.done()


class TestRun:
    async def test_looks_at_once_when_kicked(self, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outbox, "IDLE_S", 60)
        handler = Recorder()
        process = setting.process(handler)
        async with at_work(process):
            await asyncio.sleep(0.1)
            await setting.add(1)
            process.kick()
            async with asyncio.timeout(PATIENCE_S):
                await handler.began.wait()

    async def test_finds_what_others_wrote_without_a_kick(self, setting: Setting) -> None:
        handler = Recorder()
        async with at_work(setting.process(handler)):
            await asyncio.sleep(0.1)
            await setting.add(1)
            async with asyncio.timeout(PATIENCE_S):
                await handler.began.wait()

    async def test_ends_when_cancelled_while_idle(self, setting: Setting) -> None:
        async with at_work(setting.process(Recorder())) as [task]:
            await asyncio.sleep(0.1)
            async with asyncio.timeout(PATIENCE_S):
                await cancelled(task)
            assert task.cancelled()

    async def test_ends_when_cancelled_in_the_middle_of_a_handler(self, setting: Setting) -> None:
        handler = Recorder()
        handler.go_on.clear()
        await setting.add(1)
        async with at_work(setting.process(handler)) as [task]:
            await handler.began.wait()
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE_S)
            assert task.cancelled()
        assert handler.handled == []
        assert not await setting.done()

    async def test_has_one_row_of_a_kind_in_hand_at_a_time(self, setting: Setting) -> None:
        handler = Recorder()
        handler.go_on.clear()
        process = setting.process(handler)
        await setting.add(1)
        first = asyncio.create_task(process.work_one(setting.kind))
        await handler.began.wait()
        second = asyncio.create_task(process.work_one(setting.kind))
        await asyncio.wait([second], timeout=0.2)
        assert not second.done()
        handler.go_on.set()
        assert await first
        assert not await second

    async def test_of_a_kind_that_waits_for_somebody_holds_up_no_other(self, setting: Setting) -> None:
        slow, quick = Recorder(), Recorder()
        slow.go_on.clear()
        process = setting.process(slow)
        other = Setting(setting.database, setting.clock)
        process.on(other.kind, quick)
        await setting.add(1)
        await other.add(2)
        async with at_work(process):
            await slow.began.wait()
            await until(other.done)
            assert not await setting.done()
            slow.go_on.set()
            await until(setting.done)
