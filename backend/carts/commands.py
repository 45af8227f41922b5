"""What a member, or the till, wants of a cart."""

import hashlib
from datetime import datetime
from typing import ClassVar

import msgspec

from backend.carts.state import BudgetRule, MemberRole

TILL = "till"
"""Who sends the shop's own commands; no user id is like it, so no phone can use up their ids."""


class Command(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A wish. `by_till` commands come from the shop itself and need no member.

    A field that is added later needs a default, and leaves the digest of what was sent before as it was.
    """

    by_till: ClassVar[bool] = False


class StartSession(Command, frozen=True):
    store_id: str
    market: str
    currency: str
    budget_rule: BudgetRule
    name: str
    limit_minor: int | None


class JoinSession(Command, frozen=True):
    """`join_link` says which of the cart's links it came by; only the latest is a way in."""

    name: str
    join_link: int


class LeaveSession(Command, frozen=True):
    pass


class RemoveMember(Command, frozen=True):
    member: str


class SetRole(Command, frozen=True):
    member: str
    role: MemberRole


class HandOver(Command, frozen=True):
    """Make another member the host."""

    member: str


class RenewJoinLink(Command, frozen=True):
    """End the join link; the next one is the only way in."""


class RestoreSession(Command, frozen=True):
    """Take up a cart that was abandoned because nothing happened."""


class AddItem(Command, frozen=True):
    barcode: str
    qty: int


class SetQuantity(Command, frozen=True):
    line_id: str
    qty: int


class RemoveItem(Command, frozen=True):
    line_id: str


class Approve(Command, frozen=True):
    line_id: str


class Decline(Command, frozen=True):
    line_id: str


class Undo(Command, frozen=True):
    """Take back one's own latest change of a line."""


class SetBudget(Command, frozen=True):
    """Limit the whole cart, or what one `member` adds, or one `category`; None takes the limit away."""

    limit_minor: int | None
    member: str | None = None
    category: str | None = None


class LockCheckout(Command, frozen=True):
    """Freeze the cart exactly as it was read: `expected_seq` is where it was, and it must still be there.

    A payment that holds the cart may lock it anew. The new lock has another place, and what undoes the old one leaves it
    alone.
    """

    by_till: ClassVar[bool] = True
    quote_id: str
    payment_id: str
    payer: str
    expected_seq: int


class UnlockCheckout(Command, frozen=True):
    """Undo the one lock that followed `expected_seq`: give the cart back to the shoppers.

    Where that lock never came, but could still come (the cart is still there), the unlocking takes its place in the log,
    so that it never can.
    """

    by_till: ClassVar[bool] = True
    payment_id: str
    expected_seq: int
    reason: str


class MarkPaid(Command, frozen=True):
    by_till: ClassVar[bool] = True
    payment_id: str
    order_id: str


class AbandonSession(Command, frozen=True):
    """Close a cart in which nothing happened since `idle_since`."""

    by_till: ClassVar[bool] = True
    idle_since: datetime


AnyCommand = (
    StartSession
    | JoinSession
    | LeaveSession
    | RemoveMember
    | SetRole
    | HandOver
    | RenewJoinLink
    | RestoreSession
    | AddItem
    | SetQuantity
    | RemoveItem
    | Approve
    | Decline
    | Undo
    | SetBudget
    | LockCheckout
    | UnlockCheckout
    | MarkPaid
    | AbandonSession
)

_encode = msgspec.msgpack.Encoder().encode


class Request(msgspec.Struct, frozen=True):
    """A command, who sends it, and the id under which a repeat is recognised."""

    by: str
    command_id: str
    command: AnyCommand

    def digest(self) -> bytes:
        """64 bits that differ when the command differs."""
        return hashlib.blake2b(_encode(self.command), digest_size=8).digest()


class Scanned(msgspec.Struct, frozen=True):
    """A product as the shop sells it now: the fact that an `AddItem` needs."""

    product_id: str
    barcode: str
    name: str
    unit_price_minor: int
    tax_rate_bp: int
    category: str
