"""Route guards: one predicate each; asynchronous, as Litestar gives others a thread of their own."""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from backend.accounts.rules import Kind, Principal
from backend.errors import Forbidden, NotAuthenticated

Caller = Request[Principal, Any, State]
"""The request of somebody, behind a guard."""
MaybeCaller = Request[Principal | None, Any, State]
"""The request of anybody."""
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""What a guarded route says of itself in the API's description."""
Connection = ASGIConnection[Any, Principal | None, Any, Any]


async def signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    """Some person: a guest will do."""
    if _caller(connection).kind is Kind.DEVICE:
        raise Forbidden


async def staff(connection: Connection, _: BaseRouteHandler) -> None:
    """Somebody who works for a shop; at which one and as what, the use case asks by `works_at`."""
    if _caller(connection).kind is not Kind.STAFF:
        raise Forbidden


async def at_gate(connection: Connection, _: BaseRouteHandler) -> None:
    """Staff, or a gate's device: no other guard lets a device in. The use case asks by `works_at` and `gate_id`."""
    if _caller(connection).kind not in {Kind.STAFF, Kind.DEVICE}:
        raise Forbidden


def _caller(connection: Connection) -> Principal:
    if connection.user is None:
        raise NotAuthenticated
    return connection.user
