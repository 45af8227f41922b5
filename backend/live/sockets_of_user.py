"""The open sockets of a process by their users: how many one may have, and how they end with a login."""

from collections.abc import Container

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

    def end_logins(self, ended: Container[str]) -> None:
        """Close the sockets of these logins; their tokens are refused already."""
        for mine in self._open.values():
            for connection in mine:
                if connection.login_id in ended:
                    connection.close(CloseCode.NOT_AUTHENTICATED)
