"""What a member, or the till, wants of a cart."""

import hashlib
from typing import ClassVar

import msgspec

from backend.carts.state import BudgetRule, Line

TILL = "till"
"""Who sends the commands of the payment path; no user id is like it, so no phone can use up their ids."""


class Command(msgspec.Struct, frozen=True, tag=True):
    """A wish. `by_till` commands come from the payment path and need no member."""

    by_till: ClassVar[bool] = False


class StartSession(Command, frozen=True):
    store_id: str
    market: str
    currency: str
    budget_rule: BudgetRule
    name: str
    limit_minor: int | None


class JoinSession(Command, frozen=True):
    name: str


class LeaveSession(Command, frozen=True):
    pass


class AddItem(Command, frozen=True):
    barcode: str
    qty: int


class SetQuantity(Command, frozen=True):
    line_id: str
    qty: int


class RemoveItem(Command, frozen=True):
    line_id: str


class SetBudget(Command, frozen=True):
    limit_minor: int | None


class LockCheckout(Command, frozen=True):
    """Freeze the cart exactly as quoted: `expected_seq` is the quote's, and the cart must still be there."""

    by_till: ClassVar[bool] = True
    quote_id: str
    payment_id: str
    payer: str
    expected_seq: int


class RelockCheckout(Command, frozen=True):
    """Freeze the cart again for a payment that succeeded late, if no line changed since `lock_seq`."""

    by_till: ClassVar[bool] = True
    quote_id: str
    payment_id: str
    payer: str
    lock_seq: int


class UnlockCheckout(Command, frozen=True):
    """Give the cart back to the shoppers.

    Where the lock never came, but could still come (it was to follow `expected_seq`, and the cart is still
    there), the unlocking takes its place in the log, so that it never can.
    """

    by_till: ClassVar[bool] = True
    payment_id: str
    expected_seq: int
    reason: str


class MarkPaid(Command, frozen=True):
    by_till: ClassVar[bool] = True
    payment_id: str
    order_id: str


AnyCommand = (
    StartSession
    | JoinSession
    | LeaveSession
    | AddItem
    | SetQuantity
    | RemoveItem
    | SetBudget
    | LockCheckout
    | RelockCheckout
    | UnlockCheckout
    | MarkPaid
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

    def line(self, line_id: str, qty: int, added_by: str) -> Line:
        """A line of this product, not yet priced."""
        return Line(
            line_id, self.product_id, self.barcode, self.name, qty, self.unit_price_minor, 0, 0,
            self.tax_rate_bp, added_by,
        )  # fmt: skip
