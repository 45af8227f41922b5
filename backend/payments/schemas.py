"""Payments on the wire."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from backend.kit.schema import Id, Input, Output, Token
from backend.payments.rules import PaymentStatus
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


class PaymentOut(Output, frozen=True):
    """How to pay, and how far it is.

    `upi_uri` opens a UPI app on this phone; `qr_svg` is for a UPI app on another. Both are empty until the gateway
    has the payment, and of no use once `status` is final.
    """

    payment_id: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    upi_uri: str
    qr_svg: str
    pay_url: Annotated[
        str, Meta(description="The provider's own page; in the sandbox, the simulated UPI app.")
    ]
    expires_at: datetime
    order_id: str | None


class WebhookOut(Output, frozen=True):
    """What became of the event; every outcome is a success for the sender."""

    outcome: str


class Payment(msgspec.Struct, frozen=True):
    """A payment as stored; not on the wire."""

    payment_id: str
    checkout_id: str
    session_id: str
    store_id: str
    user_id: str
    gateway: str
    amount_minor: int
    currency: str
    status: PaymentStatus
    lock_seq: int
    created_at: datetime
    expires_at: datetime
    order_ref: str | None = None
    payee: Payee | None = None
    pay_url: str | None = None
    gateway_payment_id: str | None = None
    order_id: str | None = None
