"""Tries counted on a real Redis: at once, over two processes, and while Redis is away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from backend.errors import JoinLinkInvalid, StorageUnavailable, TooManyTries
from backend.kit import redis, throttle
from backend.kit.embedded import EmbeddedRedis
from backend.kit.ids import new_id
from backend.kit.throttle import Limit, Throttle, network_of


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return new_id("test")


@pytest.fixture
async def processes(redis_url: str) -> AsyncIterator[list[Throttle]]:
    """Two processes' throttles, each with connections of its own."""
    async with AsyncExitStack() as stack:
        yield [await process(redis_url, stack) for _ in range(2)]


async def process(redis_url: str, stack: AsyncExitStack) -> Throttle:
    client = redis.connect(redis_url)
    stack.push_async_callback(client.aclose)
    return Throttle(client)


async def wrong(process: Throttle, *limits: Limit) -> int:
    """One wrong try: 0 when it was looked at, else the seconds to wait."""
    try:
        async with process.counting(*limits, wrong=JoinLinkInvalid):
            await asyncio.sleep(0.001)
            raise JoinLinkInvalid
    except JoinLinkInvalid:
        return 0
    except TooManyTries as refused:
        return refused.retry_after_s


async def right(process: Throttle, *limits: Limit) -> None:
    async with process.counting(*limits, wrong=JoinLinkInvalid):
        await asyncio.sleep(0)


class TestWrongTries:
    async def test_all_at_once_over_two_processes_pass_as_often_as_the_limit_says(
        self, processes: list[Throttle], key: str
    ) -> None:
        limit = Limit(key, 10, 60)
        waits = await asyncio.gather(*(wrong(processes[n % 2], limit) for n in range(60)))
        assert waits.count(0) == 10
        assert {wait for wait in waits if wait} <= {59, 60}

    async def test_one_after_the_other_pass_as_often_too(self, processes: list[Throttle], key: str) -> None:
        waits = [await wrong(processes[n % 2], Limit(key, 5, 60)) for n in range(12)]
        assert [bool(wait) for wait in waits] == [False] * 5 + [True] * 7

    async def test_pass_no_oftener_in_any_stretch_of_time(
        self, processes: list[Throttle], redis_url: str, key: str
    ) -> None:
        limit = Limit(key, 4, 1)
        passed: list[float] = []
        begin = time.monotonic()
        while time.monotonic() < begin + 2.5:
            now = time.monotonic()
            if not await wrong(processes[len(passed) % 2], limit):
                passed.append(now)
            await asyncio.sleep(0.02)
        assert len(passed) >= 8
        # A try is judged up to a few milliseconds after it was sent.
        assert all(later - earlier > 0.9 for earlier, later in zip(passed, passed[4:], strict=False))
        client = redis.connect(redis_url)
        assert await client.zcard(f"{{tries}}:{key}") <= 4, "what is over is forgotten"
        await client.aclose()

    async def test_that_are_refused_do_not_prolong_the_wait(
        self, processes: list[Throttle], key: str
    ) -> None:
        limit = Limit(key, 1, 1)
        assert await wrong(processes[0], limit) == 0
        for process in [*processes] * 4:
            assert await wrong(process, limit) == 1
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.4)
        assert await wrong(processes[1], limit) == 0

    async def test_count_for_each_of_their_keys_or_for_none(
        self, processes: list[Throttle], key: str
    ) -> None:
        shared = Limit(f"{key}:shared", 3, 60)
        waits = [await wrong(processes[0], Limit(f"{key}:{n}", 1, 60), shared) for n in (1, 1, 1, 2, 3, 4, 4)]
        assert [bool(wait) for wait in waits] == [False, True, True, False, False, True, True]
        assert await wrong(processes[1], Limit(f"{key}:4", 1, 60)) == 0

    async def test_leave_nothing_in_redis_when_their_time_is_over(
        self, processes: list[Throttle], redis_url: str, key: str
    ) -> None:
        await wrong(processes[0], Limit(key, 3, 1))
        client = redis.connect(redis_url)
        assert 0 < await client.pttl(f"{{tries}}:{key}") <= 1000
        await client.aclose()


class TestRightTries:
    async def test_cost_nothing(self, processes: list[Throttle], key: str) -> None:
        limit = Limit(key, 3, 60)
        for n in range(20):
            await right(processes[n % 2], limit)
        await asyncio.gather(*(right(process, limit) for process in [processes[0], *processes]))
        waits = [await wrong(processes[n % 2], limit) for n in range(4)]
        assert [bool(wait) for wait in waits] == [False, False, False, True]

    async def test_are_refused_too_once_there_were_too_many_wrong_ones(
        self, processes: list[Throttle], key: str
    ) -> None:
        limit = Limit(key, 2, 60)
        await wrong(processes[0], limit)
        await wrong(processes[0], limit)
        for process in processes:
            with pytest.raises(TooManyTries):
                await right(process, limit)

    @pytest.mark.parametrize("failure", [StorageUnavailable(), RuntimeError("a defect")])
    async def test_are_those_that_failed_for_another_reason(
        self, processes: list[Throttle], key: str, failure: Exception
    ) -> None:
        limit = Limit(key, 1, 60)
        for _ in range(3):
            with pytest.raises(type(failure)):
                async with processes[0].counting(limit, wrong=JoinLinkInvalid):
                    raise failure
        assert await wrong(processes[1], limit) == 0


class TestCountedTries:
    async def test_count_for_good(self, processes: list[Throttle], key: str) -> None:
        limit = Limit(key, 3, 60)
        for process in (*processes, processes[0]):
            await process.count(limit)
        for process in processes:
            with pytest.raises(TooManyTries):
                await process.count(limit)

    async def test_all_at_once_pass_as_often_as_the_limit_says(
        self, processes: list[Throttle], key: str
    ) -> None:
        answers = await asyncio.gather(
            *(processes[n % 2].count(Limit(key, 10, 60)) for n in range(60)), return_exceptions=True
        )
        assert answers.count(None) == 10
        assert sum(isinstance(answer, TooManyTries) for answer in answers) == 50


@pytest.fixture
def leaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own, to be stopped."""
    with EmbeddedRedis(tmp_path_factory.mktemp("leaving")) as server:
        yield server


class TestWithoutRedis:
    async def test_the_limit_holds_in_each_process_and_nobody_waits_long(
        self, leaving: EmbeddedRedis, key: str
    ) -> None:
        async with AsyncExitStack() as stack:
            processes = [await process(leaving.url, stack) for _ in range(2)]
            leaving.stop()
            began = time.monotonic()
            waits = await asyncio.gather(*(wrong(processes[n % 2], Limit(key, 5, 60)) for n in range(40)))
            for one in processes:
                await right(one, Limit(f"{key}:other", 5, 60))
            assert waits.count(0) == 10
            assert time.monotonic() - began < 2

    async def test_that_is_frozen_keeps_nobody_longer_than_its_time(
        self, leaving: EmbeddedRedis, key: str
    ) -> None:
        assert leaving.child
        async with AsyncExitStack() as stack:
            one = await process(leaving.url, stack)
            await right(one, Limit(key, 5, 60))
            os.kill(leaving.child.pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                waits = [await wrong(one, Limit(key, 5, 60)) for _ in range(10)]
                assert time.monotonic() - began < throttle.ANSWER_WITHIN_S + 0.5
            finally:
                os.kill(leaving.child.pid, signal.SIGCONT)
        assert waits.count(0) == 5

    async def test_what_a_process_let_through_it_remembers_when_redis_forgets(
        self, leaving: EmbeddedRedis, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(throttle, "REST_S", 0.0)
        limit = Limit(key, 4, 60)
        async with AsyncExitStack() as stack:
            one, two = [await process(leaving.url, stack) for _ in range(2)]
            assert [await wrong(process, limit) for process in (one, two, one, two)] == [0, 0, 0, 0]
            leaving.stop()
            assert [await wrong(one, limit) for _ in range(2)] == [0, 0]
            leaving.start()
            assert await wrong(one, limit)
            assert [bool(await wrong(two, limit)) for _ in range(3)] == [False, False, True]

    async def test_it_is_asked_again_after_a_rest(
        self, leaving: EmbeddedRedis, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(throttle, "REST_S", 0.2)
        async with AsyncExitStack() as stack:
            one, two = [await process(leaving.url, stack) for _ in range(2)]
            leaving.stop()
            assert await wrong(one, Limit(f"{key}:before", 1, 60)) == 0
            leaving.start()
            await asyncio.sleep(0.2)
            assert await wrong(one, Limit(key, 1, 60)) == 0
            assert await wrong(two, Limit(key, 1, 60)) > 0


class TestMemory:
    async def test_of_a_process_is_bounded(
        self, processes: list[Throttle], key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(throttle, "MAX_KEYS", 10)
        for n in range(30):
            await wrong(processes[0], Limit(f"{key}:{n}", 1, 60))
        assert len(processes[0]._memory._held) == 10
        assert await wrong(processes[0], Limit(f"{key}:0", 1, 60)) > 0, "Redis remembers"

    async def test_holds_so_many_tries_and_no_more(
        self, processes: list[Throttle], key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(throttle, "MAX_TRIES", 10)
        memory = processes[0]._memory
        for n in range(12):
            await processes[0].count(Limit(f"{key}:{n % 3}", 100, 60))
            await right(processes[0], Limit(f"{key}:{n % 3}", 100, 60))
            assert memory._tries == sum(map(len, memory._held.values())) <= 10


class TestNetworkOf:
    @pytest.mark.parametrize(
        ("host", "network"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("a name", "a name"),
            ("", ""),
        ],
    )
    def test_is_what_one_customer_holds(self, host: str, network: str) -> None:
        assert network_of(host) == network
