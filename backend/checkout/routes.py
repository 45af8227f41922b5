"""The quote and the orders over HTTP."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from backend.accounts import BEARER, Caller, signed_in
from backend.checkout.orders import Orders
from backend.checkout.quotes import Quotes
from backend.checkout.schemas import CalculateIn, HistoryOut, OrderOut, QuoteOut


@post(
    "/checkout/calculate",
    status_code=200,
    guards=[signed_in],
    security=BEARER,
    tags=["Checkout"],
    operation_id="calculate",
    summary="Quote the cart",
    description="Lines, the tax contained in them, totals and a signature, good for ten minutes. It locks nothing; "
    "an event after it makes it stale.",
)
async def calculate(
    data: JSONBody[CalculateIn], request: Caller, quotes: NamedDependency[Quotes]
) -> QuoteOut:
    return await quotes.calculate(request.user, data.session_id)


@get(
    "/orders/history",
    guards=[signed_in],
    security=BEARER,
    tags=["Orders"],
    operation_id="orderHistory",
    summary="The caller's orders, newest first",
)
async def order_history(
    request: Caller,
    orders: NamedDependency[Orders],
    page: Annotated[int, QueryParameter(ge=1, le=10_000, description="Counted from 1.")] = 1,
    page_size: Annotated[int, QueryParameter(ge=1, le=100, description="Orders a page.")] = 20,
) -> HistoryOut:
    return await orders.history(request.user, page, page_size)


@get(
    "/orders/{order_id:str}",
    guards=[signed_in],
    security=BEARER,
    tags=["Orders"],
    operation_id="getOrder",
    summary="One order of the caller's",
)
async def get_order(order_id: FromPath[str], request: Caller, orders: NamedDependency[Orders]) -> OrderOut:
    return await orders.get(request.user, order_id)


ROUTES = [calculate, order_history, get_order]
