"""Payments and refunds, on the wire and as stored."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from backend.kit.money import MAX_MINOR
from backend.kit.schema import NAME_PATTERN, Id, Input, Output, Token
from backend.payments.rules import PaymentStatus, RefundCause, RefundStatus
from backend.payments.upi import Payee


class InitiateIn(Input, frozen=True):
    """Pay exactly what a quote says."""

    quote_id: Annotated[Id, Meta(examples=["quo_06gznf6aze8v62z2fc8k"])]
    signature: Annotated[
        Token,
        Meta(
            description="The quote's, as it was answered.",
            examples=["qi6EsUGJV9zGHsQIli_jFVLzXhVpdE8viEQxdSSl0Bk"],
        ),
    ]


class RefundIn(Input, frozen=True):
    """Give money back: a part, or without `amount_minor` all that is left."""

    reason: Annotated[
        str,
        Meta(min_length=1, max_length=200, pattern=NAME_PATTERN, examples=["A bottle was broken"]),
    ]
    amount_minor: Annotated[int, Meta(ge=1, le=MAX_MINOR, examples=[4500])] | None = None


class RefundOut(Output, frozen=True):
    """How far a refund is. `processed` and `failed` are final; what failed may be refunded again."""

    refund_id: str
    payment_id: str
    amount_minor: int
    currency: str
    cause: RefundCause
    reason: str
    status: RefundStatus
    created_at: datetime


class PaymentOut(Output, frozen=True):
    """How to pay, and how far it is.

    `upi_uri` opens a UPI app on this phone; `qr_svg` is for a UPI app on another. Both are empty unless the payment
    waits to be made.
    """

    payment_id: str
    status: PaymentStatus
    amount_minor: int
    refunded_minor: int
    currency: str
    upi_uri: str
    qr_svg: str
    pay_url: Annotated[
        str, Meta(description="The provider's own page; in the sandbox, the simulated UPI app.")
    ]
    expires_at: datetime
    order_id: str | None
    refunds: list[RefundOut]


class WebhookOut(Output, frozen=True):
    """What became of the event; every outcome is a success for the sender."""

    outcome: str


class Payment(msgspec.Struct, frozen=True):
    """A payment as stored; not on the wire. For its fields see `PaymentDocument`."""

    payment_id: str
    checkout_id: str
    session_id: str
    store_id: str
    user_id: str
    attempt: int
    gateway: str
    amount_minor: int
    currency: str
    status: PaymentStatus
    lock_seq: int
    created_at: datetime
    expires_at: datetime
    look_since: datetime
    next_look_at: datetime | None
    order_ref: str | None = None
    payee: Payee | None = None
    pay_url: str | None = None
    gateway_payment_id: str | None = None
    order_id: str | None = None
    captured_minor: int = 0
    refunding_minor: int = 0
    refunded_minor: int = 0
    held_again_at: datetime | None = None

    @property
    def left_minor(self) -> int:
        """What came in, and neither went back nor is on its way."""
        return self.captured_minor - self.refunding_minor - self.refunded_minor


class Refund(msgspec.Struct, frozen=True):
    """A refund as stored; not on the wire. For its fields see `RefundDocument`."""

    refund_id: str
    payment_id: str
    order_id: str | None
    gateway_payment_id: str
    amount_minor: int
    currency: str
    cause: RefundCause
    reason: str
    by: str | None
    status: RefundStatus
    created_at: datetime


class LedgerEntry(msgspec.Struct, frozen=True):
    """An entry as stored; not on the wire. `entry_id` is `LedgerEntryDocument`'s `_id`."""

    entry_id: str
    payment_id: str
    order_id: str | None
    store_id: str
    amount_minor: int
    currency: str
    at: datetime
