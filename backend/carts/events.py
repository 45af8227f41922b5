"""What happened to a cart. Each event carries its outcome, so that replaying it needs no prices and no clock."""

from datetime import datetime
from typing import Any

import msgspec

from backend.carts.state import Budget, BudgetRule, Line, Member
from backend.kit.money import Totals

SCHEMA_VERSION = 1


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


class ItemAdded(Event, frozen=True):
    """A scan. `line` is the line as it stands now, new or with a larger quantity."""

    line: Line


class QuantitySet(Event, frozen=True):
    line: Line


class ItemRemoved(Event, frozen=True):
    """`line` is the line as it was."""

    line: Line


class BudgetSet(Event, frozen=True):
    limit_minor: int | None


class CheckoutLocked(Event, frozen=True):
    """A payment of `payer`'s holds the cart; `lock_seq` is where it was frozen first."""

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


AnyEvent = (
    SessionStarted
    | MemberJoined
    | MemberLeft
    | ItemAdded
    | QuantitySet
    | ItemRemoved
    | BudgetSet
    | CheckoutLocked
    | CheckoutUnlocked
    | CartPaid
)


class Entry(msgspec.Struct, frozen=True):
    """One document of the log.

    Attributes:
        seq: 1, 2, 3, ... without a gap.
        by: the member whose command it was, or `till`.
        command_id, digest: the command's id and the digest of its body, for recognising repeats.
        totals, budget: the cart's after this event.
        w: random; says whose the document is when a write's outcome was unknown.
        v: version of this schema.
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
    v: int = SCHEMA_VERSION


def to_document(entry: Entry) -> dict[str, Any]:
    """The entry as BSON: `_id` is `{s, n}`, the rest by field name."""
    document: dict[str, Any] = msgspec.to_builtins(entry, builtin_types=(datetime, bytes))
    return {"_id": {"s": document.pop("session_id"), "n": document.pop("seq")}, **document}


def from_document(document: dict[str, Any]) -> Entry:
    """Read a stored entry, of this schema version or of an older one."""
    key = document["_id"]
    return msgspec.convert(
        {**document, "session_id": key["s"], "seq": key["n"]}, Entry, builtin_types=(datetime, bytes)
    )
