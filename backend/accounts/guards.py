"""Route guards: one predicate each."""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from backend.accounts.rules import Kind, Principal
from backend.errors import Forbidden, NotAuthenticated

Caller = Request[Principal, Any, State]
"""The request of somebody, behind `signed_in` or `staff`."""
MaybeCaller = Request[Principal | None, Any, State]
"""The request of anybody."""
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""What a guarded route says of itself in the API's description."""
Connection = ASGIConnection[Any, Principal | None, Any, Any]


def signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    """Somebody: a guest will do."""
    _caller(connection)


def staff(connection: Connection, _: BaseRouteHandler) -> None:
    """Somebody who works for a shop; at which one and as what, the use case asks by `works_at`."""
    if _caller(connection).kind is not Kind.STAFF:
        raise Forbidden


def _caller(connection: Connection) -> Principal:
    if connection.user is None:
        raise NotAuthenticated
    return connection.user
