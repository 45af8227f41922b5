"""What every route needs of a request: its parts, its body, and whether the API is to work for it."""

import asyncio
from typing import Any, TypeVar

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from litestar.params import FromPath

from .errors import GatewayError
from .faults import Faults
from .gateway import Gateway
from .problems import AnyRequest, CutOff, problem

MAX_LISTED = 200

BodyT = TypeVar("BodyT")
ContentT = TypeVar("ContentT")

Id = FromPath[str]
TheGateway = NamedDependency[Gateway]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body that has nothing to say."""


async def body_of(request: AnyRequest, shape: type[BodyT]) -> BodyT:
    """The request's body, decoded strictly; an empty one counts as ``{}``.

    Raises:
        ClientException: the body is not of this shape.
    """
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # the latter on bytes that are not UTF-8
        raise ClientException(str(error)) from error


def within(limit: int) -> int:
    """The limit of a list.

    Raises:
        ClientException: it is not from 1 to 200.
    """
    if not 1 <= limit <= MAX_LISTED:
        raise ClientException(f"`limit` must be from 1 to {MAX_LISTED}.")
    return limit


async def meet_api_faults(request: AnyRequest) -> Response[Any] | None:
    """Runs before each call of the merchant's API: the answer that a fault makes, or None where none does."""
    if request.url.path == "/v1/orders" and "limit" in request.query_params:  # the driver's list
        return None
    gateway: Gateway = request.app.state.gateway
    try:
        faults = gateway.faults.of(_order_named_by(request, gateway))
    except GatewayError:
        faults = gateway.faults.everywhere
    if faults.api != "up":
        await asyncio.sleep(faults.api_hang_s)
        if faults.api == "drops":
            return CutOff()
        return problem(503, "gateway_unavailable", "The gateway is down, as its faults ask for.")
    if request.method == "GET":
        await asyncio.sleep(faults.status_delay_s)
    return None


def _order_named_by(request: AnyRequest, gateway: Gateway) -> str | None:
    """The id of the order that the call is about; None when it names none."""
    if payment_id := request.path_params.get("payment_id"):
        return gateway.order_of_payment(payment_id).order_id
    if reference := request.query_params.get("reference"):
        find = gateway.find_refund if request.url.path.endswith("/refunds") else gateway.find
        return find(reference).order_id
    return request.path_params.get("order_id")


async def made(content: ContentT, is_new: bool, faults: Faults) -> Response[ContentT] | CutOff:
    """The answer to a call that made something, 201, or found it made before, 200: late or lost by a fault."""
    await asyncio.sleep(faults.create_delay_s)
    return CutOff() if faults.create_answer_lost else Response(content, status_code=201 if is_new else 200)
