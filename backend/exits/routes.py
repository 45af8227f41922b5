"""The pass and the gate over HTTP."""

from litestar import get, post
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.accounts import BEARER, Caller, signed_in, staff
from backend.exits.schemas import GenerateIn, JwksOut, PassOut, ScanIn, VerdictOut
from backend.exits.service import Exits


@post(
    "/exit-pass/generate",
    status_code=200,
    guards=[signed_in],
    security=BEARER,
    tags=["Exit"],
    operation_id="generatePass",
    summary="The exit pass of a paid order",
    description="The same pass until its time is over, then a new one.",
)
async def generate_pass(
    data: JSONBody[GenerateIn], request: Caller, exits: NamedDependency[Exits]
) -> PassOut:
    return await exits.generate(request.user, data.order_id)


@post(
    "/gate/verify",
    status_code=200,
    guards=[staff],
    security=BEARER,
    tags=["Exit"],
    operation_id="verifyPass",
    summary="Judge a pass at a gate",
    description="`open` uses the pass up, once, under any race. The same scan repeated with its nonce gets the same "
    "answer. For gate staff of the store.",
)
async def verify_pass(data: JSONBody[ScanIn], request: Caller, exits: NamedDependency[Exits]) -> VerdictOut:
    return await exits.verify(request.user, data)


@post(
    "/gate/release",
    status_code=200,
    guards=[staff],
    security=BEARER,
    tags=["Exit"],
    operation_id="releasePass",
    summary="Let a checked shopper out",
    description="After the verdict `check` and a look into the bag. Uses the pass up.",
)
async def release_pass(data: JSONBody[ScanIn], request: Caller, exits: NamedDependency[Exits]) -> VerdictOut:
    return await exits.release(request.user, data)


@get(
    "/.well-known/jwks.json",
    tags=["Exit"],
    operation_id="exitKeys",
    summary="The public keys of all exit passes",
    cache_control=CacheControlHeader(public=True, max_age=60),
)
async def exit_keys(exits: NamedDependency[Exits]) -> JwksOut:
    return await exits.jwks()


ROUTES = [generate_pass, verify_pass, release_pass, exit_keys]
