"""Getting frames to screens, with no word of carts: a bus between processes, sockets with bounded queues.

- `Bus` carries small messages between processes by Redis pub/sub. It may lose them and says so by `on_resync`.
- `Connection` is one socket: a frame is written at once or queued in order; a slow phone is dropped.
- `LiveProtocol`, given to uvicorn by `--ws`, lets one encoded frame go to every socket and a message be handled
  as it is read; `bypass_of` a socket is how.
- `SocketsOfUser` closes a user's oldest socket when there are too many.
- `close_codes` tells a client why a socket closed and whether it may come back.

Nothing here is of record: whoever uses it can recover everything from MongoDB.
"""

from backend.live.bus import Bus
from backend.live.close_codes import CloseCode
from backend.live.connection import Connection
from backend.live.frames import Frame, text_frame
from backend.live.protocol import bypass_of
from backend.live.sockets_of_user import SocketsOfUser

__all__ = ["Bus", "CloseCode", "Connection", "Frame", "SocketsOfUser", "bypass_of", "text_frame"]
