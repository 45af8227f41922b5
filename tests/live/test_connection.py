"""A socket's way out: past ASGI where the server offers it, through ASGI where not, on fakes and on real sockets."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from litestar import Litestar, asgi
from litestar.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame as Message
from websockets.frames import Opcode

from backend.live import CloseCode, Connection, Frame, connection, text_frame
from backend.live.connection import MAX_QUEUED
from backend.live.frames import text_of
from backend.live.protocol import EXTENSION, LiveProtocol, outlet_of
from tests.support import LIVE_PROTOCOL, PLAIN_PROTOCOL, serving

HIGH_WATER = 65_536
"""What the event loops' transports hold before they ask for a pause."""


def frame(text: object) -> Frame:
    return text_frame(str(text).encode())


class Wire:
    """A server's end of a socket: its ASGI `send`, and its outlet when it offers one.

    Attributes:
        sent: every message that left, by either way: a text (short, here), or a close code.
        flows: cleared while the phone does not read.
    """

    def __init__(self, *, outlet: bool) -> None:
        self.sent: list[str | int] = []
        self.written_at_once = 0
        self.flows = asyncio.Event()
        self.flows.set()
        self.aborted = False
        self.scope: Any = {"extensions": {EXTENSION: {"outlet": self}} if outlet else None}

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


@pytest.fixture(params=[True, False], ids=["outlet", "plain ASGI"])
def wire(request: pytest.FixtureRequest) -> Wire:
    return Wire(outlet=request.param)


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
        wire = Wire(outlet=True)
        phone = wire.connection()
        phone.send(frame("no task, no turn of the loop"))
        assert wire.sent == ["no task, no turn of the loop"]

    async def test_keeps_the_order_when_the_phone_stops_and_goes_on(self) -> None:
        """The writer has a frame in its hands when the phone goes on: nothing may overtake it."""
        wire = Wire(outlet=True)
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
        wire = Wire(outlet=False)

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
        wire = Wire(outlet=True)
        phone = wire.connection()
        phone.send_with_next(frame("ack"))
        phone.send(frame("event"))
        assert (wire.sent, wire.written_at_once) == (["ack", "event"], 1)
        await asyncio.sleep(0)
        assert wire.written_at_once == 1

    async def test_leaves_alone_when_nothing_comes(self) -> None:
        wire = Wire(outlet=True)
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


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_frame_is_what_websockets_would_have_made_of_its_text(size: int) -> None:
    text = ("é" + "x" * size)[:size] if size else ""
    payload = text.encode()
    assert text_frame(payload) == Message(Opcode.TEXT, payload).serialize(mask=False)
    assert text_of(text_frame(payload)) == text


App = Callable[[Connection, Scope, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def server_of(app: App, ws: str = LIVE_PROTOCOL) -> AsyncIterator[str]:
    """A server whose socket accepts and then does this; its address."""

    @asgi("/", copy_scope=False)
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        await app(Connection(scope, send, "usr_1"), scope, receive, send)

    async with serving(Litestar([application], logging_config=None), ws=ws) as address:
        yield address.replace("http", "ws")


async def sleeping_phone(address: str) -> ClientConnection:
    """A phone with the smallest window there is, which reads nothing."""
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    end.setblocking(False)
    await asyncio.get_running_loop().sock_connect(end, ("127.0.0.1", int(address.rsplit(":", 1)[1])))
    phone = await connect(address, sock=end, ping_interval=None, compression=None)
    phone.transport.pause_reading()
    return phone


def protocol_of(scope: Scope) -> LiveProtocol:
    protocol = outlet_of(scope)
    assert isinstance(protocol, LiveProtocol)
    return protocol


async def read_to_the_end(phone: ClientConnection, *, stumbling: bool = False) -> list[str]:
    """Every message until the socket ends; stumbling, with a rest now and then."""
    seen: list[str] = []
    with suppress(ConnectionClosed):
        while True:
            seen.append(str(await asyncio.wait_for(phone.recv(), 5)))
            if stumbling and len(seen) % 500 == 0:
                await asyncio.sleep(0.05)
    return seen


class TestOnARealSocket:
    @pytest.mark.parametrize("ws", [LIVE_PROTOCOL, PLAIN_PROTOCOL])
    async def test_everything_arrives_in_order_at_a_phone_that_stumbles(self, ws: str) -> None:
        """Frames of every size, faster than a phone reads that stops now and then."""
        frames = 3_000

        async def talk(phone: Connection, scope: Scope, receive: Receive, send: Send) -> None:
            writer = asyncio.create_task(phone.run_writer())
            dice = random.Random(1)
            for n in range(frames):
                while len(phone._frames) >= MAX_QUEUED - 1:  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.001)
                phone.send(frame(f"{n} " + "x" * dice.choice([0, 100, 200, 1_000, 70_000])))
                queued.append(bool(phone._frames))
                if dice.random() < 0.1:
                    await asyncio.sleep(0)
            phone.close(CloseCode.RESTARTING)
            await writer

        queued: list[bool] = []
        async with (
            server_of(talk, ws) as address,
            connect(address, compression=None, max_queue=2) as phone,
        ):
            seen = await read_to_the_end(phone, stumbling=True)
            assert [int(text.split()[0]) for text in seen] == list(range(frames))
            assert phone.close_code == CloseCode.RESTARTING
        if ws == LIVE_PROTOCOL:
            assert 100 < sum(queued) < frames - 100, "both ways were gone"

    async def test_a_phone_that_sleeps_with_a_full_window_is_bounded_dropped_and_cut_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "CLOSE_WITHIN_S", 0.5)
        ended: asyncio.Future[tuple[BaseException | None, int, bool]]
        ended = asyncio.get_running_loop().create_future()
        size, enough = 65_536, 1_000

        async def flood(slow: Connection, scope: Scope, receive: Receive, send: Send) -> None:
            transport = protocol_of(scope).transport
            writer = asyncio.create_task(slow.run_writer())
            most = 0
            for _ in range(enough):
                slow.send(frame("x" * size))
                most = max(most, transport.get_write_buffer_size())
                await asyncio.sleep(0)
                if not slow.is_open:
                    break
            dropped = not slow.is_open
            slow.close(CloseCode.RESTARTING)
            await asyncio.wait([writer])
            ended.set_result((writer.exception(), most, dropped))

        async with server_of(flood) as address:
            phone = await sleeping_phone(address)
            error, most, dropped = await asyncio.wait_for(ended, 20)
            assert dropped, f"{enough} frames of {size} were taken for a phone that reads nothing"
            assert isinstance(error, TimeoutError)
            assert most <= HIGH_WATER + 2 * size
            phone.transport.resume_reading()
            await read_to_the_end(phone)
            assert phone.close_code == 1006, "cut off, not closed"

    async def test_a_slow_phone_slows_no_other(self) -> None:
        phones: list[Connection] = []
        both = asyncio.Event()

        async def look(phone: Connection, scope: Scope, receive: Receive, send: Send) -> None:
            phones.append(phone)
            if len(phones) == 2:
                both.set()
            await phone.run_writer()

        async with server_of(look) as address:
            slow = await sleeping_phone(address)
            async with connect(address, compression=None) as good:
                await both.wait()
                sent = 0
                while phones[0].is_open and sent < 2_000:
                    for phone in phones:
                        phone.send(frame(f"{sent} " + "x" * 20_000))
                    assert str(await asyncio.wait_for(good.recv(), 5)).startswith(f"{sent} ")
                    sent += 1
                assert not phones[0].is_open
                assert phones[1].is_open
                slow.transport.abort()
                phones[1].close(CloseCode.RESTARTING)
                await asyncio.wait_for(good.wait_closed(), 5)
                assert good.close_code == CloseCode.RESTARTING

    async def test_nothing_follows_a_close_frame_or_goes_to_a_phone_that_is_gone(self) -> None:
        done: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()

        async def late(phone: Connection, scope: Scope, receive: Receive, send: Send) -> None:
            protocol = protocol_of(scope)
            taken = [protocol.write_now(frame("before"))]
            await send({"type": "websocket.close", "code": 4404, "reason": ""})
            taken.append(protocol.write_now(frame("after the close")))
            while not protocol.disconnected:
                await receive()
            taken.append(protocol.write_now(frame("after the end")))
            done.set_result(taken)

        async with server_of(late) as address, connect(address, compression=None) as phone:
            assert await read_to_the_end(phone) == ["before"]
            assert phone.close_code == 4404
            assert await asyncio.wait_for(done, 5) == [True, False, False]

    async def test_nothing_goes_to_a_phone_whose_network_went(self) -> None:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def late(phone: Connection, scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive())["type"] != "websocket.disconnect":
                pass
            done.set_result(protocol_of(scope).write_now(frame("after the end")))

        async with server_of(late) as address:
            phone = await connect(address, compression=None)
            phone.transport.abort()
            assert await asyncio.wait_for(done, 5) is False
