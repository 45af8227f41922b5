"""The states of a payment and the moves between them."""

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
    PaymentStatus.CAPTURED: WAITING | ENDED_UNPAID,
    PaymentStatus.FAILED: WAITING,
    PaymentStatus.EXPIRED: WAITING,
    PaymentStatus.INTEGRITY_FAILURE: WAITING | ENDED_UNPAID,
    PaymentStatus.REFUNDING: frozenset({PaymentStatus.CAPTURED}),
    PaymentStatus.REFUNDED: frozenset({PaymentStatus.REFUNDING}),
}
"""For each state, from which ones it is reached: the filter of its conditional update."""
