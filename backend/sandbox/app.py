"""The gateway's HTTP face: a Litestar application over the book of orders and the webhooks."""

import hmac
import logging
import os
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from litestar import Litestar, Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.enums import MediaType
from litestar.exceptions import ClientException, HTTPException, NotAuthorizedException, NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery

from .orders import (
    Book,
    ExpiryPassed,
    NewOrder,
    NewRefund,
    Order,
    OrderError,
    OrderNotFound,
    Payment,
    Refund,
    Vpa,
)
from .page import ASSETS, render
from .webhooks import Webhooks

BODY_LIMIT = 4096
"""Bytes; the longest valid body is well under a kilobyte."""

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

logger = logging.getLogger(__name__)

AnyRequest = Request[Any, Any, Any]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
HttpUrl = Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[^/\s]+")]
BodyT = TypeVar("BodyT")

OrderId = FromPath[str]
TheBook = NamedDependency[Book]
TheWebhooks = NamedDependency[Webhooks]


class SandboxSettings(
    msgspec.Struct, frozen=True, kw_only=True, rename=lambda field: f"SANDBOX_{field.upper()}"
):
    """What the gateway is told at start; each field but the delays is the environment variable of its encoded name.

    ``webhook_ca`` is the path of the one certificate to trust where the merchant's server is https.
    """

    api_key: NonEmpty
    webhook_url: HttpUrl
    webhook_secret: NonEmpty
    webhook_ca: str | None = None
    public_url: HttpUrl
    retry_delays_s: tuple[float, ...] = (0.5, 1, 2, 5, 10, 30, 60, 120, 300)

    def __repr__(self) -> str:
        """For logs and traces: no secret is in it."""
        return f"SandboxSettings(public_url={self.public_url!r})"


class Payer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers on the UPI app's page."""

    vpa: Vpa = "shopper@sandbox"


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


@post("/orders")
async def place_order(request: AnyRequest, book: TheBook) -> Response[Order]:
    """201 for a new order, 200 for one placed before with the same body."""
    order, is_new = book.place(await body_of(request, NewOrder))
    return Response(order, status_code=201 if is_new else 200)


@get("/orders")
async def find_order(reference: FromQuery[str], book: TheBook) -> Order:
    """The merchant's way back to an order whose id was lost with the answer."""
    return book.find(reference)


@get("/orders/{order_id:str}")
async def get_order(order_id: OrderId, book: TheBook) -> Order:
    """The order with all its payments and refunds."""
    return book.get(order_id)


@post("/orders/{order_id:str}/close", status_code=200)
async def close_order(order_id: OrderId, request: AnyRequest, book: TheBook) -> Order:
    """The order, which takes no payment from now on; a paid one stays paid."""
    await body_of(request, Nothing)
    return book.close(order_id)


@post("/orders/{order_id:str}/refunds")
async def refund_order(
    order_id: OrderId, request: AnyRequest, book: TheBook, webhooks: TheWebhooks
) -> Response[Refund]:
    """201 for a new refund, told by a webhook; 200 and no webhook for one made before."""
    order, refund, is_new = book.refund(order_id, await body_of(request, NewRefund))
    if is_new:
        webhooks.send(order, refund)
    return Response(refund, status_code=201 if is_new else 200)


@get("/pay/{order_id:str}", media_type=MediaType.HTML)
async def pay_page(order_id: OrderId, book: TheBook) -> str:
    """The UPI app's page in the order's present state."""
    return render(book.get(order_id))


@post("/pay/{order_id:str}/approve", status_code=200)
async def approve(order_id: OrderId, request: AnyRequest, book: TheBook, webhooks: TheWebhooks) -> Payment:
    """The captured payment; of many approvals at once one succeeds."""
    return await pay("captured", order_id, request, book, webhooks)


@post("/pay/{order_id:str}/decline", status_code=200)
async def decline(order_id: OrderId, request: AnyRequest, book: TheBook, webhooks: TheWebhooks) -> Payment:
    """The failed payment; the order stays open for another try."""
    return await pay("failed", order_id, request, book, webhooks)


async def pay(
    status: Literal["captured", "failed"], order_id: str, request: AnyRequest, book: Book, webhooks: Webhooks
) -> Payment:
    """The payment added to the order; its webhook is under way."""
    payer = await body_of(request, Payer)
    order = book.pay(order_id, status, payer.vpa)
    webhooks.send(order)
    return order.payments[-1]


@get("/assets/{name:str}")
async def asset(name: FromPath[str]) -> Response[bytes]:
    """One of the page's files, from memory: no path of the disk is ever made of ``name``."""
    if name not in ASSETS:
        raise NotFoundException
    content, media_type = ASSETS[name]
    return Response(content, media_type=media_type)


@get("/health/live")
async def live() -> dict[str, str]:
    """Answers as long as the event loop turns."""
    return {"status": "live"}


def problem(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> Response[dict[str, Any]]:
    """An RFC 9457 answer whose title is the status's own phrase."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    headers = SECURITY_HEADERS | (headers or {})
    return Response(content, status_code=status, media_type="application/problem+json", headers=headers)


def on_order_error(_: AnyRequest, error: OrderError) -> Response[dict[str, Any]]:
    """What the order does not allow is a conflict, unless it is unknown or was asked for wrongly."""
    status = {ExpiryPassed: 400, OrderNotFound: 404}.get(type(error), 409)
    return problem(status, error.code, error.detail)


def on_http_error(_: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    """What Litestar, the key's guard and ``body_of`` refuse; the code is the status's name."""
    code = HTTPStatus(error.status_code).name.lower()
    return problem(error.status_code, code, error.detail, error.headers)


def on_fault(request: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    """A fault of the gateway itself, told in the log alone."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "internal_server_error", "The gateway failed; the fault is in its log.")


def create_app(settings: SandboxSettings) -> Litestar:
    """A gateway with an empty book; its webhooks are delivered while its lifespan lasts."""
    book = Book(settings.public_url)
    webhooks = Webhooks(
        settings.webhook_url, settings.webhook_secret, settings.retry_delays_s, settings.webhook_ca
    )

    def require_key(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        given = connection.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {settings.api_key}".encode()):
            raise NotAuthorizedException(
                "A valid API key is required.", headers={"www-authenticate": "Bearer"}
            )

    merchant = Router(
        "/v1",
        guards=[require_key],
        route_handlers=[place_order, find_order, get_order, close_order, refund_order],
    )
    return Litestar(
        [merchant, pay_page, approve, decline, asset, live],
        dependencies={
            "book": Provide(lambda: book, sync_to_thread=False),
            "webhooks": Provide(lambda: webhooks, sync_to_thread=False),
        },
        exception_handlers={OrderError: on_order_error, HTTPException: on_http_error, Exception: on_fault},
        lifespan=[webhooks],
        logging_config=None,
        openapi_config=None,
        request_max_body_size=BODY_LIMIT,
        response_headers=SECURITY_HEADERS,
    )


def from_environment() -> Litestar:
    """The gateway as the environment sets it, its log on stderr; a missing or malformed variable is refused by name."""
    logging.basicConfig(level=logging.INFO)
    return create_app(msgspec.convert(dict(os.environ), SandboxSettings))
