"""A phone at the live cart: what it sends, what it was told, and the cart as it would show it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]
PATIENCE_S = 10

_ids = count(1)


class Phone:
    """A socket and the cart on its screen, kept from snapshots and events alone."""

    def __init__(self, socket: ClientConnection, before: "Phone | None" = None) -> None:
        self._socket = socket
        self.frames: list[Frame] = []
        self.lines: dict[str, Frame] = dict(before.lines) if before else {}
        self.totals: Frame = before.totals if before else {}
        self.budget: Frame | None = before.budget if before else None
        self.seq: int = before.seq if before else 0
        self.gaps = 0
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
                self._take(frame)
                self.frames.append(frame)
                async with self._news:
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        self._ended = True
        async with self._news:
            self._news.notify_all()

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
        await self._socket.send(json.dumps(frame))

    async def send_text(self, text: str | bytes) -> None:
        await self._socket.send(text)

    async def until(self, matches: Callable[[Frame], bool], seen: int = 0) -> Frame:
        """The first frame so far, or to come, that matches; without the first `seen`."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            while True:
                for frame in self.frames[seen:]:
                    if matches(frame):
                        return frame
                assert not self._ended, f"closed with {self.close_code}; had {self.frames[-3:]}"
                await self._news.wait()

    async def reaches(self, seq: int) -> None:
        """Wait until the screen is at `seq` or past it."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: self.seq >= seq or self._ended)
        assert self.seq >= seq

    async def answered(self) -> None:
        """Wait until the server has said anything, or closed."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: bool(self.frames) or self._ended)

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
        return self.close_code

    async def hang_up(self) -> None:
        await self._socket.close()
        await self._reader

    def drop(self) -> None:
        """Lose the network: no closing handshake."""
        self._socket.transport.abort()


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
