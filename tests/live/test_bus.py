"""The bus between processes on a real redis-server, also when that goes away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from backend.kit import redis
from backend.kit.embedded import EmbeddedRedis, free_port
from backend.kit.tasks import Background
from backend.live import Bus, bus
from backend.live.bus import MAX_WAITING


class Process:
    """One process's bus, its loops running, and what it heard."""

    def __init__(self, url: str) -> None:
        self.client = redis.connect(url)
        self.bus = Bus(self.client)
        self.heard: list[bytes] = []
        self.resyncs = 0
        self.confirmed = asyncio.Event()
        self.bus.on_resync.append(self._count)
        self._background = Background()
        self._background.start("sender", self.bus.run_sender)
        self._background.start("receiver", self.bus.run_receiver)

    def _count(self) -> None:
        self.resyncs += 1

    async def listen(self, channel: str) -> None:
        self.bus.subscribe(channel, self.heard.append, self.confirmed.set)
        async with asyncio.timeout(5):
            await self.confirmed.wait()

    async def stop(self) -> None:
        await self._background.stop()
        await self.client.aclose()


async def eventually(holds: Callable[[], bool], within_s: float = 15) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def pair(server: EmbeddedRedis) -> AsyncIterator[tuple[Process, Process]]:
    one, two = Process(server.url), Process(server.url)
    yield one, two
    await one.stop()
    await two.stop()


async def test_the_others_hear_and_oneself_does_not(pair: tuple[Process, Process]) -> None:
    one, two = pair
    await one.listen("cart:1")
    await two.listen("cart:1")
    one.bus.publish("cart:1", b"hello")
    await eventually(lambda: two.heard == [b"hello"])
    two.bus.publish("cart:2", b"elsewhere")
    two.bus.publish("cart:1", b"answer")
    await eventually(lambda: one.heard == [b"answer"])


async def test_who_unsubscribed_hears_nothing_more(pair: tuple[Process, Process]) -> None:
    one, two = pair
    await two.listen("a")
    await one.listen("b")
    two.bus.unsubscribe("a")
    await asyncio.sleep(0.2)
    one.bus.publish("a", b"x")
    two.bus.publish("b", b"y")
    await eventually(lambda: one.heard == [b"y"])
    assert two.heard == []


async def test_comes_back_when_redis_does_and_says_so(
    pair: tuple[Process, Process], server: EmbeddedRedis, tmp_path: Path
) -> None:
    one, two = pair
    await two.listen("a")
    await eventually(lambda: one.bus.connected and two.bus.connected)
    resyncs = two.resyncs
    port = int(server.url.rsplit(":", 1)[1].split("/")[0])
    server.stop()
    await eventually(lambda: not two.bus.connected)
    for _ in range(100):
        one.bus.publish("a", b"lost")
    with EmbeddedRedis(tmp_path / "again", port):
        await eventually(lambda: two.bus.connected and two.resyncs > resyncs)
        await eventually(lambda: _sent_and_heard(one, two))


def _sent_and_heard(one: Process, two: Process) -> bool:
    one.bus.publish("a", b"back")
    return b"back" in two.heard


def send_signal(server: EmbeddedRedis, number: signal.Signals) -> None:
    assert server.child is not None
    os.kill(server.child.pid, number)


class TestSubscriptions:
    async def test_are_confirmed_again_when_taken_up_again_at_once(
        self, pair: tuple[Process, Process]
    ) -> None:
        one, two = pair
        await one.listen("a")
        confirmed, heard = asyncio.Event(), list[bytes]()
        one.bus.unsubscribe("a")
        one.bus.subscribe("a", heard.append, confirmed.set)
        await asyncio.wait_for(confirmed.wait(), 5)
        two.bus.publish("a", b"x")
        await eventually(lambda: heard == [b"x"])
        assert one.heard == []

    async def test_keep_the_order_of_what_one_process_published(self, pair: tuple[Process, Process]) -> None:
        one, two = pair
        await two.listen("a")
        sent = [b"%d" % n for n in range(2_000)]
        for payload in sent:
            one.bus.publish("a", payload)
        await eventually(lambda: len(two.heard) == len(sent))
        assert two.heard == sent

    async def test_made_before_redis_is_there_are_kept(self, tmp_path: Path) -> None:
        port = free_port()
        early = Process(f"redis://127.0.0.1:{port}/0")
        early.bus.subscribe("a", early.heard.append, early.confirmed.set)
        await asyncio.sleep(0.3)
        assert not early.bus.connected
        assert early.resyncs == 0
        with EmbeddedRedis(tmp_path / "late", port):
            await asyncio.wait_for(early.confirmed.wait(), 15)
            assert early.bus.connected
            await early.stop()


class TestWithoutRedis:
    async def test_a_connection_that_was_cut_is_made_again_and_resynchronised(
        self, pair: tuple[Process, Process]
    ) -> None:
        one, two = pair
        await two.listen("a")
        resyncs = two.resyncs
        two.confirmed.clear()
        await one.client.client_kill_filter(_type="pubsub")
        await asyncio.wait_for(two.confirmed.wait(), 15)
        assert two.resyncs > resyncs
        assert two.bus.connected
        one.bus.publish("a", b"x")
        await eventually(lambda: two.heard == [b"x"])

    async def test_a_restart_too_quick_to_be_seen_is_resynchronised(
        self, pair: tuple[Process, Process], server: EmbeddedRedis
    ) -> None:
        _, two = pair
        await two.listen("a")
        for _ in range(3):
            resyncs = two.resyncs
            two.confirmed.clear()
            send_signal(server, signal.SIGKILL)
            server.stop()
            server.start()
            await asyncio.wait_for(two.confirmed.wait(), 15)
            assert two.resyncs > resyncs

    async def test_silence_counts_as_away(
        self, pair: tuple[Process, Process], server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bus, "PING_S", 0.2)
        two = Process(server.url)
        await two.listen("a")
        resyncs = two.resyncs
        send_signal(server, signal.SIGSTOP)
        await eventually(lambda: not two.bus.connected)
        send_signal(server, signal.SIGCONT)
        await eventually(lambda: two.bus.connected and two.resyncs > resyncs)
        await two.stop()

    async def test_quiet_is_not_silence(self, server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bus, "PING_S", 0.1)
        one = Process(server.url)
        await one.listen("a")
        await asyncio.sleep(1.5)
        assert one.bus.connected
        assert one.resyncs == 1
        await one.stop()

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    async def test_publishing_neither_waits_nor_fails_nor_grows(
        self, pair: tuple[Process, Process], server: EmbeddedRedis, how: signal.Signals
    ) -> None:
        one, _ = pair
        await one.listen("a")
        send_signal(server, how)
        await asyncio.sleep(0.1)
        began = time.monotonic()
        for n in range(3 * MAX_WAITING):
            one.bus.publish("a", b"%d" % n)
        assert time.monotonic() - began < 2
        assert len(one.bus._out) == MAX_WAITING
        if how is signal.SIGSTOP:
            send_signal(server, signal.SIGCONT)
