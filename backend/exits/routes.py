"""The pass and the gate over HTTP."""

from typing import Annotated

from litestar import get, post
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import JSONBody, PathParameter, QueryParameter

from backend.accounts import BEARER, Caller, at_gate, signed_in, staff
from backend.exits.gate import Gate
from backend.exits.schemas import (
    GateEventsOut,
    GenerateIn,
    JwksOut,
    PassOut,
    RevokedOut,
    RevokeIn,
    RotatedOut,
    RotateIn,
    ScanIn,
    VerdictOut,
)
from backend.exits.service import Exits
from backend.kit.idempotency import Idempotency, OptionalKey
from backend.kit.schema import ID_PATTERN

StoreId = Annotated[
    str, PathParameter(max_length=64, pattern=ID_PATTERN, examples=[Example(value="store_demo_blr")])
]
OrderId = Annotated[
    str | None,
    QueryParameter(max_length=64, pattern=ID_PATTERN, description="Only what happened with this order."),
]
Cursor = Annotated[
    str | None, QueryParameter(max_length=400, description="`next` of the page before; none for the newest.")
]
PageSize = Annotated[int, QueryParameter(ge=1, le=200, description="Rows a page.")]


@post(
    "/exit-pass/generate",
    status_code=200,
    guards=[signed_in],
    security=BEARER,
    tags=["Exit"],
    operation_id="generatePass",
    summary="The exit pass of a paid order",
    description="The same pass until its time is over or its key was withdrawn, then a new one. Ask again when the gate "
    "says `pass_expired` or `key_withdrawn`.",
)
async def generate_pass(
    data: JSONBody[GenerateIn],
    request: Caller,
    exits: NamedDependency[Exits],
    idempotency: NamedDependency[Idempotency],
    idempotency_key: OptionalKey = None,
) -> PassOut:
    async def work(_: str) -> PassOut:
        return await exits.generate(request.user, data.order_id)

    return await idempotency.once(idempotency_key, request.user.user_id, "generate", data, PassOut, work)


@post(
    "/exit-pass/revoke",
    status_code=200,
    guards=[staff],
    security=BEARER,
    tags=["Exit"],
    operation_id="revokePass",
    summary="Withdraw a pass that was not used",
    description="For supervisors of the store. A used pass cannot be withdrawn: `pass_used`.",
)
async def revoke_pass(data: JSONBody[RevokeIn], request: Caller, exits: NamedDependency[Exits]) -> RevokedOut:
    return await exits.revoke_by_hand(request.user, data)


@post(
    "/gate/verify",
    status_code=200,
    guards=[at_gate],
    security=BEARER,
    tags=["Exit"],
    operation_id="verifyPass",
    summary="Judge a pass at a gate",
    description="`open` uses the pass up, once, under any race. The same scan repeated with its nonce gets the same "
    "answer, whatever it was; the nonce with another token is `id_reused`. For gate staff and gate devices of the store.",
)
async def verify_pass(data: JSONBody[ScanIn], request: Caller, gate: NamedDependency[Gate]) -> VerdictOut:
    return await gate.verify(request.user, data)


@post(
    "/gate/release",
    status_code=200,
    guards=[at_gate],
    security=BEARER,
    tags=["Exit"],
    operation_id="releasePass",
    summary="Let a checked shopper out",
    description="After the verdict `check` and a look into the bag, with the scan's nonce or another. Uses the pass up. A pass to "
    "which no gate of the store said `check` is refused: `not_checked`.",
)
async def release_pass(data: JSONBody[ScanIn], request: Caller, gate: NamedDependency[Gate]) -> VerdictOut:
    return await gate.release(request.user, data)


@get(
    "/stores/{store_id:str}/gate/events",
    guards=[staff],
    security=BEARER,
    tags=["Exit"],
    operation_id="gateEvents",
    summary="What happened at a store's gates, newest first",
    description="Every verdict, release, withdrawn pass and key of the last 180 days. For supervisors of the store.",
)
async def gate_events(
    store_id: StoreId,
    request: Caller,
    gate: NamedDependency[Gate],
    order_id: OrderId = None,
    cursor: Cursor = None,
    page_size: PageSize = 50,
) -> GateEventsOut:
    return await gate.events(request.user, store_id, order_id, cursor, page_size)


@post(
    "/exit-keys/rotate",
    status_code=200,
    guards=[staff],
    security=BEARER,
    tags=["Exit"],
    operation_id="rotateExitKeys",
    summary="Replace a store's signing key at once",
    description="For managers of the store, when a key is lost; otherwise keys are replaced by themselves. Servers notice "
    "within 5 s, a gate without a network when it fetches the keys again. Sent twice, it makes two keys.",
)
async def rotate_exit_keys(
    data: JSONBody[RotateIn], request: Caller, exits: NamedDependency[Exits]
) -> RotatedOut:
    return await exits.rotate_keys(request.user, data)


@get(
    "/.well-known/jwks.json",
    tags=["Exit"],
    operation_id="exitKeys",
    summary="The public keys of all exit passes",
    description="A key is here from a day before it signs until the last of its passes ran out.",
    cache_control=CacheControlHeader(public=True, max_age=60),
)
async def exit_keys(exits: NamedDependency[Exits]) -> JwksOut:
    return await exits.jwks()


ROUTES = [
    generate_pass,
    revoke_pass,
    verify_pass,
    release_pass,
    gate_events,
    rotate_exit_keys,
    exit_keys,
]
