"""Payments over HTTP, and where gateways report."""

from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from backend.accounts import BEARER, Caller, signed_in, staff
from backend.kit.idempotency import Idempotency, OptionalKey, RequiredKey
from backend.payments.refunds import Refunds
from backend.payments.schemas import InitiateIn, PaymentOut, RefundIn, RefundOut, WebhookOut
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
    description="Asking again for the same quote answers the same payment; once that ended unpaid, it starts another, "
    "as long as no line of the cart changed. The gateway's webhook settles it, not the phone: watch the socket's "
    "`notice`, or ask `GET /payment/{payment_id}`.",
)
async def initiate_payment(
    data: JSONBody[InitiateIn],
    request: Caller,
    payments: NamedDependency[Payments],
    idempotency: NamedDependency[Idempotency],
    idempotency_key: OptionalKey = None,
) -> PaymentOut:
    async def work(_: str) -> PaymentOut:
        return await payments.initiate(request.user, data.quote_id, data.signature)

    return await idempotency.once(idempotency_key, request.user.user_id, "initiate", data, PaymentOut, work)


@post(
    "/payment/{payment_id:str}/cancel",
    status_code=200,
    guards=[signed_in],
    security=BEARER,
    tags=["Payment"],
    operation_id="cancelPayment",
    summary="Give up a payment that was not made; for its payer",
    description="The cart is open again with the answer. A payment that ended unpaid stays as it is.",
)
async def cancel_payment(
    payment_id: FromPath[str], request: Caller, payments: NamedDependency[Payments]
) -> PaymentOut:
    return await payments.cancel(request.user, payment_id)


@post(
    "/payment/refund/{payment_id:str}",
    guards=[staff],
    security=BEARER,
    tags=["Payment"],
    operation_id="refundPayment",
    summary="Give money back; for supervisors of the store",
    description="A part, or all that is left. When nothing is left, the order's exit pass is revoked unless it was "
    "used. The gateway's webhook says when the money has left; ask `GET /payment/{payment_id}`.",
)
async def refund_payment(
    payment_id: FromPath[str],
    data: JSONBody[RefundIn],
    request: Caller,
    refunds: NamedDependency[Refunds],
    idempotency: NamedDependency[Idempotency],
    idempotency_key: RequiredKey,
) -> RefundOut:
    async def work(request_id: str) -> RefundOut:
        return await refunds.ask(request.user, payment_id, data, request_id)

    operation = f"refund {payment_id}"
    return await idempotency.once(idempotency_key, request.user.user_id, operation, data, RefundOut, work)


@get(
    "/payment/{payment_id:str}",
    guards=[signed_in],
    security=BEARER,
    tags=["Payment"],
    operation_id="getPayment",
    summary="How far a payment and its refunds are; for its payer, and for supervisors of the store",
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
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        # One that comes twice is one value with a comma (RFC 9110, section 5.3), which no signature is right for.
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return WebhookOut(outcome=await settlement.receive(gateway, headers, await request.body()))


ROUTES = [
    initiate_payment,
    cancel_payment,
    refund_payment,
    get_payment,
    receive_sandbox_webhook,
    receive_webhook,
]
