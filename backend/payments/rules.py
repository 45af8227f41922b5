"""The states of payments and refunds, the moves between them, and when the gateway is asked how things stand."""

from datetime import datetime, timedelta
from enum import StrEnum


class PaymentStatus(StrEnum):
    CREATED = "created"
    PENDING = "pending"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    INTEGRITY_FAILURE = "integrity_failure"


WAITING = frozenset({PaymentStatus.CREATED, PaymentStatus.PENDING, PaymentStatus.AUTHORIZED})
"""The payment holds its cart."""
ENDED_UNPAID = frozenset({PaymentStatus.FAILED, PaymentStatus.EXPIRED, PaymentStatus.CANCELLED})
"""The cart was given back; a late success may still come."""

MOVES: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    PaymentStatus.PENDING: frozenset({PaymentStatus.CREATED}),
    PaymentStatus.AUTHORIZED: frozenset({PaymentStatus.CREATED, PaymentStatus.PENDING}),
    PaymentStatus.EXPIRED: WAITING,
    PaymentStatus.FAILED: WAITING | {PaymentStatus.EXPIRED},
    PaymentStatus.CANCELLED: frozenset({PaymentStatus.CREATED, PaymentStatus.PENDING}),
    PaymentStatus.CAPTURED: WAITING | ENDED_UNPAID,
    PaymentStatus.INTEGRITY_FAILURE: WAITING | ENDED_UNPAID,
}
"""For each state, from which ones it is reached: the filter of its conditional update.

What a gateway tells only moves up in created < pending < authorized < expired < failed < captured. So the last state is
the highest that was told, in whatever order it was told. What becomes of a captured payment is `status_of_captured`.
"""


def status_of_captured(
    captured_minor: int, refunding_minor: int, refunded_minor: int, *, bought: bool
) -> PaymentStatus:
    """The state of a payment whose money came in.

    Args:
        refunding_minor: asked back, and neither given nor refused yet.
        bought: whether an order was made of it. Money that is kept for nothing is an integrity failure.
    """
    if refunding_minor:
        return PaymentStatus.REFUNDING
    if refunded_minor >= captured_minor:
        return PaymentStatus.REFUNDED
    if refunded_minor:
        return PaymentStatus.PARTIALLY_REFUNDED
    return PaymentStatus.CAPTURED if bought else PaymentStatus.INTEGRITY_FAILURE


class RefundStatus(StrEnum):
    REQUESTED = "requested"
    PENDING = "pending"
    PROCESSED = "processed"
    FAILED = "failed"


class RefundCause(StrEnum):
    """Why money goes back."""

    ASKED = "asked"
    LATE_SUCCESS = "late_success"
    SECOND_CAPTURE = "second_capture"


REFUND_MOVES: dict[RefundStatus, frozenset[RefundStatus]] = {
    RefundStatus.PENDING: frozenset({RefundStatus.REQUESTED}),
    RefundStatus.FAILED: frozenset({RefundStatus.REQUESTED, RefundStatus.PENDING}),
    RefundStatus.PROCESSED: frozenset({RefundStatus.REQUESTED, RefundStatus.PENDING, RefundStatus.FAILED}),
}
"""As `MOVES`. Money that left after all, though its refund was told to have failed, has left."""

LOOKS_FOR = timedelta(hours=73)
"""A UPI payment may succeed up to three days late."""
LAST_LOOK_AFTER = timedelta(hours=1)
"""Once all is settled the gateway is asked once more: the webhook of a second capture may have been lost."""
_FIRST_LOOKS = timedelta(seconds=10)


def next_look(since: datetime, now: datetime) -> datetime | None:
    """When to ask the gateway again about what is open `since`; None once it may be given up.

    After a twentieth of the time that it has been open: what is half an hour old is looked at every 90 s, what is
    three days old every 3.6 hours, and an answer is never noticed later than 5 % of what it took.
    """
    age = now - since
    return now + max(_FIRST_LOOKS, age / 20) if age <= LOOKS_FOR else None
