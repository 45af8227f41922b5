"""What the merchant is told, how it is signed, and how it is falsified on request."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from .faults import Falsehood
from .orders import Order, Payment, Refund, Status, new_id


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

    @classmethod
    def of(cls, order: Order) -> "OrderSummary":
        """What an event tells of this order."""
        return cls(order.order_id, order.reference, order.amount_minor, order.currency, order.status)


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fact the merchant is told; ``payment`` and ``refund`` are left out of the body when there is none."""

    id: str
    event: str
    created_at: datetime
    order: OrderSummary
    payment: Payment | None = None
    refund: Refund | None = None


def falsified(event: Event, wrong: Falsehood, another: Order | None) -> Event:
    """The event with one thing wrong wherever it is told; ``another`` order lends its id or reference.

    Without another order the id or reference is one that nobody has.
    """
    match wrong:
        case "amount":
            return _with_parts(event, lambda part: replace(part, amount_minor=part.amount_minor + 100))
        case "currency":
            return _with_parts(event, lambda part: replace(part, currency="USD"))
        case "order_id":
            stranger = another.order_id if another else new_id("order")
            return replace(event, order=replace(event.order, order_id=stranger))
        case "reference":
            stranger = another.reference if another else new_id("nobody")
            return replace(event, order=replace(event.order, reference=stranger))
    return event


def _with_parts(event: Event, change: Callable[[Any], Any]) -> Event:
    parts = {"order": event.order, "payment": event.payment, "refund": event.refund}
    return replace(event, **{name: change(part) for name, part in parts.items() if part})
