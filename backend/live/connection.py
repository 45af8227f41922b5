"""One socket's way out: a frame is written at once, or waits behind those before it; a slow phone is dropped."""

import asyncio
from collections import deque

from litestar.types import Scope, Send

from backend.live.close_codes import CloseCode
from backend.live.frames import Frame, text_of
from backend.live.protocol import bypass_of

MAX_QUEUED = 256
"""Frames that may wait for a phone. More, and it is dropped: it comes back with `since` and misses nothing."""
CLOSE_WITHIN_S = 5.0
"""How long a phone that is being closed may take to read what was queued before; then it is abandoned."""


class Connection:
    """The sending half of a socket that was accepted.

    `send` and `close` never wait and may be called from anywhere in the loop. While the phone keeps up, `send`
    writes; when it does not, or the server gives no way past ASGI, frames queue for `run_writer`. Frames leave in
    the order they came: `send` writes only while nothing is queued and nothing is in the writer's hands, and takes
    along what `send_with_next` held back.

    For a phone that reads nothing there are, at most, the transport's buffer up to its high-water mark and one
    frame past it, and the queue. After a close nothing more is taken.
    """

    def __init__(self, scope: Scope, send: Send, user_id: str, login_id: str = "") -> None:
        self.user_id = user_id
        self.login_id = login_id
        self._asgi_send = send
        self._bypass = bypass_of(scope)
        self._write_now = self._bypass.write_now if self._bypass else _never
        self._loop = asyncio.get_running_loop()
        self._all_written = True
        self._held = b""
        self._frames: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._closing: CloseCode | None = None
        self._patience: asyncio.Timeout | None = None

    @property
    def closing(self) -> CloseCode | None:
        """The code of the first `close`, if there was one."""
        return self._closing

    @property
    def is_open(self) -> bool:
        return self._closing is None

    def send(self, frame: Frame) -> None:
        """Write the frame, or queue it."""
        held, self._held = self._held, b""
        if self._all_written and self._write_now(held + frame):
            return
        if held:
            self._queue(Frame(held))
        self._queue(frame)

    def send_with_next(self, frame: Frame) -> None:
        """Send the frame in one write with the next one; alone, if this turn of the loop brings no other."""
        self._send_held()
        self._held = frame
        self._loop.call_soon(self._send_held)

    def _send_held(self) -> None:
        held, self._held = self._held, b""
        if held:
            self.send(Frame(held))

    def _queue(self, frame: Frame) -> None:
        if self._closing is not None:
            return
        if len(self._frames) >= MAX_QUEUED:
            self._frames.clear()
            self.close(CloseCode.TOO_SLOW)
            return
        self._frames.append(frame)
        self._all_written = False
        self._wake.set()

    def close(self, code: CloseCode) -> None:
        """Send what is queued, then close with this code; the first call counts."""
        self._send_held()
        if self._closing is None:
            self._closing = code
            self._all_written = False
            self._wake.set()
            if self._patience is not None:
                self._patience.reschedule(self._loop.time() + CLOSE_WITHIN_S)

    async def run_writer(self) -> None:
        """Write what is queued until closed; then close the socket. Raises what ASGI raises when the phone is gone.

        Raises:
            TimeoutError: closed, but the phone reads nothing, not even that; it was cut off.
        """
        try:
            async with asyncio.timeout(None if self.is_open else CLOSE_WITHIN_S) as self._patience:
                await self._write()
        except TimeoutError:
            if self._bypass is not None:
                self._bypass.abort()
            raise
        finally:
            self._patience = None

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                text = text_of(self._frames.popleft())
                await self._asgi_send({"type": "websocket.send", "text": text, "bytes": None})
            if self._closing is not None:
                reason = self._closing.name.lower()
                await self._asgi_send(
                    {"type": "websocket.close", "code": int(self._closing), "reason": reason}
                )
                return
            self._all_written = True


def _never(_: bytes) -> bool:
    return False
