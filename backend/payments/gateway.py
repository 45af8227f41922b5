"""What Q-Less asks of a payment provider."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from backend.payments.upi import Payee


class EventKind(StrEnum):
    CAPTURED = "captured"
    FAILED = "failed"
    REFUNDED = "refunded"
    OTHER = "other"


class GatewayOrder(msgspec.Struct, frozen=True):
    """The provider's side of one payment. `pay_url` is a page to pay on, where the provider has one."""

    ref: str
    payee: Payee
    pay_url: str


class GatewayEvent(msgspec.Struct, frozen=True):
    """A webhook in our words; `reference` is the id of our payment."""

    event_id: str
    kind: EventKind
    order_ref: str
    reference: str
    gateway_payment_id: str
    amount_minor: int
    currency: str


class Gateway(Protocol):
    """A provider. Its failures are `GatewayUnavailable`; every call may be repeated with the same reference."""

    name: str

    async def create_order(
        self, reference: str, amount_minor: int, currency: str, note: str, expires_at: datetime
    ) -> GatewayOrder:
        """Prepare the provider to take the payment."""
        ...

    async def refund(self, order_ref: str, reference: str, amount_minor: int) -> None:
        """Give money back; done once a reference."""
        ...

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayEvent:
        """Verify the raw bytes and read them.

        Raises:
            WebhookUnsigned: the signature, the time or the form is wrong.
        """
        ...
