"""Who may do what in a cart, as one table."""

from collections.abc import Mapping
from enum import StrEnum

from backend.carts.commands import (
    AddItem,
    AnyCommand,
    Approve,
    Command,
    Decline,
    HandOver,
    LeaveSession,
    LockCheckout,
    RemoveItem,
    RemoveMember,
    RenewJoinLink,
    RestoreSession,
    SetBudget,
    SetQuantity,
    SetRole,
    Undo,
)
from backend.carts.rules.outcomes import Rejection
from backend.carts.state import MemberRole


class May(StrEnum):
    """YES, NO, or OWN: only to lines that one added oneself."""

    YES = "yes"
    OWN = "own"
    NO = "no"


_YES, _OWN, _NO = May.YES, May.OWN, May.NO

_ROWS: Mapping[type[Command], tuple[May, May, May]] = {
    # What a child adds beyond its allowance waits for approval.
    AddItem: (_YES, _YES, _YES),
    SetQuantity: (_YES, _YES, _OWN),
    RemoveItem: (_YES, _YES, _OWN),
    Undo: (_YES, _YES, _YES),
    Approve: (_YES, _YES, _NO),
    Decline: (_YES, _YES, _NO),
    SetBudget: (_YES, _NO, _NO),
    SetRole: (_YES, _NO, _NO),
    RemoveMember: (_YES, _NO, _NO),
    HandOver: (_YES, _NO, _NO),
    RenewJoinLink: (_YES, _NO, _NO),
    LeaveSession: (_YES, _YES, _YES),
    RestoreSession: (_YES, _YES, _NO),
    # Of the one who pays: the till sends the command.
    LockCheckout: (_YES, _YES, _NO),
}
PERMISSIONS: Mapping[type[Command], Mapping[MemberRole, May]] = {
    command: dict(zip((MemberRole.HOST, MemberRole.ADULT, MemberRole.CHILD), row, strict=True))
    for command, row in _ROWS.items()
}


def refusal(command: AnyCommand, role: MemberRole) -> Rejection | None:
    """Why a member of this role may not send the command, whatever it is about."""
    row = PERMISSIONS[type(command)]
    if row[role] is not May.NO:
        return None
    return Rejection("host_only" if row[MemberRole.ADULT] is May.NO else "adults_only")


def only_own_lines(command: AnyCommand, role: MemberRole) -> bool:
    """Whether the command is allowed only to lines that the member added."""
    return PERMISSIONS[type(command)][role] is May.OWN


def may_pay(role: MemberRole) -> bool:
    return PERMISSIONS[LockCheckout][role] is May.YES
