"""Payments over HTTP, and where gateways report."""

from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from backend.accounts import BEARER, Caller, signed_in
from backend.payments.schemas import InitiateIn, PaymentOut, WebhookOut
from backend.payments.service import Payments
from backend.payments.settle import Settlement

WEBHOOK = (
    "The signature is checked on the raw bytes. 2xx means committed (a duplicate too); 503 asks the gateway to send "
    "it again."
)


@post(
    "/payment/initiate",
    guards=[signed_in],
    security=BEARER,
    tags=["Payment"],
    operation_id="initiatePayment",
    summary="Lock the cart and start to pay a quote",
    description="Asking again for the same quote answers the same payment. The webhook settles it, not the phone: "
    "watch the socket's `notice`, or ask `GET /payment/{payment_id}`.",
)
async def initiate_payment(
    data: JSONBody[InitiateIn],
    request: Caller,
    payments: NamedDependency[Payments],
) -> PaymentOut:
    return await payments.initiate(request.user, data.quote_id, data.signature)


@get(
    "/payment/{payment_id:str}",
    guards=[signed_in],
    security=BEARER,
    tags=["Payment"],
    operation_id="getPayment",
    summary="How far a payment is; for its payer",
)
async def get_payment(
    payment_id: FromPath[str], request: Caller, payments: NamedDependency[Payments]
) -> PaymentOut:
    return await payments.get(request.user, payment_id)


@post(
    "/payment/webhook",
    status_code=200,
    tags=["Payment"],
    operation_id="receiveSandboxWebhook",
    summary="Where the sandbox gateway reports",
    description=WEBHOOK,
    opt={"exclude_from_auth": True},
)
async def receive_sandbox_webhook(
    request: Request[Any, Any, Any], settlement: NamedDependency[Settlement]
) -> WebhookOut:
    return await _settle("sandbox", request, settlement)


@post(
    "/payment/webhook/{gateway:str}",
    status_code=200,
    tags=["Payment"],
    operation_id="receiveWebhook",
    summary="Where a gateway reports",
    description=WEBHOOK,
    opt={"exclude_from_auth": True},
)
async def receive_webhook(
    gateway: FromPath[str], request: Request[Any, Any, Any], settlement: NamedDependency[Settlement]
) -> WebhookOut:
    return await _settle(gateway, request, settlement)


async def _settle(gateway: str, request: Request[Any, Any, Any], settlement: Settlement) -> WebhookOut:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return WebhookOut(outcome=await settlement.receive(gateway, headers, await request.body()))


ROUTES = [initiate_payment, get_payment, receive_sandbox_webhook, receive_webhook]
