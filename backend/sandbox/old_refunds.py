"""Refunds by order: of its last captured payment."""

from typing import Any

from litestar import Response, post

from .errors import RefundExceedsPayment
from .orders import NewRefund
from .problems import AnyRequest
from .requests import Id, TheGateway, body_of, made, meet_api_faults


@post("/orders/{order_id:str}/refunds", before_request=meet_api_faults)
async def refund_order(order_id: Id, request: AnyRequest, gateway: TheGateway) -> Response[Any]:
    """201 for a new refund, 200 for one made before."""
    new = await body_of(request, NewRefund)
    captured = [one for one in gateway.order(order_id).payments if one.status == "captured"]
    if not captured:
        raise RefundExceedsPayment
    refund, is_new = gateway.refund(captured[-1].payment_id, new)
    return await made(refund, is_new, gateway.faults.of(order_id))
