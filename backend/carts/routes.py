"""Sessions and carts over HTTP. The socket is the better way in; these go through the same commands."""

from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody

from backend.accounts import BEARER, Caller, signed_in
from backend.carts.commands import AddItem, RemoveItem
from backend.carts.guessing import join_limits
from backend.carts.schemas import (
    AddIn,
    CommittedOut,
    JoinIn,
    JoinOut,
    RemoveIn,
    SessionOut,
    StartIn,
    session_out,
)
from backend.carts.service import Carts
from backend.errors import JoinLinkInvalid
from backend.kit.ids import new_id
from backend.kit.schema import COMMAND_ID_PATTERN
from backend.kit.throttle import Throttle

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=64,
        pattern=COMMAND_ID_PATTERN,
        description="Made by the client and never reused: a repeat with the same key is answered, not applied "
        "again. Without it every request counts.",
    ),
]


@post(
    "/session/start",
    guards=[signed_in],
    security=BEARER,
    tags=["Session"],
    operation_id="startSession",
    summary="Start a shopping session",
    description="The caller is the host. `join` is how the family gets in; it is shown once.",
)
async def start_session(
    data: JSONBody[StartIn], request: Caller, carts: NamedDependency[Carts]
) -> SessionOut:
    return await carts.start(request.user, data)


@post(
    "/session/join",
    status_code=200,
    guards=[signed_in],
    security=BEARER,
    tags=["Session"],
    operation_id="joinSession",
    summary="Join a session by its link",
    description="A guest's token is enough. Joining twice is joining once. Who tries many wrong tokens must wait.",
)
async def join_session(
    data: JSONBody[JoinIn],
    request: Caller,
    carts: NamedDependency[Carts],
    throttle: NamedDependency[Throttle],
) -> SessionOut:
    async with throttle.counting(*join_limits(request), wrong=JoinLinkInvalid):
        return await carts.join(request.user, data)


@get(
    "/session/{session_id:str}",
    guards=[signed_in],
    security=BEARER,
    tags=["Session"],
    operation_id="getSession",
    summary="The session as it is now",
)
async def get_session(
    session_id: FromPath[str], request: Caller, carts: NamedDependency[Carts]
) -> SessionOut:
    return await carts.session(request.user, session_id)


@post(
    "/session/{session_id:str}/join-link",
    guards=[signed_in],
    security=BEARER,
    tags=["Session"],
    operation_id="renewJoinLink",
    summary="A new join link; the one before ends",
)
async def renew_join_link(
    session_id: FromPath[str], request: Caller, carts: NamedDependency[Carts]
) -> JoinOut:
    return await carts.renew_join_link(request.user, session_id)


@delete(
    "/session/{session_id:str}/join-link",
    guards=[signed_in],
    security=BEARER,
    tags=["Session"],
    operation_id="endJoinLink",
    summary="End the join link",
    description="Nobody joins until the host makes a new one.",
)
async def end_join_link(session_id: FromPath[str], request: Caller, carts: NamedDependency[Carts]) -> None:
    await carts.end_join_link(request.user, session_id)


@post(
    "/session/{session_id:str}/restore",
    status_code=200,
    guards=[signed_in],
    security=BEARER,
    tags=["Session"],
    operation_id="restoreSession",
    summary="Take up an abandoned session",
    description="A cart in which nothing happened for hours is abandoned; any adult of it takes it up as it was.",
)
async def restore_session(
    session_id: FromPath[str], request: Caller, carts: NamedDependency[Carts]
) -> SessionOut:
    return await carts.restore(request.user, session_id)


@post(
    "/cart/add",
    status_code=200,
    guards=[signed_in],
    security=BEARER,
    tags=["Cart"],
    operation_id="addItem",
    summary="Scan a barcode into the cart",
)
async def add_item(
    data: JSONBody[AddIn],
    request: Caller,
    carts: NamedDependency[Carts],
    idempotency_key: IdempotencyKey = None,
) -> CommittedOut:
    command = AddItem(data.barcode, data.qty)
    return await _commit(carts, request, data.session_id, idempotency_key, command)


@post(
    "/cart/remove",
    status_code=200,
    guards=[signed_in],
    security=BEARER,
    tags=["Cart"],
    operation_id="removeItem",
    summary="Take a line out of the cart",
)
async def remove_item(
    data: JSONBody[RemoveIn],
    request: Caller,
    carts: NamedDependency[Carts],
    idempotency_key: IdempotencyKey = None,
) -> CommittedOut:
    return await _commit(carts, request, data.session_id, idempotency_key, RemoveItem(data.line_id))


async def _commit(
    carts: Carts,
    request: Caller,
    session_id: str,
    key: str | None,
    command: AddItem | RemoveItem,
) -> CommittedOut:
    seq, state = await carts.command(request.user.user_id, session_id, key or new_id("cmd"), command)
    return CommittedOut(seq=seq, session=session_out(state))


ROUTES = [
    start_session,
    join_session,
    get_session,
    renew_join_link,
    end_join_link,
    restore_session,
    add_item,
    remove_item,
]
