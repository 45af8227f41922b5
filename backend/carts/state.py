"""What a cart is at one moment of its log."""

from datetime import datetime
from enum import StrEnum

import msgspec

from backend.kit.money import Totals


class CartStatus(StrEnum):
    ACTIVE = "active"
    LOCKED = "locked"
    COMPLETED = "completed"
    ABANDONED = "abandoned"


class BudgetStatus(StrEnum):
    SAFE = "SAFE"
    WARNING = "WARNING"
    DANGER = "DANGER"


class MemberRole(StrEnum):
    HOST = "host"
    ADULT = "adult"


class Member(msgspec.Struct, frozen=True):
    """One of the family, known in the cart by their user id."""

    user_id: str
    name: str
    role: MemberRole
    joined_at: datetime


class Line(msgspec.Struct, frozen=True):
    """So many of one product, scanned by one member at one price.

    The same product scanned by another member, or at another price, is another line: who added what stays
    visible, and nobody's price changes behind their back.
    """

    line_id: str
    product_id: str
    barcode: str
    name: str
    qty: int
    unit_price_minor: int
    total_minor: int
    tax_minor: int
    tax_rate_bp: int
    added_by: str


class BudgetRule(msgspec.Struct, frozen=True):
    """Where the flag changes, in percent of the limit; fixed for a cart when it starts."""

    warning_percent: int = 80
    danger_percent: int = 100
    fall_percent: int = 2


class Budget(msgspec.Struct, frozen=True):
    """The payable total against the limit. `remaining_minor` is negative when it is overspent."""

    limit_minor: int
    spent_minor: int
    remaining_minor: int
    status: BudgetStatus


class CheckoutLock(msgspec.Struct, frozen=True):
    """The till's freeze: which payment holds the cart, for which quote, since which event."""

    payment_id: str
    quote_id: str
    seq: int


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a command was answered: the digest of its body and the event it became."""

    digest: bytes
    seq: int


class CartState(msgspec.Struct):
    """A cart after its first `seq` events. Only `rules.apply` changes it.

    Attributes:
        members: by user id, in the order they joined.
        lines: by line id, in the order they were first scanned.
        answers: of every command so far, by member and command id (`answer_key`).
        items_seq: the last event that changed a line.
    """

    session_id: str
    store_id: str
    market: str
    budget_rule: BudgetRule
    started_at: datetime
    changed_at: datetime
    seq: int
    status: CartStatus
    host: str
    members: dict[str, Member]
    lines: dict[str, Line]
    totals: Totals
    limit_minor: int | None = None
    budget: Budget | None = None
    lock: CheckoutLock | None = None
    items_seq: int = 0
    answers: dict[str, Answer] = {}


def answer_key(user_id: str, command_id: str) -> str:
    """Command ids are a member's own: two phones may use the same one."""
    return f"{user_id} {command_id}"
