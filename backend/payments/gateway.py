"""What Q-Less asks of a payment provider."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from backend.payments.upi import Payee


class EventKind(StrEnum):
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    OTHER = "other"


class GatewayOrder(msgspec.Struct, frozen=True):
    """The provider's side of one payment. `pay_url` is a page to pay on, where the provider has one."""

    ref: str
    payee: Payee
    pay_url: str


class GatewayEvent(msgspec.Struct, frozen=True):
    """What happened at a provider, in our words.

    Attributes:
        event_id: the provider's; the same happening may come under several.
        reference: the id of our payment.
        gateway_payment_id: the provider's own id of the capture or try; empty where there is none.
        refund_id: ours; empty unless it is about a refund.
        amount_minor: the refund's where it is about one, else the payment's.
        happened_at: by the provider's clock, where it says so.
    """

    event_id: str
    kind: EventKind
    order_ref: str
    reference: str
    gateway_payment_id: str
    refund_id: str
    amount_minor: int
    currency: str
    happened_at: datetime | None = None


class Gateway(Protocol):
    """A provider. Every call may be repeated with the same reference.

    Each raises `GatewayUnavailable` where the provider did not answer, and `GatewayRefused` where it said no.
    """

    name: str

    async def create_order(
        self, reference: str, amount_minor: int, currency: str, note: str, expires_at: datetime
    ) -> GatewayOrder:
        """Prepare the provider to take the payment."""
        ...

    async def close_order(self, reference: str) -> None:
        """Have the provider take no more payments for an order of ours, if it knows it."""
        ...

    async def refund(self, gateway_payment_id: str, reference: str, amount_minor: int) -> None:
        """Ask for money to be given back, once a reference; an event says how it ended."""
        ...

    async def report(self, reference: str) -> list[GatewayEvent]:
        """All that happened to an order so far, as its events would have told; nothing if there is no such order."""
        ...

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayEvent:
        """Verify the raw bytes and read them.

        Raises:
            WebhookUnsigned: the signature, the time or the form is wrong.
        """
        ...
