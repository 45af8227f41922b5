"""Getting frames to screens, with no word of carts: a bus between processes, sockets with bounded queues.

- `Bus` carries small messages between processes by Redis pub/sub. It may lose them and says so by `on_resync`.
- `Connection` is one socket: frames go in at once, a writer task drains them, a slow phone is dropped.
- `close_codes` tells a client why a socket closed and whether it may come back.

Nothing here is of record: whoever uses it can recover everything from MongoDB.
"""

from backend.live.bus import Bus
from backend.live.close_codes import CloseCode
from backend.live.connection import Connection

__all__ = ["Bus", "CloseCode", "Connection"]
