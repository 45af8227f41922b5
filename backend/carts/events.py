"""What happened to a cart. Each event carries its outcome, so that replaying it needs no prices and no clock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from backend.carts.state import Budget, BudgetRule, Line, Member
from backend.kit.money import Totals

SCHEMA_VERSION = 2
"""1: the first. 2: lines have a category and may wait for approval; entries carry allowances and category budgets."""


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class Event(msgspec.Struct, frozen=True, tag_field="name", tag=_snake):
    """A fact about a cart; its name on the wire is the class's in snake case."""


class SessionStarted(Event, frozen=True):
    store_id: str
    market: str
    budget_rule: BudgetRule
    host: Member
    limit_minor: int | None


class MemberJoined(Event, frozen=True):
    member: Member


class MemberLeft(Event, frozen=True):
    """`host` is the host from now on; None when the last member left and the cart is abandoned."""

    user_id: str
    host: str | None


class MemberRemoved(Event, frozen=True):
    """The host showed a member out; `join_link` is the only way in from now on."""

    user_id: str
    join_link: int


class RoleSet(Event, frozen=True):
    """`member` is the member as they are now."""

    member: Member


class HostHandedOver(Event, frozen=True):
    """`host` is the host from now on, and the one before an adult."""

    host: str


class JoinLinkRenewed(Event, frozen=True):
    """`join_link` is the only way in from now on."""

    join_link: int


class ItemAdded(Event, frozen=True, omit_defaults=True):
    """`line` is the line as it stands now, new or with a larger quantity.

    Attributes:
        undoes: the event that this one takes back, when it does.
    """

    line: Line
    undoes: int | None = None


class QuantitySet(Event, frozen=True, omit_defaults=True):
    """`line` is the line as it stands now."""

    line: Line
    undoes: int | None = None


class ItemRemoved(Event, frozen=True, omit_defaults=True):
    """`line` is the line as it was."""

    line: Line
    undoes: int | None = None


class ItemApproved(Event, frozen=True):
    """A child's `line` is part of the bill from now on."""

    line: Line


class ItemDeclined(Event, frozen=True):
    """A child's `line`, as it was, is gone."""

    line: Line


class BudgetSet(Event, frozen=True, omit_defaults=True):
    """The limit of the whole cart, or of what one `member` adds, or of one `category`; None takes it away."""

    limit_minor: int | None
    member: str | None = None
    category: str | None = None


class CheckoutLocked(Event, frozen=True):
    """A payment of `payer`'s holds the cart; `lock_seq` is its own place, by which an unlocking names it."""

    quote_id: str
    payment_id: str
    payer: str
    lock_seq: int


class CheckoutUnlocked(Event, frozen=True):
    payment_id: str
    reason: str


class CartPaid(Event, frozen=True):
    payment_id: str
    order_id: str


class SessionAbandoned(Event, frozen=True):
    """Nothing had happened for hours."""


class SessionRestored(Event, frozen=True):
    """A member took an abandoned cart up again."""


AnyEvent = (
    SessionStarted
    | MemberJoined
    | MemberLeft
    | MemberRemoved
    | RoleSet
    | HostHandedOver
    | JoinLinkRenewed
    | ItemAdded
    | QuantitySet
    | ItemRemoved
    | ItemApproved
    | ItemDeclined
    | BudgetSet
    | CheckoutLocked
    | CheckoutUnlocked
    | CartPaid
    | SessionAbandoned
    | SessionRestored
)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One document of the log.

    Attributes:
        seq: 1, 2, 3, ... without a gap.
        by: the member whose command it was, or `till`.
        command_id, digest: the command's id and the digest of its body, for recognising repeats.
        totals, budget: the cart's after this event.
        w: random; says whose the document is when a write's outcome was unknown.
        allowances, category_budgets: those that this event changed, as they are now; None for one that ended.
        v: version of this schema. A field that is added needs a default: old entries are read for ever.
    """

    session_id: str
    seq: int
    at: datetime
    by: str
    command_id: str
    digest: bytes
    event: AnyEvent
    totals: Totals
    budget: Budget | None
    w: int
    v: int
    allowances: Mapping[str, Budget | None] = {}
    category_budgets: Mapping[str, Budget | None] = {}


def event_id(session_id: str, seq: int) -> dict[str, Any]:
    """The one way to name an event; the order of the fields is part of the key."""
    return {"s": session_id, "n": seq}


def to_document(entry: Entry) -> dict[str, Any]:
    """The entry as BSON: `_id` is `{s, n}`, the rest by field name."""
    document: dict[str, Any] = msgspec.to_builtins(entry, builtin_types=(datetime, bytes))
    return {"_id": event_id(document.pop("session_id"), document.pop("seq")), **document}


def from_document(document: dict[str, Any]) -> Entry:
    """Read a stored entry, of this schema version or of an older one."""
    key = document["_id"]
    return msgspec.convert(
        {**document, "session_id": key["s"], "seq": key["n"]}, Entry, builtin_types=(datetime, bytes)
    )
