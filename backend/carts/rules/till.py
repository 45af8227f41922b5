"""What the shop itself does to a cart: freezing it for a payment, closing it. Every command here is idempotent."""

from backend.carts.commands import (
    AbandonSession,
    LockCheckout,
    MarkPaid,
    UnlockCheckout,
)
from backend.carts.events import CartPaid, CheckoutLocked, CheckoutUnlocked, SessionAbandoned
from backend.carts.rules.outcomes import MAX_EVENTS, Decision, Rejection, Settled, same_bill
from backend.carts.rules.permissions import may_pay
from backend.carts.state import CartState, CartStatus, CheckoutLock


def lock(state: CartState, command: LockCheckout) -> Decision:
    held = _held_by(state, command.payment_id)
    if held is not None and held.seq == command.expected_seq + 1:
        return Settled(held.seq)
    if refused := not_payable(state, command.payer, holds=held is not None):
        return refused
    if state.seq != command.expected_seq:
        return Rejection("quote_stale")
    event = CheckoutLocked(command.quote_id, command.payment_id, command.payer, state.seq + 1)
    return same_bill(state, event)


def not_payable(state: CartState, payer: str, *, holds: bool = False) -> Rejection | None:
    """Why the cart as it is cannot be paid by this member, if so; a payment that `holds` it is not in its own way."""
    if refused := _closed(state, holds=holds):
        return refused
    member = state.members.get(payer)
    if member is None:
        return Rejection("session_not_found")
    if not may_pay(member.role):
        return Rejection("adults_only")
    if state.waits:
        return Rejection("items_waiting")
    return None if state.lines else Rejection("cart_empty")


def unlock(state: CartState, command: UnlockCheckout) -> Decision:
    """A cart that this lock does not hold, and never can hold, is left alone."""
    lock = _held_by(state, command.payment_id)
    held = lock is not None and lock.seq == command.expected_seq + 1
    may_come = state.status is CartStatus.ACTIVE and state.seq <= command.expected_seq
    if state.status is CartStatus.COMPLETED or not (held or may_come):
        return Settled(state.seq)
    return same_bill(state, CheckoutUnlocked(command.payment_id, command.reason))


def mark_paid(state: CartState, command: MarkPaid) -> Decision:
    if _held_by(state, command.payment_id) is None:
        return Rejection("conflict", "Another payment, or none, holds the cart.")
    if state.status is CartStatus.COMPLETED:
        return Settled(state.seq)
    return same_bill(state, CartPaid(command.payment_id, command.order_id))


def abandon(state: CartState, command: AbandonSession) -> Decision:
    """A cart that is being paid, or in which something happened meanwhile, is left alone."""
    if state.status is not CartStatus.ACTIVE or state.changed_at > command.idle_since:
        return Settled(state.seq)
    return same_bill(state, SessionAbandoned())


def _held_by(state: CartState, payment_id: str) -> CheckoutLock | None:
    return state.lock if state.lock is not None and state.lock.payment_id == payment_id else None


def _closed(state: CartState, *, holds: bool) -> Rejection | None:
    """Why no payment can begin, if so; a cart that is full for shoppers is open here."""
    if state.status is CartStatus.LOCKED and not holds:
        return Rejection("cart_locked")
    if state.status not in {CartStatus.ACTIVE, CartStatus.LOCKED}:
        return Rejection("cart_closed")
    return Rejection("cart_full") if state.seq >= MAX_EVENTS - 2 else None
