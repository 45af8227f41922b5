"""The sandbox provider, spoken to over HTTP like any other."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
import msgspec

from backend import errors
from backend.payments.gateway import EventKind, GatewayEvent, GatewayOrder
from backend.payments.upi import Payee
from backend.settings import Settings

TOLERANCE_S = 300
"""How far a webhook's time may be from ours."""
_KINDS = {
    "payment.captured": EventKind.CAPTURED,
    "payment.failed": EventKind.FAILED,
    "refund.processed": EventKind.REFUNDED,
}


class _OrderPart(msgspec.Struct):
    order_id: str
    reference: str


class _MoneyPart(msgspec.Struct):
    amount_minor: int
    payment_id: str = ""
    currency: str = "INR"


class _Webhook(msgspec.Struct):
    id: str
    event: str
    order: _OrderPart
    payment: _MoneyPart
    refund: _MoneyPart | None = None


class _Order(msgspec.Struct):
    order_id: str
    payee_vpa: str
    payee_name: str
    merchant_code: str
    pay_url: str


class SandboxGateway:
    """A client of the sandbox's API, and the reader of its webhooks."""

    name = "sandbox"

    def __init__(self, settings: Settings) -> None:
        self._secrets = [secret.encode() for secret in settings.sandbox_webhook_secrets]
        self._http = httpx.AsyncClient(
            base_url=settings.qless_sandbox_url,
            headers={"authorization": f"Bearer {settings.qless_sandbox_api_key}"},
            timeout=3,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def create_order(
        self, reference: str, amount_minor: int, currency: str, note: str, expires_at: datetime
    ) -> GatewayOrder:
        body = {
            "reference": reference,
            "amount_minor": amount_minor,
            "currency": currency,
            "note": note,
            "expires_at": expires_at.isoformat().replace("+00:00", "Z"),
        }
        order = msgspec.json.decode(await self._post("/v1/orders", body), type=_Order)
        payee = Payee(order.payee_vpa, order.payee_name, order.merchant_code)
        return GatewayOrder(order.order_id, payee, order.pay_url)

    async def refund(self, order_ref: str, reference: str, amount_minor: int) -> None:
        body = {"reference": reference, "amount_minor": amount_minor}
        await self._post(f"/v1/orders/{order_ref}/refunds", body)

    async def _post(self, path: str, body: dict[str, Any]) -> bytes:
        try:
            response = await self._http.post(path, json=body)
            response.raise_for_status()
        except httpx.HTTPError:
            raise errors.GatewayUnavailable from None
        return response.content

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayEvent:
        event_id = headers.get("x-sandbox-event-id", "")
        sent_at = headers.get("x-sandbox-timestamp", "")
        signature = headers.get("x-sandbox-signature", "")
        self._verify(event_id, sent_at, signature, body, now)
        try:
            webhook = msgspec.json.decode(body, type=_Webhook)
        except msgspec.DecodeError:
            raise errors.WebhookUnsigned("The body is not an event of the sandbox.") from None
        if webhook.id != event_id:
            raise errors.WebhookUnsigned("The body's event is not the header's.")
        money = webhook.refund or webhook.payment
        return GatewayEvent(
            event_id=webhook.id,
            kind=_KINDS.get(webhook.event, EventKind.OTHER),
            order_ref=webhook.order.order_id,
            reference=webhook.order.reference,
            gateway_payment_id=webhook.payment.payment_id,
            amount_minor=money.amount_minor,
            currency=webhook.payment.currency,
        )

    def _verify(self, event_id: str, sent_at: str, signature: str, body: bytes, now: datetime) -> None:
        """Hex HMAC-SHA256 over `time.event_id.body`, by any of our secrets, at most five minutes old."""
        if not (sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= 12):
            raise errors.WebhookUnsigned
        message = f"{sent_at}.{event_id}.".encode() + body
        expected = [hmac.new(secret, message, hashlib.sha256).hexdigest() for secret in self._secrets]
        given = signature.encode()
        if not any(hmac.compare_digest(one.encode(), given) for one in expected):
            raise errors.WebhookUnsigned
        if abs(now.timestamp() - int(sent_at)) > TOLERANCE_S:
            raise errors.WebhookUnsigned("The webhook's time is too far from ours.")
