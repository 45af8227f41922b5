"""One socket's way out: frames are queued at once, a writer drains them, a slow phone is dropped."""

import asyncio
from collections import deque
from typing import Any

from litestar import WebSocket

from backend.live.close_codes import CloseCode

MAX_QUEUED = 256
"""Frames that may wait for a phone. More, and it is dropped: it comes back with `since` and misses nothing."""
CLOSE_WITHIN_S = 5.0
"""How long a phone that is being closed may take to read what was queued before; then it is abandoned."""


class Connection:
    """The sending half of a socket.

    `send` and `close` never wait and may be called from anywhere in the loop; `run_writer` is the only one
    that touches the socket. After a close nothing more is queued.
    """

    def __init__(self, socket: WebSocket[Any, Any, Any], user_id: str) -> None:
        self.user_id = user_id
        self._socket = socket
        self._frames: deque[str] = deque()
        self._wake = asyncio.Event()
        self._closing: CloseCode | None = None
        self._patience: asyncio.Timeout | None = None

    @property
    def is_open(self) -> bool:
        return self._closing is None

    def send(self, frame: str) -> None:
        """Queue one encoded frame."""
        if self._closing is not None:
            return
        if len(self._frames) >= MAX_QUEUED:
            self._frames.clear()
            self.close(CloseCode.TOO_SLOW)
            return
        self._frames.append(frame)
        self._wake.set()

    def close(self, code: CloseCode) -> None:
        """Send what is queued, then close with this code; the first call counts."""
        if self._closing is None:
            self._closing = code
            self._wake.set()
            if self._patience is not None:
                self._patience.reschedule(asyncio.get_running_loop().time() + CLOSE_WITHIN_S)

    async def run_writer(self) -> None:
        """Write until closed; then close the socket. Raises what the socket raises when the phone is gone.

        Raises:
            TimeoutError: closed, but the phone reads nothing, not even that.
        """
        try:
            async with asyncio.timeout(None if self.is_open else CLOSE_WITHIN_S) as self._patience:
                await self._write()
        finally:
            self._patience = None

    async def _write(self) -> None:
        send = self._socket.send
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                await send({"type": "websocket.send", "text": self._frames.popleft(), "bytes": None})
            if self._closing is not None:
                await send(
                    {
                        "type": "websocket.close",
                        "code": int(self._closing),
                        "reason": self._closing.name.lower(),
                    }
                )
                return
