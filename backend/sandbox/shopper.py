"""The shopper's side: the UPI app's page and its answers."""

import msgspec
from litestar import get, post
from litestar.enums import MediaType

from .errors import GatewayError
from .gateway import Gateway
from .orders import Order, Payment, Vpa
from .page import render
from .problems import AnyRequest
from .requests import Id, TheGateway, body_of


class Payer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers on the UPI app's page."""

    vpa: Vpa = "shopper@sandbox"


@get("/pay/{order_id:str}", media_type=MediaType.HTML)
async def pay_page(order_id: Id, gateway: TheGateway) -> str:
    """The UPI app's page in the order's present state."""
    order = gateway.order(order_id)
    return render(order, _is_payable(order, gateway))


def _is_payable(order: Order, gateway: Gateway) -> bool:
    try:
        order.require_payable(gateway.faults.of(order.order_id).accept_late)
    except GatewayError:
        return False
    return True


@post("/pay/{order_id:str}/approve", status_code=200)
async def approve(order_id: Id, request: AnyRequest, gateway: TheGateway) -> Payment:
    """The captured payment; of many approvals at once one succeeds."""
    return gateway.approve(order_id, (await body_of(request, Payer)).vpa)


@post("/pay/{order_id:str}/decline", status_code=200)
async def decline(order_id: Id, request: AnyRequest, gateway: TheGateway) -> Payment:
    """The failed payment; the order stays open for another try."""
    return gateway.decline(order_id, (await body_of(request, Payer)).vpa)
