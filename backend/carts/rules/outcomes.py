"""What a decision needs, and what it can be."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from backend.carts.commands import Scanned
from backend.carts.events import AnyEvent
from backend.carts.state import Budget, CartState, CartStatus
from backend.kit.money import Totals

MAX_EVENTS = 5_000
"""Events a cart may have; the last hundred are kept for the till, so that a full cart can still be paid."""
MAX_SHOPPER_EVENTS = MAX_EVENTS - 100


class PriceLine(Protocol):
    """What a line costs in minor units, and the tax in that."""

    def __call__(self, unit_price_minor: int, qty: int, tax_rate_bp: int) -> tuple[int, int]: ...


class Facts(NamedTuple):
    """What a decision needs to know of the world: how a line is priced, and what was scanned."""

    price_line: PriceLine
    scanned: Scanned | None = None


class Accepted(NamedTuple):
    """The command becomes this event, with this outcome. The last two name what changed, nothing else."""

    event: AnyEvent
    totals: Totals
    budget: Budget | None
    allowances: Mapping[str, Budget | None] = {}
    category_budgets: Mapping[str, Budget | None] = {}


class Repeated(NamedTuple):
    """This very command became event `seq` before."""

    seq: int


class Settled(NamedTuple):
    """Nothing is left to do: as of event `seq` the cart is as the command wants it."""

    seq: int


class Rejection(NamedTuple):
    """The command is refused; `code` is that of an `AppError`."""

    code: str
    detail: str = ""


Decision = Accepted | Repeated | Settled | Rejection


def same_bill(state: CartState, event: AnyEvent) -> Accepted:
    """An event that changes nothing of what is to be paid."""
    return Accepted(event, state.totals, state.budget)


def closed_to_shoppers(state: CartState) -> Rejection | None:
    """Why no member can change the cart now, if so."""
    if state.status is CartStatus.LOCKED:
        return Rejection("cart_locked")
    if state.status is not CartStatus.ACTIVE:
        return Rejection("cart_closed")
    if state.seq >= MAX_SHOPPER_EVENTS:
        return Rejection("cart_full")
    return None
