"""The merchant's API: orders, refunds, and the status of both."""

from typing import Any

from litestar import Response, get, post
from litestar.exceptions import ClientException
from litestar.params import FromQuery

from .orders import NewOrder, NewRefund, Order, Refund
from .problems import AnyRequest
from .requests import Id, Nothing, TheGateway, body_of, made, meet_api_faults, within


@post("/orders", before_request=meet_api_faults)
async def place_order(request: AnyRequest, gateway: TheGateway) -> Response[Any]:
    """201 for a new order, 200 for one placed before with the same body."""
    order, is_new = gateway.place(await body_of(request, NewOrder))
    return await made(order, is_new, gateway.faults.of(order.order_id))


@get("/orders", before_request=meet_api_faults)
async def find_orders(
    gateway: TheGateway, reference: FromQuery[str | None] = None, limit: FromQuery[int | None] = None
) -> Order | dict[str, list[Order]]:
    """The merchant's way back to an order whose id was lost with the answer; or the newest orders, for the console."""
    if reference is not None and limit is None:
        return gateway.find(reference)
    if limit is not None and reference is None:
        return {"orders": gateway.newest(within(limit))}
    raise ClientException("One of `reference` and `limit` must be given, and not both.")


@get("/orders/{order_id:str}", before_request=meet_api_faults)
async def get_order(order_id: Id, gateway: TheGateway) -> Order:
    """The order with all its payments and refunds."""
    return gateway.order(order_id)


@post("/orders/{order_id:str}/close", status_code=200, before_request=meet_api_faults)
async def close_order(order_id: Id, request: AnyRequest, gateway: TheGateway) -> Order:
    """The order, which takes no payment from now on; a paid one stays paid."""
    await body_of(request, Nothing)
    return gateway.close(order_id)


@post("/payments/{payment_id:str}/refunds", before_request=meet_api_faults)
async def refund_payment(payment_id: Id, request: AnyRequest, gateway: TheGateway) -> Response[Any]:
    """201 for a new refund, told by a webhook once it is settled; 200 for one made before."""
    refund, is_new = gateway.refund(payment_id, await body_of(request, NewRefund))
    return await made(refund, is_new, gateway.faults.of(refund.order_id))


@get("/refunds", before_request=meet_api_faults)
async def find_refund(reference: FromQuery[str], gateway: TheGateway) -> Refund:
    """The merchant's way back to a refund whose id was lost with the answer."""
    return gateway.find_refund(reference)
