"""Telling the merchant: signed events, delivered until answered or given up."""

import asyncio
import hashlib
import hmac
import logging
import secrets
import ssl
import time
from datetime import UTC, datetime
from typing import Self

import httpx
import msgspec

from .orders import Order, Payment, Refund, Status

ANSWER_WITHIN_S = 5.0
"""How long one try waits for the merchant, from connecting to the whole answer."""

logger = logging.getLogger(__name__)


def sign(secret: str, timestamp: int, event_id: str, body: bytes) -> str:
    """The hex HMAC-SHA256 of ``{timestamp}.{event_id}.{body}``, ``timestamp`` in Unix seconds."""
    return hmac.new(secret.encode(), f"{timestamp}.{event_id}.".encode() + body, hashlib.sha256).hexdigest()


class OrderSummary(msgspec.Struct, frozen=True):
    """The order as it was when the event happened."""

    order_id: str
    reference: str
    amount_minor: int
    currency: str
    status: Status


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fact the merchant is told; ``refund`` is left out of the body when there is none."""

    id: str
    event: str
    created_at: datetime
    order: OrderSummary
    payment: Payment
    refund: Refund | None = None


class Webhooks:
    """Delivers events to one address while its context is open.

    Each event is a task of its own: a slow one holds up no other, and the order of arrival is not kept. A delivery
    under way when the context closes is ended and lost.
    """

    def __init__(self, url: str, secret: str, retry_delays_s: tuple[float, ...], ca: str | None) -> None:
        """Trusts the certificates in the file ``ca`` alone, or the usual authorities without one."""
        self._url = url
        self._secret = secret
        self._waits_s = (0.0, *retry_delays_s)
        self._client = httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca), trust_env=False)
        self._deliveries: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for delivery in self._deliveries:
            logger.warning("webhook %s: ended by shutdown", delivery.get_name())
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        await self._client.aclose()

    def send(self, order: Order, refund: Refund | None = None) -> None:
        """Starts to tell of ``refund``, or without one of the order's last payment."""
        payment = order.payments[-1]
        event = Event(
            id=f"evt_{secrets.token_hex(16)}",
            event="refund.processed" if refund else f"payment.{payment.status}",
            created_at=datetime.now(UTC),
            order=OrderSummary(
                order.order_id, order.reference, order.amount_minor, order.currency, order.status
            ),
            payment=payment,
            refund=refund,
        )
        delivery = asyncio.create_task(self._deliver(event.id, msgspec.json.encode(event)), name=event.id)
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(self, event_id: str, body: bytes) -> None:
        for tries, wait_s in enumerate(self._waits_s, start=1):
            await asyncio.sleep(wait_s)
            if not (failure := await self._try(event_id, body)):
                logger.info("webhook %s: delivered at try %d", event_id, tries)
                return
            logger.warning(
                "webhook %s: try %d of %d failed: %s", event_id, tries, len(self._waits_s), failure
            )
        logger.error("webhook %s: given up after %d tries", event_id, len(self._waits_s))

    async def _try(self, event_id: str, body: bytes) -> str | None:
        """Sends once; returns what went wrong, or None after a 2xx."""
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "x-sandbox-event-id": event_id,
            "x-sandbox-timestamp": str(timestamp),
            "x-sandbox-signature": sign(self._secret, timestamp, event_id, body),
        }
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                response = await self._client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            return type(error).__name__
        return None if response.is_success else f"status {response.status_code}"
