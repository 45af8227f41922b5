"""A phone at the live cart: what it sends, what it was told, and the cart as it would show it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from backend.live import CloseCode
from tests import protocol

Frame = dict[str, Any]
PATIENCE_S = 10
NOT_OURS = {None, 1000, 1001, 1005, 1006}
"""How a socket ends that the client closed, or the network (RFC 6455, section 7.4.1)."""

_ids = count(1)


class Phone:
    """A socket and the cart on its screen, kept from snapshots and events alone.

    It holds every frame against `/schema/events`. Whatever comes must be as described. What is sent by `send` must
    be too, or be answered by an `error`; and what is as described must not be called `invalid_field`.
    """

    def __init__(self, socket: ClientConnection, before: "Phone | None" = None) -> None:
        self._socket = socket
        self.frames: list[Frame] = []
        self.lines: dict[str, Frame] = dict(before.lines) if before else {}
        self.totals: Frame = before.totals if before else {}
        self.budget: Frame | None = before.budget if before else None
        self.seq: int = before.seq if before else 0
        self.gaps = 0
        self._fault = ""
        self._wrong: dict[Any, str] = {}
        self._right: set[Any] = set()
        self._ended = False
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @property
    def served_by(self) -> str:
        """The process at the other end."""
        assert self._socket.response is not None
        return self._socket.response.headers["x-served-by"]

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                frame = json.loads(text)
                self._fault = self._fault or self._judge(frame)
                self._take(frame)
                self.frames.append(frame)
                async with self._news:
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        if self.close_code not in protocol.CLOSE_CODES | NOT_OURS:
            self._fault = self._fault or f"/schema/events does not tell of close code {self.close_code}"
        if self.close_code == CloseCode.BAD_HELLO:
            self._wrong.clear()
        self._ended = True
        async with self._news:
            self._news.notify_all()

    def _judge(self, frame: Frame) -> str:
        """What is wrong with a frame from the server, or with the one of ours that it answers."""
        answered = frame.get("id")
        if frame["type"] == "ack" and answered in self._wrong:
            return f"acknowledged, but {self._wrong[answered]}"
        if frame["type"] == "error":
            self._wrong.pop(answered, None)
            if frame["code"] == "invalid_field" and answered in self._right:
                return f"as /schema/events says, but refused: {frame}"
        return protocol.fault_to_client(frame)

    def _assert_described(self) -> None:
        assert not self._fault, self._fault
        assert not (self._ended and self._wrong), f"without an error: {self._wrong}"

    def _take(self, frame: Frame) -> None:
        match frame["type"]:
            case "snapshot":
                session = frame["session"]
                self.lines = {line["line_id"]: line for line in session["items"]}
                self.totals, self.budget, self.seq = session["totals"], session["budget"], frame["seq"]
            case "event" if frame["seq"] == self.seq + 1:
                self.seq, self.totals, self.budget = frame["seq"], frame["totals"], frame["budget"]
                if frame["event"] == "item_removed":
                    del self.lines[frame["item"]["line_id"]]
                elif "item" in frame:
                    self.lines[frame["item"]["line_id"]] = frame["item"]
            case "event" if frame["seq"] > self.seq:
                self.gaps += 1

    async def send(self, frame: Frame) -> None:
        command_id = frame.get("id")
        if fault := protocol.fault_from_client(frame):
            self._wrong[command_id] = fault
            self._right.discard(command_id)
        else:
            self._right.add(command_id)
        await self._socket.send(json.dumps(frame))

    async def send_text(self, text: str | bytes) -> None:
        """Send something that is judged by the server alone."""
        await self._socket.send(text)

    async def send_in_pieces(self, pieces: list[str]) -> None:
        """One message in several frames."""
        await self._socket.send(pieces)

    async def until(self, matches: Callable[[Frame], bool], seen: int = 0) -> Frame:
        """The first frame so far, or to come, that matches; without the first `seen`."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            while True:
                self._assert_described()
                for frame in self.frames[seen:]:
                    if matches(frame):
                        return frame
                assert not self._ended, f"closed with {self.close_code}; had {self.frames[-3:]}"
                await self._news.wait()

    async def reaches(self, seq: int) -> None:
        """Wait until the screen is at `seq` or past it."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: self.seq >= seq or self._ended)
        self._assert_described()
        assert self.seq >= seq

    async def answered(self) -> None:
        """Wait until the server has said anything, or closed."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: bool(self.frames) or self._ended)
        self._assert_described()

    async def command(self, kind: str, **fields: Any) -> Frame:
        """Send a command; its `ack`, once the screen shows it, or its `error`."""
        command_id = fields.setdefault("id", f"p{next(_ids)}")
        seen = len(self.frames)
        await self.send({"type": kind, **fields})
        answer = await self.until(
            lambda frame: frame["type"] in {"ack", "error"} and frame.get("id") == command_id, seen
        )
        if answer["type"] == "ack":
            await self.reaches(answer["seq"])
        return answer

    async def scan(self, barcode: str, qty: int = 1) -> Frame:
        """Scan; the `ack`."""
        answer = await self.command("add", barcode=barcode, qty=qty)
        assert answer["type"] == "ack", answer
        return answer

    async def closed(self) -> int | None:
        """Wait until the server has closed the socket; its code."""
        async with asyncio.timeout(PATIENCE_S):
            await self._socket.wait_closed()
            await self._reader
        self._assert_described()
        return self.close_code

    async def hang_up(self) -> None:
        await self._socket.close()
        await self._reader
        self._assert_described()

    def drop(self) -> None:
        """Lose the network: no closing handshake."""
        self._socket.transport.abort()


async def silent_phone(address: str, session_id: str) -> Phone:
    """A socket that has said nothing."""
    return Phone(await connect(f"{address.replace('http', 'ws', 1)}/ws/cart/{session_id}", compression=None))


async def pick_up(
    address: str, session_id: str, token: str, before: Phone | None = None, **headers: str
) -> Phone:
    """Connect and say hello; returns once the server has answered, or closed.

    Args:
        before: the phone as it was when it lost its socket; it comes back with `since`.
    """
    socket = await connect(
        f"{address.replace('http', 'ws', 1)}/ws/cart/{session_id}",
        additional_headers=headers,
        compression=None,
    )
    phone = Phone(socket, before)
    since = {} if before is None else {"since": before.seq}
    with suppress(ConnectionClosed):
        await phone.send({"type": "hello", "token": token, **since})
    await phone.answered()
    return phone


@asynccontextmanager
async def phone_at(
    address: str, session_id: str, token: str, before: Phone | None = None
) -> AsyncIterator[Phone]:
    phone = await pick_up(address, session_id, token, before)
    try:
        yield phone
    finally:
        await phone.hang_up()


def is_event(name: str, **fields: Any) -> Callable[[Frame], bool]:
    """Whether a frame tells of this event, with these fields."""
    return lambda frame: (
        frame["type"] == "event" and frame["event"] == name and fields.items() <= frame.items()
    )
