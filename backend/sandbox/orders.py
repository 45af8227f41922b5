"""What an order may become: its payments, its refunds, and the rules of both."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from .errors import (
    AlreadyPaid,
    GatewayError,
    OrderClosed,
    OrderExpired,
    PaymentSettled,
    PaymentUnderWay,
    RefundExceedsPayment,
    RefundSettled,
)

Reference = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{8,64}\Z")]
AmountMinor = Annotated[int, Meta(ge=1, le=100_000_000)]
Vpa = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{2,64}@[A-Za-z]{2,32}\Z")]
Status = Literal["created", "attempted", "paid", "closed", "expired"]
PaymentStatus = Literal["authorized", "captured", "failed"]
RefundStatus = Literal["pending", "processed", "failed"]


class NewOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What the merchant asks to be paid."""

    reference: Reference
    amount_minor: AmountMinor
    currency: Literal["INR"]
    expires_at: Annotated[datetime, Meta(tz=True)]
    note: Annotated[str, Meta(max_length=80)] = ""

    def __post_init__(self) -> None:
        if self.expires_at.utcoffset() != timedelta(0):
            raise ValueError("`expires_at` must be in UTC")


class NewRefund(Struct, frozen=True, forbid_unknown_fields=True):
    """What the merchant gives back."""

    reference: Reference
    amount_minor: AmountMinor


class Payment(Struct, frozen=True):
    """One try of the shopper's UPI app to pay an order."""

    payment_id: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    vpa: str
    created_at: datetime


class Refund(Struct, frozen=True):
    """Money given back out of one captured payment."""

    refund_id: str
    reference: str
    order_id: str
    payment_id: str
    amount_minor: int
    currency: str
    status: RefundStatus = "pending"


class Order(Struct, frozen=True, kw_only=True):
    """An order at one moment; each change makes a new one.

    The refunds of a payment that did not fail never sum to more than it.
    """

    order_id: str
    reference: str
    amount_minor: int
    currency: str
    note: str
    status: Status = "created"
    payee_vpa: str = "demo-store@sandbox"
    payee_name: str = "Q-Less Demo Store"
    merchant_code: str = "5411"
    pay_url: str
    expires_at: datetime
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the order still takes payments."""
        return self.status in ("created", "attempted")

    @property
    def is_authorized(self) -> bool:
        """Whether a payment waits to be captured."""
        return any(payment.status == "authorized" for payment in self.payments)

    @property
    def refunded_minor(self) -> int:
        """What went back to the shopper so far."""
        return sum(refund.amount_minor for refund in self.refunds if refund.status == "processed")

    def payment(self, payment_id: str) -> Payment:
        """The order's payment of this id, which must be one of its own."""
        return next(payment for payment in self.payments if payment.payment_id == payment_id)

    def refund(self, refund_id: str) -> Refund:
        """The order's refund of this id, which must be one of its own."""
        return next(refund for refund in self.refunds if refund.refund_id == refund_id)

    def require_payable(self, accept_late: bool) -> None:
        """Passes while the order takes a payment; with `accept_late` a closed or expired one does too.

        Raises:
            AlreadyPaid, OrderClosed, OrderExpired: the order is final.
            PaymentUnderWay: what becomes of a payment is not known yet.
        """
        if self.is_authorized:
            raise PaymentUnderWay
        if (refusal := _FINAL.get(self.status)) and not (accept_late and self.status != "paid"):
            raise refusal

    def with_payment(self, status: PaymentStatus, vpa: str, now: datetime) -> "Order":
        """The order after one more payment, which is the last of its payments."""
        payment = Payment(new_id("pay"), status, self.amount_minor, self.currency, vpa, now)
        return replace(self, status=self._after(status), payments=(*self.payments, payment))

    def with_payment_settled(self, payment_id: str, status: Literal["captured", "failed"]) -> "Order":
        """The order after an authorized payment was captured or failed, or a failed one was captured after all.

        It is paid by a capture even when it was closed, expired or paid meanwhile: the money is there.

        Raises:
            PaymentSettled: the payment is captured, or failed and to fail.
        """
        if self.payment(payment_id).status in ("captured", status):
            raise PaymentSettled
        payments = tuple(
            replace(payment, status=status) if payment.payment_id == payment_id else payment
            for payment in self.payments
        )
        return replace(self, status=self._after(status), payments=payments)

    def _after(self, status: PaymentStatus) -> Status:
        if status == "captured":
            return "paid"
        return "attempted" if self.is_open else self.status

    def with_refund(self, payment_id: str, new: NewRefund) -> "Order":
        """The order after one more refund, pending, which is the last of its refunds.

        Raises:
            RefundExceedsPayment: also when the payment was not captured.
        """
        payment = self.payment(payment_id)
        given_back = sum(
            refund.amount_minor
            for refund in self.refunds
            if refund.payment_id == payment_id and refund.status != "failed"
        )
        if payment.status != "captured" or given_back + new.amount_minor > payment.amount_minor:
            raise RefundExceedsPayment
        refund = Refund(
            new_id("rfnd"), new.reference, self.order_id, payment_id, new.amount_minor, payment.currency
        )
        return replace(self, refunds=(*self.refunds, refund))

    def with_refund_settled(self, refund_id: str, status: Literal["processed", "failed"]) -> "Order":
        """The order after a pending refund was processed or failed.

        Raises:
            RefundSettled: the refund is not pending.
        """
        if self.refund(refund_id).status != "pending":
            raise RefundSettled
        refunds = tuple(
            replace(refund, status=status) if refund.refund_id == refund_id else refund
            for refund in self.refunds
        )
        return replace(self, refunds=refunds)


_FINAL: Mapping[str, type[GatewayError]] = {
    "paid": AlreadyPaid,
    "closed": OrderClosed,
    "expired": OrderExpired,
}


def new_id(prefix: str) -> str:
    """An id that cannot be guessed: 128 random bits."""
    return f"{prefix}_{secrets.token_hex(16)}"
