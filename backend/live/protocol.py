"""uvicorn's WebSocket protocol and a way past it: `uvicorn --ws backend.live.protocol:LiveProtocol`.

ASGI takes one message for one socket, and encodes it anew for each. A cart shows the same frame on many screens,
so this protocol hands the application an `Outlet` in `scope["extensions"]`, which takes frames that were encoded
before and writes them at once. It is an ASGI extension: under any other server the application goes without.
"""

from typing import Protocol, cast

from litestar.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

EXTENSION = "qless.outlet"


class Outlet(Protocol):
    """A socket's way past ASGI. Both methods are for the event loop's thread, and neither waits."""

    def write_now(self, frames: bytes) -> bool:
        """Hand whole frames to the transport; False, and nothing is done, when they had to wait or are too late.

        Who mixes it with ASGI's `send` calls it only when every `send` before has returned.
        """
        ...

    def abort(self) -> None:
        """End the connection and forget what the phone did not read."""
        ...


def outlet_of(scope: Scope) -> Outlet | None:
    """The outlet of a socket; None under a server that has none."""
    extension = (scope.get("extensions") or {}).get(EXTENSION)
    return cast(Outlet, extension["outlet"]) if extension else None


class LiveProtocol(WebSocketsSansIOProtocol):
    """One connection. What waits in the transport is bounded: past its high-water mark nothing is taken."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = {"outlet": self}

    def write_now(self, frames: bytes) -> bool:
        """See `Outlet`. No frame may follow a close frame, whoever sent it: the state is no longer open then."""
        if not self.writable.is_set() or self.conn.state is not State.OPEN or self.disconnected:
            return False
        self.transport.write(frames)
        return True

    def abort(self) -> None:
        self.transport.abort()
