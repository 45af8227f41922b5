"""uvicorn's WebSocket protocol and a way past it: `uvicorn --ws backend.live.protocol:LiveProtocol`.

ASGI takes one message for one socket and encodes it anew for each; what arrives waits in a queue until a task
wakes. A cart shows the same frame on many screens, and most commands are carried out without waiting for anything.
So this protocol hands the application a `Bypass` in `scope["extensions"]`: frames that were encoded before are
written at once, and messages are offered as they are read. It is an ASGI extension: under any other server the
application goes without.
"""

from collections.abc import Callable
from typing import Protocol, cast

from litestar.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame as Message
from websockets.http11 import Request
from websockets.protocol import State

EXTENSION = "qless.bypass"


class Bypass(Protocol):
    """A socket's way past ASGI. For the event loop's thread alone; nothing here waits.

    Attributes:
        take_now: is offered each text message, UTF-8 or not, unless one before it still waits for ASGI's `receive`;
            what it does not take, by giving False, goes there.
    """

    take_now: Callable[[bytes], bool] | None

    def write_now(self, frames: bytes) -> bool:
        """Hand whole frames to the transport; False, and nothing is done, when they had to wait or are too late.

        Who mixes it with ASGI's `send` calls it only when every `send` before has returned.
        """
        ...

    def abort(self) -> None:
        """End the connection and forget what the phone did not read."""
        ...


def bypass_of(scope: Scope) -> Bypass | None:
    """The bypass of a socket; None under a server that has none."""
    extension = (scope.get("extensions") or {}).get(EXTENSION)
    return cast(Bypass, extension["bypass"]) if extension else None


class LiveProtocol(WebSocketsSansIOProtocol):
    """One connection. What waits in the transport is bounded: past its high-water mark nothing is taken."""

    take_now: Callable[[bytes], bool] | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = {"bypass": self}

    def handle_text(self, event: Message) -> None:
        """See `Bypass.take_now`. What is part of a longer message goes the long way with the rest of it."""
        offered = event.fin and self.queue.empty()
        if not (offered and self.take_now is not None and self.take_now(bytes(event.data))):
            super().handle_text(event)

    def write_now(self, frames: bytes) -> bool:
        """See `Bypass`. No frame may follow a close frame, whoever sent it: the state is no longer open then."""
        if not self.writable.is_set() or self.conn.state is not State.OPEN or self.disconnected:
            return False
        self.transport.write(frames)
        return True

    def abort(self) -> None:
        self.transport.abort()
