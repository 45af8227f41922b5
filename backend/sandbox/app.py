"""The gateway's application: its settings, its routes, and the key that guards the merchant's."""

import hmac
import logging
import os
from typing import Annotated, Any

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotAuthorizedException, NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath

from . import driver, merchant, shopper
from .errors import GatewayError
from .gateway import Gateway
from .page import ASSETS
from .problems import SECURITY_HEADERS, on_defect, on_gateway_error, on_http_error
from .webhooks import Target

BODY_LIMIT = 4096
"""Bytes; the longest valid body is well under a kilobyte."""

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
HttpUrl = Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[^/\s]+")]


class SandboxSettings(
    msgspec.Struct, frozen=True, kw_only=True, rename=lambda field: f"SANDBOX_{field.upper()}"
):
    """What the gateway is told at start; each field but the delays is the environment variable of its encoded name.

    ``old_webhook_secret`` signs only what a fault says; empty, there is none. ``webhook_ca`` is the path of the one certificate to trust
    where the merchant's server is https.
    """

    api_key: NonEmpty
    webhook_url: HttpUrl
    webhook_secret: NonEmpty
    old_webhook_secret: str = ""
    webhook_ca: str | None = None
    public_url: HttpUrl
    retry_delays_s: tuple[float, ...] = (0.5, 1, 2, 5, 10, 30, 60, 120, 300)

    def __repr__(self) -> str:
        """For logs and traces: no secret is in it."""
        return f"SandboxSettings(public_url={self.public_url!r})"


@get("/assets/{name:str}")
async def asset(name: FromPath[str]) -> Response[bytes]:
    """One of the pages' files, from memory: no path of the disk is ever made of ``name``."""
    if name not in ASSETS:
        raise NotFoundException
    content, media_type = ASSETS[name]
    return Response(content, media_type=media_type)


@get("/health/live")
async def live() -> dict[str, str]:
    """Answers as long as the event loop turns."""
    return {"status": "live"}


def create_app(settings: SandboxSettings) -> Litestar:
    """A gateway with an empty book; its webhooks are delivered while its lifespan lasts."""
    target = Target(
        settings.webhook_url,
        settings.webhook_secret,
        settings.old_webhook_secret,
        settings.retry_delays_s,
        settings.webhook_ca,
    )
    gateway = Gateway(settings.public_url, target)

    def require_key(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        given = connection.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {settings.api_key}".encode()):
            raise NotAuthorizedException(
                "A valid API key is required.", headers={"www-authenticate": "Bearer"}
            )

    return Litestar(
        [Router("/v1", guards=[require_key], route_handlers=KEYED), *OPEN],
        dependencies={"gateway": Provide(lambda: gateway, sync_to_thread=False)},
        exception_handlers={
            GatewayError: on_gateway_error,
            HTTPException: on_http_error,
            Exception: on_defect,
        },
        lifespan=[gateway],
        logging_config=None,
        openapi_config=None,
        request_max_body_size=BODY_LIMIT,
        response_headers=SECURITY_HEADERS,
        state=State({"gateway": gateway}),
    )


KEYED = [
    merchant.place_order,
    merchant.find_orders,
    merchant.get_order,
    merchant.close_order,
    merchant.refund_payment,
    merchant.find_refund,
    driver.get_faults,
    driver.put_faults,
    driver.get_order_faults,
    driver.put_order_faults,
    driver.delete_order_faults,
    driver.expire_order,
    driver.settle_payment,
    driver.settle_refund,
    driver.list_webhooks,
    driver.release_webhooks,
    driver.resend_webhook,
]
"""What asks for the merchant's key."""

OPEN = [driver.console, shopper.pay_page, shopper.approve, shopper.decline, asset, live]
"""What asks for no key: order ids cannot be guessed, and the pages hold no data of others."""


def from_environment() -> Litestar:
    """The gateway as the environment sets it, its log on stderr; a missing or malformed variable is refused by name."""
    logging.basicConfig(level=logging.INFO)
    return create_app(msgspec.convert(dict(os.environ), SandboxSettings))
