"""A socket's way out: past ASGI where the server offers it, through ASGI where not."""

import asyncio
import random
from typing import Any

import pytest

from backend.live import CloseCode, Connection, Frame, connection, text_frame
from backend.live.connection import MAX_QUEUED
from backend.live.frames import text_of
from backend.live.protocol import EXTENSION


def frame(text: object) -> Frame:
    return text_frame(str(text).encode())


class Wire:
    """A server's end of a socket: its ASGI `send`, and its bypass when it offers one.

    Attributes:
        sent: every message that left, by either way: a text (short, here), or a close code.
        flows: cleared while the phone does not read.
    """

    def __init__(self, *, bypass: bool) -> None:
        self.sent: list[str | int] = []
        self.written_at_once = 0
        self.flows = asyncio.Event()
        self.flows.set()
        self.aborted = False
        self.scope: Any = {"extensions": {EXTENSION: {"bypass": self}} if bypass else None}

    async def send(self, message: Any) -> None:
        await self.flows.wait()
        self.sent.append(message["code"] if message["type"] == "websocket.close" else message["text"])

    def write_now(self, frames: bytes) -> bool:
        if not self.flows.is_set():
            return False
        self.written_at_once += 1
        while frames:
            end = 2 + frames[1]
            self.sent.append(text_of(Frame(frames[:end])))
            frames = frames[end:]
        return True

    def abort(self) -> None:
        self.aborted = True

    def connection(self) -> Connection:
        return Connection(self.scope, self.send, "usr_1")


@pytest.fixture(params=[True, False], ids=["bypass", "plain ASGI"])
def wire(request: pytest.FixtureRequest) -> Wire:
    return Wire(bypass=request.param)


class TestConnection:
    async def test_sends_in_order_and_what_was_queued_before_the_close(self, wire: Wire) -> None:
        phone = wire.connection()
        for n in range(3):
            phone.send(frame(n))
        phone.close(CloseCode.NOT_FOUND)
        phone.send(frame("too late"))
        await phone.run_writer()
        assert wire.sent == ["0", "1", "2", 4404]

    async def test_writes_at_once_while_the_phone_keeps_up(self) -> None:
        wire = Wire(bypass=True)
        phone = wire.connection()
        phone.send(frame("no task, no turn of the loop"))
        assert wire.sent == ["no task, no turn of the loop"]

    async def test_keeps_the_order_when_the_phone_stops_and_goes_on(self) -> None:
        """The writer has a frame in its hands when the phone goes on: nothing may overtake it."""
        wire = Wire(bypass=True)
        phone = wire.connection()
        writer = asyncio.create_task(phone.run_writer())
        dice = random.Random(5)
        for n in range(2_000):
            if dice.random() < 0.1:
                (wire.flows.clear if wire.flows.is_set() else wire.flows.set)()
            (phone.send if dice.random() < 0.7 else phone.send_with_next)(frame(n))
            if dice.random() < 0.3:
                await asyncio.sleep(0)
            if n % 100 == 99:
                wire.flows.set()
                while phone._frames:  # noqa: ASYNC110 - the writer tells nobody
                    await asyncio.sleep(0)
        phone.close(CloseCode.RESTARTING)
        wire.flows.set()
        await asyncio.wait_for(writer, 5)
        assert wire.sent == [*map(str, range(2_000)), 1012]
        assert 200 < wire.written_at_once < 1_800

    async def test_a_slow_phone_is_dropped_and_costs_no_more(self, wire: Wire) -> None:
        wire.flows.clear()
        phone = wire.connection()
        writer = asyncio.create_task(phone.run_writer())
        await asyncio.sleep(0)
        for n in range(MAX_QUEUED * 3):
            phone.send(frame(n))
        assert not phone.is_open
        assert len(phone._frames) == 0
        wire.flows.set()
        await asyncio.wait_for(writer, 5)
        assert wire.sent[-1] == CloseCode.TOO_SLOW

    async def test_a_phone_that_never_reads_again_is_cut_off(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "CLOSE_WITHIN_S", 0.1)
        wire.flows.clear()
        slow, late = wire.connection(), wire.connection()
        writer = asyncio.create_task(slow.run_writer())
        await asyncio.sleep(0.3)
        assert not writer.done()
        slow.send(frame("never read"))
        slow.close(CloseCode.RESTARTING)
        late.close(CloseCode.RESTARTING)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer, 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(late.run_writer(), 5)
        assert wire.aborted is bool(wire.scope["extensions"])

    async def test_what_comes_for_a_phone_that_is_gone_is_taken_and_forgotten(self) -> None:
        wire = Wire(bypass=False)

        async def broken(message: Any) -> None:
            raise ConnectionResetError

        gone = Connection(wire.scope, broken, "usr_1")
        gone.send(frame("lost"))
        with pytest.raises(ConnectionResetError):
            await gone.run_writer()
        for n in range(MAX_QUEUED * 3):
            gone.send(frame(n))
        gone.close(CloseCode.RESTARTING)
        assert len(gone._frames) == 0

    async def test_a_frame_that_comes_while_another_is_sent_is_not_forgotten(self, wire: Wire) -> None:
        wire.flows.clear()
        busy = wire.connection()
        writer = asyncio.create_task(busy.run_writer())
        busy.send(frame("1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        busy.send(frame("2"))
        wire.flows.set()
        await asyncio.sleep(0.01)
        busy.close(CloseCode.RESTARTING)
        await asyncio.wait_for(writer, 5)
        assert wire.sent == ["1", "2", 1012]


class TestSendWithNext:
    async def test_leaves_in_one_write_with_the_next_and_before_it(self) -> None:
        wire = Wire(bypass=True)
        phone = wire.connection()
        phone.send_with_next(frame("ack"))
        phone.send(frame("event"))
        assert (wire.sent, wire.written_at_once) == (["ack", "event"], 1)
        await asyncio.sleep(0)
        assert wire.written_at_once == 1

    async def test_leaves_alone_when_nothing_comes(self) -> None:
        wire = Wire(bypass=True)
        wire.connection().send_with_next(frame("ack"))
        await asyncio.sleep(0)
        assert wire.sent == ["ack"]

    async def test_is_not_lost_before_a_close_or_to_a_phone_that_is_slow(self, wire: Wire) -> None:
        wire.flows.clear()
        phone = wire.connection()
        for text in ("first", "second"):
            phone.send_with_next(frame(text))
        phone.send(frame("third"))
        phone.send_with_next(frame("fourth"))
        phone.close(CloseCode.RESTARTING)
        wire.flows.set()
        await asyncio.wait_for(phone.run_writer(), 5)
        assert wire.sent == ["first", "second", "third", "fourth", 1012]
