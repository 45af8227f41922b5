"""The rules of a cart: `decide` judges a command against a state, `apply` moves a state along an event.

Both are deterministic and do no I/O. `decide` changes nothing. `apply` advances the state in place and returns
it; replaying a log from its first event always gives an equal state, whatever prices or code came later.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from backend.carts import budget
from backend.carts.commands import (
    AddItem,
    AnyCommand,
    JoinSession,
    LeaveSession,
    LockCheckout,
    MarkPaid,
    RelockCheckout,
    RemoveItem,
    Request,
    Scanned,
    SetBudget,
    SetQuantity,
    StartSession,
    UnlockCheckout,
)
from backend.carts.events import (
    AnyEvent,
    BudgetSet,
    CartPaid,
    CheckoutLocked,
    CheckoutUnlocked,
    Entry,
    ItemAdded,
    ItemRemoved,
    MemberJoined,
    MemberLeft,
    QuantitySet,
    SessionStarted,
)
from backend.carts.state import (
    Answer,
    Budget,
    CartState,
    CartStatus,
    CheckoutLock,
    Line,
    Member,
    MemberRole,
    answer_key,
)
from backend.kit.money import MAX_MINOR, Totals

MAX_EVENTS = 5_000
"""Events a cart may have; the last hundred are kept for the till, so that a full cart can still be paid."""
MAX_SHOPPER_EVENTS = MAX_EVENTS - 100
MAX_MEMBERS = 20
MAX_LINES = 500
MAX_QTY = 999


class Priced(Protocol):
    """A bill: the amounts (total, tax) of each line in order, and the totals of all."""

    @property
    def amounts(self) -> list[Any]: ...
    @property
    def totals(self) -> Totals: ...


class Facts(NamedTuple):
    """What a decision needs to know of the world: how carts are priced, and what was scanned."""

    price: Callable[[Iterable[Line], str], Priced]
    scanned: Scanned | None = None


class Accepted(NamedTuple):
    """The command becomes this event, with this outcome."""

    event: AnyEvent
    totals: Totals
    budget: Budget | None


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


def decide(state: CartState | None, request: Request, facts: Facts, now: datetime) -> Decision:
    """Judge one command. `state` is None for a cart that has no event yet."""
    command = request.command
    if state is None:
        return (
            _start(request, command, now)
            if isinstance(command, StartSession)
            else Rejection("session_not_found")
        )
    known = state.answers.get(answer_key(request.by, request.command_id))
    if known is not None:
        return Repeated(known.seq) if known.digest == request.digest() else Rejection("id_reused")
    if command.by_till:
        return _TILL[type(command)](state, command)
    if isinstance(command, JoinSession):
        return _join(state, request.by, command, now)
    if request.by not in state.members:
        return Rejection("session_not_found")
    return _by_member(state, request.by, command, facts)


def _start(request: Request, command: StartSession, now: datetime) -> Decision:
    totals = Totals(0, 0, 0, 0, command.currency)
    host = Member(request.by, command.name, MemberRole.HOST, now)
    event = SessionStarted(command.store_id, command.market, command.budget_rule, host, command.limit_minor)
    return Accepted(event, totals, budget.measure(command.limit_minor, 0, command.budget_rule, None))


def _open_to_change(state: CartState) -> Rejection | None:
    if state.status is CartStatus.LOCKED:
        return Rejection("cart_locked")
    if state.status is not CartStatus.ACTIVE:
        return Rejection("cart_closed")
    if state.seq >= MAX_SHOPPER_EVENTS:
        return Rejection("cart_full")
    return None


def _join(state: CartState, user_id: str, command: JoinSession, now: datetime) -> Decision:
    if user_id in state.members:
        return Settled(state.seq)
    if refused := _open_to_change(state):
        return refused
    if len(state.members) >= MAX_MEMBERS:
        return Rejection("family_full")
    return _same_bill(state, MemberJoined(Member(user_id, command.name, MemberRole.ADULT, now)))


def _by_member(state: CartState, user_id: str, command: AnyCommand, facts: Facts) -> Decision:
    if refused := _open_to_change(state):
        return refused
    match command:
        case AddItem(qty=qty):
            return _add(state, user_id, qty, facts)
        case SetQuantity(line_id=line_id, qty=qty):
            return _set_quantity(state, line_id, qty, facts)
        case RemoveItem(line_id=line_id):
            return _remove(state, line_id, facts)
        case SetBudget(limit_minor=limit):
            return _set_budget(state, user_id, limit)
        case LeaveSession():
            return _leave(state, user_id)
    return Rejection("conflict")


def _add(state: CartState, user_id: str, qty: int, facts: Facts) -> Decision:
    scanned = facts.scanned
    if scanned is None:
        return Rejection("product_not_found")
    for line in state.lines.values():
        if (
            line.product_id == scanned.product_id
            and line.added_by == user_id
            and line.unit_price_minor == scanned.unit_price_minor
            and line.tax_rate_bp == scanned.tax_rate_bp
        ):
            return _reprice(state, msgspec.structs.replace(line, qty=line.qty + qty), ItemAdded, facts)
    if len(state.lines) >= MAX_LINES:
        return Rejection("cart_full")
    return _reprice(state, scanned.line(f"l{state.seq + 1}", qty, user_id), ItemAdded, facts)


def _set_quantity(state: CartState, line_id: str, qty: int, facts: Facts) -> Decision:
    line = state.lines.get(line_id)
    if line is None:
        return Rejection("line_not_found")
    return _reprice(state, msgspec.structs.replace(line, qty=qty), QuantitySet, facts)


def _reprice(
    state: CartState, changed: Line, event: type[ItemAdded] | type[QuantitySet], facts: Facts
) -> Decision:
    """The cart with one line changed or new, priced as a whole."""
    if changed.qty > MAX_QTY:
        return Rejection("quantity_too_large")
    lines = {**state.lines, changed.line_id: changed}
    bill = facts.price(lines.values(), state.totals.currency)
    if bill.totals.total_minor > MAX_MINOR:
        return Rejection("money_too_large")
    index = len(lines) - 1 if changed.line_id not in state.lines else list(lines).index(changed.line_id)
    total, tax = bill.amounts[index]
    return _new_bill(
        state, event(msgspec.structs.replace(changed, total_minor=total, tax_minor=tax)), bill.totals
    )


def _remove(state: CartState, line_id: str, facts: Facts) -> Decision:
    line = state.lines.get(line_id)
    if line is None:
        return Rejection("line_not_found")
    left = [other for other in state.lines.values() if other.line_id != line_id]
    return _new_bill(state, ItemRemoved(line), facts.price(left, state.totals.currency).totals)


def _set_budget(state: CartState, user_id: str, limit_minor: int | None) -> Decision:
    if user_id != state.host:
        return Rejection("host_only")
    spent = state.totals.total_minor
    flagged = budget.measure(limit_minor, spent, state.budget_rule, state.budget)
    return Accepted(BudgetSet(limit_minor), state.totals, flagged)


def _leave(state: CartState, user_id: str) -> Decision:
    """The longest-standing member follows a host who leaves."""
    others = [other for other in state.members if other != user_id]
    host = state.host if state.host in others else next(iter(others), None)
    return _same_bill(state, MemberLeft(user_id, host))


def _lock(state: CartState, command: LockCheckout) -> Decision:
    if state.lock is not None and state.lock.payment_id == command.payment_id:
        return Settled(state.lock.seq)
    if refused := _open_for_till(state):
        return refused
    if state.seq != command.expected_seq:
        return Rejection("quote_stale")
    if not state.lines:
        return Rejection("cart_empty")
    return _same_bill(
        state, CheckoutLocked(command.quote_id, command.payment_id, command.payer, state.seq + 1)
    )


def _relock(state: CartState, command: RelockCheckout) -> Decision:
    if state.lock is not None and state.lock.payment_id == command.payment_id:
        return Settled(state.lock.seq)
    if refused := _open_for_till(state):
        return refused
    if state.items_seq > command.lock_seq:
        return Rejection("quote_stale")
    return _same_bill(
        state, CheckoutLocked(command.quote_id, command.payment_id, command.payer, command.lock_seq)
    )


def _unlock(state: CartState, command: UnlockCheckout) -> Decision:
    """Idempotent: a cart that this payment does not hold, and never can hold, is left alone."""
    held = state.lock is not None and state.lock.payment_id == command.payment_id
    may_come = state.status is CartStatus.ACTIVE and state.seq <= command.expected_seq
    if state.status is CartStatus.COMPLETED or not (held or may_come):
        return Settled(state.seq)
    return _same_bill(state, CheckoutUnlocked(command.payment_id, command.reason))


def _mark_paid(state: CartState, command: MarkPaid) -> Decision:
    if state.lock is None or state.lock.payment_id != command.payment_id:
        return Rejection("conflict", "Another payment, or none, holds the cart.")
    if state.status is CartStatus.COMPLETED:
        return Settled(state.seq)
    return _same_bill(state, CartPaid(command.payment_id, command.order_id))


def _open_for_till(state: CartState) -> Rejection | None:
    if state.status is CartStatus.LOCKED:
        return Rejection("cart_locked")
    if state.status is not CartStatus.ACTIVE:
        return Rejection("cart_closed")
    return Rejection("cart_full") if state.seq >= MAX_EVENTS - 2 else None


_TILL: dict[type[Any], Callable[[CartState, Any], Decision]] = {
    LockCheckout: _lock,
    RelockCheckout: _relock,
    UnlockCheckout: _unlock,
    MarkPaid: _mark_paid,
}


def _same_bill(state: CartState, event: AnyEvent) -> Accepted:
    return Accepted(event, state.totals, state.budget)


def _new_bill(state: CartState, event: AnyEvent, totals: Totals) -> Accepted:
    flagged = budget.measure(state.limit_minor, totals.total_minor, state.budget_rule, state.budget)
    return Accepted(event, totals, flagged)


def apply(state: CartState | None, entry: Entry) -> CartState:
    """Advance a state by the next event of its log.

    Raises:
        ValueError: the entry is not the next one.
    """
    if state is None:
        state = _begin(entry)
    elif entry.seq != state.seq + 1:
        raise ValueError(f"entry {entry.seq} does not follow {state.seq}")
    else:
        _advance(state, entry.event, entry.seq)
    state.seq = entry.seq
    state.changed_at = entry.at
    state.totals = entry.totals
    state.budget = entry.budget
    state.answers[answer_key(entry.by, entry.command_id)] = Answer(entry.digest, entry.seq)
    return state


def _begin(entry: Entry) -> CartState:
    event = entry.event
    if entry.seq != 1 or not isinstance(event, SessionStarted):
        raise ValueError("a log begins with SessionStarted as its first entry")
    return CartState(
        session_id=entry.session_id,
        store_id=event.store_id,
        market=event.market,
        budget_rule=event.budget_rule,
        started_at=entry.at,
        changed_at=entry.at,
        seq=0,
        status=CartStatus.ACTIVE,
        host=event.host.user_id,
        members={event.host.user_id: event.host},
        lines={},
        totals=entry.totals,
        limit_minor=event.limit_minor,
        answers={},
    )


def _advance(state: CartState, event: AnyEvent, seq: int) -> None:
    match event:
        case ItemAdded(line=line) | QuantitySet(line=line):
            state.lines[line.line_id] = line
            state.items_seq = seq
        case ItemRemoved(line=line):
            del state.lines[line.line_id]
            state.items_seq = seq
        case MemberJoined(member=member):
            state.members[member.user_id] = member
        case MemberLeft(user_id=user_id, host=host):
            _drop_member(state, user_id, host)
        case BudgetSet(limit_minor=limit):
            state.limit_minor = limit
        case CheckoutLocked(quote_id=quote_id, payment_id=payment_id, lock_seq=lock_seq):
            state.status = CartStatus.LOCKED
            state.lock = CheckoutLock(payment_id, quote_id, lock_seq)
        case CheckoutUnlocked():
            state.status = CartStatus.ACTIVE
            state.lock = None
        case CartPaid():
            state.status = CartStatus.COMPLETED


def _drop_member(state: CartState, user_id: str, host: str | None) -> None:
    del state.members[user_id]
    if host is None:
        state.status = CartStatus.ABANDONED
    elif host != state.host:
        state.host = host
        state.members[host] = msgspec.structs.replace(state.members[host], role=MemberRole.HOST)
