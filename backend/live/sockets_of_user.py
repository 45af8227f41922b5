"""How many sockets one user may have open in a process."""

from backend.live.close_codes import CloseCode
from backend.live.connection import Connection

MAX_SOCKETS = 10


class SocketsOfUser:
    """Each user's open sockets in this process, the oldest first.

    One too many closes the oldest, not the newest: the oldest may be half dead, and must not lock its owner out.
    """

    def __init__(self) -> None:
        self._open: dict[str, list[Connection]] = {}

    def enter(self, connection: Connection) -> None:
        mine = self._open.setdefault(connection.user_id, [])
        mine.append(connection)
        if len(mine) > MAX_SOCKETS:
            mine.pop(0).close(CloseCode.REPLACED)

    def leave(self, connection: Connection) -> None:
        mine = self._open.get(connection.user_id, [])
        if connection in mine:
            mine.remove(connection)
        if not mine:
            self._open.pop(connection.user_id, None)
