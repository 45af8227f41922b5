"""The bus between processes on a real redis-server, also when that goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from backend.kit import redis
from backend.kit.embedded import EmbeddedRedis
from backend.kit.tasks import Background
from backend.live import Bus, CloseCode, Connection
from backend.live.connection import MAX_QUEUED


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


class Wire:
    """The sending half of a socket; `stuck` while the phone does not read."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, message: dict[str, Any]) -> None:
        await self.open.wait()
        self.sent.append(message)


class TestConnection:
    async def test_sends_in_order_and_what_was_queued_before_the_close(self) -> None:
        wire = Wire()
        connection = Connection(wire, "usr_1")  # type: ignore[arg-type]
        for n in range(3):
            connection.send(str(n))
        connection.close(CloseCode.NOT_FOUND)
        connection.send("too late")
        await connection.run_writer()
        assert [message.get("text") for message in wire.sent[:3]] == ["0", "1", "2"]
        assert wire.sent[3:] == [{"type": "websocket.close", "code": 4404, "reason": "not_found"}]

    async def test_a_slow_phone_is_dropped_and_costs_no_more(self) -> None:
        wire = Wire()
        wire.open.clear()
        connection = Connection(wire, "usr_1")  # type: ignore[arg-type]
        writer = asyncio.create_task(connection.run_writer())
        await asyncio.sleep(0)
        for n in range(MAX_QUEUED * 3):
            connection.send(str(n))
        assert not connection.is_open
        assert len(connection._frames) == 0
        wire.open.set()
        await asyncio.wait_for(writer, 5)
        assert wire.sent[-1]["code"] == CloseCode.TOO_SLOW
