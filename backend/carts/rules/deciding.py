"""The one way from a command to a decision."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from backend.carts import budget
from backend.carts.commands import (
    AbandonSession,
    AddItem,
    Approve,
    Command,
    Decline,
    HandOver,
    JoinSession,
    LeaveSession,
    LockCheckout,
    MarkPaid,
    RemoveItem,
    RemoveMember,
    RenewJoinLink,
    Request,
    RestoreSession,
    SetBudget,
    SetQuantity,
    SetRole,
    StartSession,
    Undo,
    UnlockCheckout,
)
from backend.carts.events import SessionStarted
from backend.carts.rules import family, items, till
from backend.carts.rules.outcomes import (
    Accepted,
    Decision,
    Facts,
    Rejection,
    Repeated,
    closed_to_shoppers,
)
from backend.carts.rules.permissions import refusal
from backend.carts.state import CartState, Member, MemberRole, answer_key
from backend.kit.money import Totals

_BY_MEMBER: Mapping[type[Command], Callable[[CartState, Member, Any, Facts, datetime], Decision]] = {
    AddItem: items.add,
    SetQuantity: items.set_quantity,
    RemoveItem: items.remove,
    Approve: items.approve,
    Decline: items.decline,
    Undo: items.undo,
    SetBudget: items.set_budget,
    SetRole: family.set_role,
    RemoveMember: family.remove_member,
    HandOver: family.hand_over,
    RenewJoinLink: family.renew_join_link,
    LeaveSession: family.leave,
    RestoreSession: family.restore,
}
_BY_TILL: Mapping[type[Command], Callable[[CartState, Any], Decision]] = {
    LockCheckout: till.lock,
    UnlockCheckout: till.unlock,
    MarkPaid: till.mark_paid,
    AbandonSession: till.abandon,
}


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
        return _BY_TILL[type(command)](state, command)
    if isinstance(command, JoinSession):
        return family.join(state, request.by, command, now)
    member = state.members.get(request.by)
    if member is None or type(command) not in _BY_MEMBER:
        return Rejection("session_not_found")
    if not isinstance(command, RestoreSession) and (refused := closed_to_shoppers(state)):
        return refused
    return refusal(command, member.role) or _BY_MEMBER[type(command)](state, member, command, facts, now)


def _start(request: Request, command: StartSession, now: datetime) -> Decision:
    totals = Totals(0, 0, 0, 0, command.currency)
    host = Member(request.by, command.name, MemberRole.HOST, now)
    event = SessionStarted(command.store_id, command.market, command.budget_rule, host, command.limit_minor)
    return Accepted(event, totals, budget.measure(command.limit_minor, 0, command.budget_rule, None))
