"""What a cart is at one moment of its log."""

from datetime import datetime
from enum import StrEnum
from functools import cached_property

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
    """A cart has one host. What each may do is the table in `rules.permissions`."""

    HOST = "host"
    ADULT = "adult"
    CHILD = "child"


class Member(msgspec.Struct, frozen=True):
    """One of the family, known in the cart by their user id."""

    user_id: str
    name: str
    role: MemberRole
    joined_at: datetime


LineKind = tuple[str, str, int, int, bool]
"""Product, member, price, tax rate, and whether it waits: a scan goes to the first line of its kind."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """So many of one product, scanned by one member at one price.

    The same product scanned by another member, or at another price, is another line: who added what stays
    visible, and nobody's price changes behind their back. A line that is `waiting` was scanned by a child, is not
    part of the bill, and waits for an adult to approve it.
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
    category: str = ""
    waiting: bool = False

    @property
    def kind(self) -> LineKind:
        return self.product_id, self.added_by, self.unit_price_minor, self.tax_rate_bp, self.waiting


class BudgetRule(msgspec.Struct, frozen=True):
    """Where the flag changes, in percent of the limit; fixed for a cart when it starts."""

    warning_percent: int = 80
    danger_percent: int = 100
    fall_percent: int = 2


class Budget(msgspec.Struct, frozen=True):
    """What is spent against a limit. `remaining_minor` is negative when it is overspent."""

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


class Act(msgspec.Struct, frozen=True, array_like=True):
    """A member's latest change of a line: how the line was before and after it; None where there was none."""

    seq: int
    at: datetime
    before: Line | None
    after: Line | None


class CartState(msgspec.Struct, dict=True):
    """A cart after its first `seq` events. Only `rules.apply` changes it.

    Attributes:
        members: by user id, in the order they joined.
        lines: by line id, in the order they were first scanned, those that wait for approval among them.
        allowances: what a member may spend and has spent, by user id.
        category_budgets: what may be and is spent on a category, by its name.
        join_link: which join link is the way in, counted from 1; older ones lead nowhere.
        acts: what each member may undo, by user id.
        items_seq: the last event that changed a line.
        answers: of every command so far, by member and command id (`answer_key`).
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
    allowances: dict[str, Budget] = {}
    category_budgets: dict[str, Budget] = {}
    join_link: int = 1
    lock: CheckoutLock | None = None
    acts: dict[str, Act] = {}
    items_seq: int = 0
    answers: dict[str, Answer] = {}

    @cached_property
    def first_lines(self) -> dict[LineKind, str]:
        """The line id of the first line of each kind. Made when it is asked for, not part of what is stored."""
        first: dict[LineKind, str] = {}
        for line in self.lines.values():
            first.setdefault(line.kind, line.line_id)
        return first

    def keep_first_lines(self, before: Line | None, after: Line | None) -> None:
        """Let `first_lines`, where it was made, follow the change of a line."""
        first: dict[LineKind, str] | None = self.__dict__.get("first_lines")
        if first is None or (before and after and before.waiting == after.waiting):
            return
        if before is None and after is not None:
            first.setdefault(after.kind, after.line_id)
        else:
            del self.first_lines

    @property
    def waits(self) -> bool:
        """Whether any line waits for approval."""
        return any(line.waiting for line in self.lines.values())


def answer_key(user_id: str, command_id: str) -> str:
    """Command ids are a member's own: two phones may use the same one."""
    return f"{user_id} {command_id}"


state_to_bytes = msgspec.msgpack.Encoder().encode
state_from_bytes = msgspec.msgpack.Decoder(CartState).decode
