"""The sandbox provider, spoken to over HTTP like any other."""

import hashlib
import hmac
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

import httpx
import msgspec
from msgspec import Meta

from backend import errors
from backend.kit.money import MAX_MINOR
from backend.payments.gateway import EventKind, GatewayEvent, GatewayOrder
from backend.payments.upi import Payee
from backend.settings import Settings

T = TypeVar("T")
AmountMinor = Annotated[int, Meta(ge=0, le=MAX_MINOR)]

log = logging.getLogger(__name__)

TOLERANCE_S = 300
"""How far a webhook's time may be from ours."""
_KINDS = {
    "payment.authorized": EventKind.AUTHORIZED,
    "payment.captured": EventKind.CAPTURED,
    "payment.failed": EventKind.FAILED,
    "order.expired": EventKind.EXPIRED,
    "order.closed": EventKind.EXPIRED,
    "refund.processed": EventKind.REFUNDED,
    "refund.failed": EventKind.REFUND_FAILED,
}


class _Payment(msgspec.Struct):
    payment_id: str
    status: str
    amount_minor: AmountMinor
    currency: str


class _Refund(msgspec.Struct):
    reference: str
    payment_id: str
    status: str
    amount_minor: AmountMinor
    currency: str


class _Order(msgspec.Struct):
    order_id: str
    reference: str
    amount_minor: AmountMinor
    currency: str
    status: str


class _Webhook(msgspec.Struct):
    id: str
    event: str
    order: _Order
    payment: _Payment | None = None
    refund: _Refund | None = None
    created_at: datetime | None = None


class _WholeOrder(_Order):
    payee_vpa: str
    payee_name: str
    merchant_code: str
    pay_url: str
    payments: list[_Payment]
    refunds: list[_Refund]


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
        order = await self._call("POST", "/v1/orders", _WholeOrder, json=body)
        payee = Payee(order.payee_vpa, order.payee_name, order.merchant_code)
        return GatewayOrder(order.order_id, payee, order.pay_url)

    async def close_order(self, reference: str) -> None:
        order = await self._find(reference)
        if order is not None:
            await self._call("POST", f"/v1/orders/{order.order_id}/close", _Order, json={})

    async def refund(self, gateway_payment_id: str, reference: str, amount_minor: int) -> None:
        body = {"reference": reference, "amount_minor": amount_minor}
        await self._call("POST", f"/v1/payments/{gateway_payment_id}/refunds", _Refund, json=body)

    async def report(self, reference: str) -> list[GatewayEvent]:
        order = await self._find(reference)
        if order is None:
            return []
        told = [_Webhook("", f"order.{order.status}", order)]
        told += [_Webhook("", f"payment.{payment.status}", order, payment) for payment in order.payments]
        paid = {payment.payment_id: payment for payment in order.payments}
        told += [
            _Webhook("", f"refund.{refund.status}", order, paid[refund.payment_id], refund)
            for refund in order.refunds
        ]
        return [_event(each) for each in told if each.event in _KINDS]

    async def _find(self, reference: str) -> _WholeOrder | None:
        try:
            return await self._call("GET", "/v1/orders", _WholeOrder, params={"reference": reference})
        except errors.GatewayRefused:
            return None

    async def _call(self, method: str, path: str, answer: type[T], **more: Any) -> T:
        try:
            response = await self._http.request(method, path, **more)
            if response.is_success:
                return msgspec.json.decode(response.content, type=answer)
        except (httpx.HTTPError, msgspec.DecodeError):
            raise errors.GatewayUnavailable from None
        log.warning("gateway refused", extra={"path": path, "status": response.status_code})
        # What is wrong with our key, or too much at once, may be otherwise the next time; another refusal will not.
        if response.is_client_error and response.status_code not in {401, 403, 408, 429}:
            raise errors.GatewayRefused
        raise errors.GatewayUnavailable

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
        return _event(webhook)

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


def _event(told: _Webhook) -> GatewayEvent:
    """A webhook in our words. What a report told has no id: what it is about and how that stands is its name."""
    about = told.refund or told.payment or told.order
    gateway_payment_id = told.payment.payment_id if told.payment else ""
    refund_id = told.refund.reference if told.refund else ""
    return GatewayEvent(
        event_id=told.id or f"report:{told.event}:{refund_id or gateway_payment_id or told.order.order_id}",
        kind=_KINDS.get(told.event, EventKind.OTHER),
        order_ref=told.order.order_id,
        reference=told.order.reference,
        gateway_payment_id=gateway_payment_id,
        refund_id=refund_id,
        amount_minor=about.amount_minor,
        currency=about.currency,
        happened_at=told.created_at,
    )
