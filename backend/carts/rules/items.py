"""What members do to lines, and the limits of what may be spent.

Every change of a line is the same thing: a line as it was `before` (None for a new one) becomes the line `after` (None
for one that is gone). The bill moves by the difference, and so do the budgets that the line counts in.
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.carts import budget
from backend.carts.commands import AddItem, Approve, Decline, RemoveItem, SetBudget, SetQuantity, Undo
from backend.carts.events import (
    AnyEvent,
    BudgetSet,
    ItemAdded,
    ItemApproved,
    ItemDeclined,
    ItemRemoved,
    QuantitySet,
)
from backend.carts.rules.outcomes import Accepted, Decision, Facts, Rejection, Settled
from backend.carts.rules.permissions import only_own_lines
from backend.carts.state import Budget, CartState, Line, Member, MemberRole
from backend.kit.money import MAX_MINOR, Totals

MAX_LINES = 500
MAX_QTY = 999
MAX_CATEGORY_BUDGETS = 50
UNDO_WITHIN = timedelta(minutes=5)


def add(state: CartState, member: Member, command: AddItem, facts: Facts, now: datetime) -> Decision:
    """A scan goes to the member's own line of the product at this price, or opens one.

    A child with an allowance shops freely within it; whatever else a child scans waits for approval.
    """
    scanned = facts.scanned
    if scanned is None:
        return Rejection("product_not_found")
    price, rate = scanned.unit_price_minor, scanned.tax_rate_bp
    waits = member.role is MemberRole.CHILD and not _within_allowance(state, member, price * command.qty)
    line_id = state.first_lines.get((scanned.product_id, member.user_id, price, rate, waits))
    before = state.lines[line_id] if line_id else None
    if before is None and len(state.lines) >= MAX_LINES:
        return Rejection("cart_full")
    qty = command.qty + (before.qty if before else 0)
    if qty > MAX_QTY:
        return Rejection("quantity_too_large")
    total, tax = facts.price_line(price, qty, rate)
    after = Line(
        before.line_id if before else f"l{state.seq + 1}",
        scanned.product_id, scanned.barcode, scanned.name,
        qty, price, total, tax, rate,
        member.user_id, scanned.category, waits,
    )  # fmt: skip
    return _change(state, before, after, ItemAdded(after))


def set_quantity(
    state: CartState, member: Member, command: SetQuantity, facts: Facts, now: datetime
) -> Decision:
    before = state.lines.get(command.line_id)
    if before is None:
        return Rejection("line_not_found")
    if only_own_lines(command, member.role) and before.added_by != member.user_id:
        return Rejection("adults_only")
    if command.qty > MAX_QTY:
        return Rejection("quantity_too_large")
    total, tax = facts.price_line(before.unit_price_minor, command.qty, before.tax_rate_bp)
    if (
        member.role is MemberRole.CHILD
        and not before.waiting
        and command.qty > before.qty
        and not _within_allowance(state, member, total - before.total_minor)
    ):
        return Rejection("approval_needed")
    after = replace(before, qty=command.qty, total_minor=total, tax_minor=tax)
    return _change(state, before, after, QuantitySet(after))


def remove(state: CartState, member: Member, command: RemoveItem, facts: Facts, now: datetime) -> Decision:
    before = state.lines.get(command.line_id)
    if before is None:
        return Rejection("line_not_found")
    if only_own_lines(command, member.role) and before.added_by != member.user_id:
        return Rejection("adults_only")
    return _change(state, before, None, ItemRemoved(before))


def approve(state: CartState, member: Member, command: Approve, facts: Facts, now: datetime) -> Decision:
    before = state.lines.get(command.line_id)
    if before is None:
        return Rejection("line_not_found")
    if not before.waiting:
        return Settled(state.seq)
    after = replace(before, waiting=False)
    return _change(state, before, after, ItemApproved(after))


def decline(state: CartState, member: Member, command: Decline, facts: Facts, now: datetime) -> Decision:
    before = state.lines.get(command.line_id)
    if before is None:
        return Rejection("line_not_found")
    if not before.waiting:
        return Rejection("not_waiting")
    return _change(state, before, None, ItemDeclined(before))


def undo(state: CartState, member: Member, command: Undo, facts: Facts, now: datetime) -> Decision:
    """Put the line of the member's latest act back as it was, if nobody has changed it since."""
    act = state.acts.get(member.user_id)
    if act is None:
        return Rejection("nothing_to_undo")
    if now - act.at > UNDO_WITHIN:
        return Rejection("nothing_to_undo", "Your latest change is more than 5 minutes old.")
    line = act.after or act.before
    if line is None or state.lines.get(line.line_id) != act.after:
        return Rejection("nothing_to_undo", "The line was changed after you.")
    if act.after is None and len(state.lines) >= MAX_LINES:
        return Rejection("cart_full")
    if act.before is None:
        event: AnyEvent = ItemRemoved(line, act.seq)
    elif act.after is None:
        event = ItemAdded(act.before, act.seq)
    else:
        event = QuantitySet(act.before, act.seq)
    return _change(state, act.after, act.before, event)


def set_budget(state: CartState, member: Member, command: SetBudget, facts: Facts, now: datetime) -> Decision:
    limit, who, category = command.limit_minor, command.member, command.category
    event = BudgetSet(limit, who, category)
    if who is not None and category is not None:
        return Rejection("invalid_field", "Name a member or a category, not both.")
    if who is not None:
        if who not in state.members:
            return Rejection("member_not_found")
        spent = sum(counted(line) for line in state.lines.values() if line.added_by == who)
        measured = budget.measure(limit, spent, state.budget_rule, None)
        return Accepted(event, state.totals, state.budget, allowances={who: measured})
    if category is not None:
        if len(state.category_budgets) >= MAX_CATEGORY_BUDGETS and category not in state.category_budgets:
            return Rejection("cart_full", "The cart has as many category budgets as it can take.")
        spent = sum(counted(line) for line in state.lines.values() if line.category == category)
        measured = budget.measure(limit, spent, state.budget_rule, None)
        return Accepted(event, state.totals, state.budget, category_budgets={category: measured})
    spent = state.totals.total_minor
    return Accepted(event, state.totals, budget.measure(limit, spent, state.budget_rule, state.budget))


def counted(line: Line | None) -> int:
    """What a line adds to the total: nothing while it waits."""
    return 0 if line is None or line.waiting else line.total_minor


def _within_allowance(state: CartState, member: Member, more_minor: int) -> bool:
    allowance = state.allowances.get(member.user_id)
    return allowance is not None and more_minor <= allowance.remaining_minor


def _change(state: CartState, before: Line | None, after: Line | None, event: AnyEvent) -> Decision:
    """The cart with one line changed: the bill and the budgets moved by the difference."""
    total = counted(after) - counted(before)
    if not total:
        return Accepted(event, state.totals, state.budget)
    tax = (after.tax_minor if after and not after.waiting else 0) - (
        before.tax_minor if before and not before.waiting else 0
    )
    was = state.totals
    payable = was.total_minor + total
    if payable > MAX_MINOR:
        return Rejection("money_too_large")
    totals = Totals(
        was.subtotal_minor + total, was.discount_minor, was.tax_minor + tax, payable, was.currency
    )
    flagged = budget.measure(state.limit_minor, payable, state.budget_rule, state.budget)
    if not (state.allowances or state.category_budgets):
        return Accepted(event, totals, flagged)
    line = after or before
    assert line is not None  # noqa: S101 - a change has at least one side
    return Accepted(
        event,
        totals,
        flagged,
        _moved(state, state.allowances, line.added_by, total),
        _moved(state, state.category_budgets, line.category, total),
    )


def _moved(
    state: CartState, budgets: dict[str, Budget], name: str, difference_minor: int
) -> dict[str, Budget | None]:
    """The budget of this name, if there is one, after the difference."""
    was = budgets.get(name)
    if was is None:
        return {}
    spent = was.spent_minor + difference_minor
    return {name: budget.measure(was.limit_minor, spent, state.budget_rule, was)}
