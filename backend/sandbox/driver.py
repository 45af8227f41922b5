"""For whoever drives the simulator: faults, time, payments and refunds settled by hand, webhooks, and the console over all of it.

No fault reaches these, so that what was broken can be healed.
"""

from typing import Literal

import msgspec
from litestar import delete, get, post, put
from litestar.enums import MediaType
from litestar.params import FromQuery

from .faults import Faults
from .orders import Order, Payment, Refund
from .page import CONSOLE
from .problems import AnyRequest
from .requests import Id, Nothing, TheGateway, body_of, within
from .webhooks import Sent


class PaymentSettlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of an authorized payment, or of a failed one after all."""

    status: Literal["captured", "failed"]


class RefundSettlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a pending refund."""

    status: Literal["processed", "failed"]


@get("/faults")
async def get_faults(gateway: TheGateway) -> Faults:
    """The faults of the whole process."""
    return gateway.faults.everywhere


@put("/faults")
async def put_faults(request: AnyRequest, gateway: TheGateway) -> Faults:
    """The faults of the whole process from now on; ``{}`` heals it."""
    return gateway.set_faults(None, await body_of(request, Faults))


@get("/orders/{order_id:str}/faults")
async def get_order_faults(order_id: Id, gateway: TheGateway) -> Faults:
    """The faults in force for this order, its own or the process's."""
    return gateway.faults.of(gateway.order(order_id).order_id)


@put("/orders/{order_id:str}/faults")
async def put_order_faults(order_id: Id, request: AnyRequest, gateway: TheGateway) -> Faults:
    """The faults of this order from now on, whatever the process's are; ``{}`` heals it."""
    return gateway.set_faults(order_id, await body_of(request, Faults))


@delete("/orders/{order_id:str}/faults")
async def delete_order_faults(order_id: Id, gateway: TheGateway) -> None:
    """The order has the process's faults again."""
    gateway.faults.forget(gateway.order(order_id).order_id)


@post("/orders/{order_id:str}/expire", status_code=200)
async def expire_order(order_id: Id, request: AnyRequest, gateway: TheGateway) -> Order:
    """The order, as if its time were over; a final one stays as it is."""
    await body_of(request, Nothing)
    return gateway.expire(order_id)


@post("/payments/{payment_id:str}/settle", status_code=200)
async def settle_payment(payment_id: Id, request: AnyRequest, gateway: TheGateway) -> Payment:
    """The payment, captured or failed by hand."""
    return gateway.settle_payment(payment_id, (await body_of(request, PaymentSettlement)).status)


@post("/refunds/{refund_id:str}/settle", status_code=200)
async def settle_refund(refund_id: Id, request: AnyRequest, gateway: TheGateway) -> Refund:
    """The refund, processed or failed by hand."""
    return gateway.settle_refund(refund_id, (await body_of(request, RefundSettlement)).status)


@get("/webhooks")
async def list_webhooks(
    gateway: TheGateway, limit: FromQuery[int] = 50, order_id: FromQuery[str | None] = None
) -> dict[str, list[Sent]]:
    """The newest events with the tries to deliver them, of one order when it is named."""
    return {"webhooks": gateway.webhooks.newest(within(limit), order_id)}


@post("/webhooks/release", status_code=200)
async def release_webhooks(request: AnyRequest, gateway: TheGateway) -> dict[str, int]:
    """How many deliveries were held and are on their way now, newest event first."""
    await body_of(request, Nothing)
    return {"released": gateway.webhooks.release()}


@post("/webhooks/{event_id:str}/resend", status_code=202)
async def resend_webhook(event_id: Id, request: AnyRequest, gateway: TheGateway) -> Sent:
    """The event, which is under way once more."""
    await body_of(request, Nothing)
    return gateway.resend(event_id)


@get("/console", media_type=MediaType.HTML)
async def console() -> str:
    """The console; it asks for the key itself."""
    return CONSOLE
