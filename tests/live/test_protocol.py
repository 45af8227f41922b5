"""Sockets past ASGI and through it, on a real server: order, bounds, ends."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

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
from backend.live.protocol import LiveProtocol, bypass_of
from tests.support import LIVE_PROTOCOL, PLAIN_PROTOCOL, serving

HIGH_WATER = 65_536
"""What the event loops' transports hold before they ask for a pause."""


def frame(text: str) -> Frame:
    return text_frame(text.encode())


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
    protocol = bypass_of(scope)
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
                while len(phone._frames) >= MAX_QUEUED - 1:  # noqa: ASYNC110 - the writer tells nobody
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


class TestTakeNow:
    async def test_messages_come_in_order_whichever_way_each_goes(self) -> None:
        """Whole messages and fragmented ones; some are taken at once, some refused, some while others wait."""
        heard: list[str] = []
        ways: list[bool] = []
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        dice = random.Random(3)

        async def listen(phone: Connection, scope: Scope, receive: Receive, send: Send) -> None:
            busy = False

            def take(payload: bytes) -> bool:
                taken = not busy and dice.random() < 0.7
                if taken:
                    heard.append(payload.decode())
                ways.append(taken)
                return taken

            bypass = bypass_of(scope)
            assert bypass is not None
            bypass.take_now = take
            while len(heard) < 1_000:
                busy = False
                message = await receive()
                busy = True
                heard.append(str(message.get("text")))
                await asyncio.sleep(0)
            done.set_result(None)

        async with server_of(listen) as address, connect(address, compression=None) as phone:
            for n in range(1_000):
                await phone.send([str(n)[:1], str(n)[1:]] if n % 10 == 9 else str(n))
                if n % 5 == 0:
                    await asyncio.sleep(0.003)
            await phone.send("the end")
            await asyncio.wait_for(done, 20)
            assert heard[:1_000] == list(map(str, range(1_000)))
            assert 100 < sum(ways) < len(ways)

    async def test_what_is_no_utf_8_closes_the_socket(self) -> None:
        async def listen(phone: Connection, scope: Scope, receive: Receive, send: Send) -> None:
            protocol_of(scope).take_now = lambda payload: False
            while (await receive())["type"] != "websocket.disconnect":
                pass

        async with server_of(listen) as address, connect(address, compression=None) as phone:
            await phone.send(b'{"type":"\xff"}', text=True)
            await read_to_the_end(phone)
            assert phone.close_code == 1007
