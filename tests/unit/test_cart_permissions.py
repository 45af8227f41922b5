"""Who may do what in a cart: every cell of the table, against a cart in which all of it is possible."""

from typing import get_args

import pytest

from backend.carts import rules
from backend.carts.commands import (
    AddItem,
    AnyCommand,
    Approve,
    Decline,
    HandOver,
    JoinSession,
    LeaveSession,
    LockCheckout,
    RemoveItem,
    RemoveMember,
    RenewJoinLink,
    RestoreSession,
    SetBudget,
    SetQuantity,
    SetRole,
    StartSession,
    Undo,
)
from backend.carts.rules import PERMISSIONS, Accepted, Rejection
from backend.carts.state import MemberRole
from tests.factories import Shopping, make_scanned

HOST, ADULT, CHILD, STRANGER = "usr_host", "usr_adult", "usr_child", "usr_stranger"
OWN, OTHERS, WAITING = "own", "others", "waiting"
YES, HOST_ONLY, ADULTS, UNSEEN = "yes", "host_only", "adults_only", "session_not_found"


class Family:
    """A host, an adult and two children; everybody has a line in the bill, and a child's line waits."""

    def __init__(self) -> None:
        self.cart = Shopping()
        self.cart.join(ADULT)
        self.cart.join_child(CHILD)
        self.cart.join_child("usr_other_child")
        self.lines: dict[str, str] = {}
        for number, who in enumerate([HOST, ADULT, CHILD, "usr_other_child"]):
            self.cart.scan(number, by=who)
            self.lines[who] = list(self.cart.cart.lines)[-1]
        self.cart.do(Approve(self.lines[CHILD]))
        self.cart.do(Approve(self.lines["usr_other_child"]))
        self.cart.scan(8, by="usr_other_child")
        self.lines[WAITING] = list(self.cart.cart.lines)[-1]
        self.cart.scan(9, by=CHILD)

    def line(self, who: str, whose: str) -> str:
        if whose == OTHERS:
            return self.lines["usr_other_child"]
        return self.lines[WAITING] if whose == WAITING else self.lines.get(who, self.lines[HOST])


CELLS: dict[tuple[type, str], tuple[str, str, str, str]] = {
    #                          host  adult      child      stranger
    (AddItem, ""): (YES, YES, YES, UNSEEN),
    (SetQuantity, OWN): (YES, YES, YES, UNSEEN),
    (SetQuantity, OTHERS): (YES, YES, ADULTS, UNSEEN),
    (RemoveItem, OWN): (YES, YES, YES, UNSEEN),
    (RemoveItem, OTHERS): (YES, YES, ADULTS, UNSEEN),
    (Undo, ""): (YES, YES, YES, UNSEEN),
    (Approve, WAITING): (YES, YES, ADULTS, UNSEEN),
    (Decline, WAITING): (YES, YES, ADULTS, UNSEEN),
    (SetBudget, ""): (YES, HOST_ONLY, HOST_ONLY, UNSEEN),
    (SetRole, ""): (YES, HOST_ONLY, HOST_ONLY, UNSEEN),
    (RemoveMember, ""): (YES, HOST_ONLY, HOST_ONLY, UNSEEN),
    (HandOver, ""): (YES, HOST_ONLY, HOST_ONLY, UNSEEN),
    (RenewJoinLink, ""): (YES, HOST_ONLY, HOST_ONLY, UNSEEN),
    (LeaveSession, ""): (YES, YES, YES, UNSEEN),
    (RestoreSession, ""): (YES, YES, ADULTS, UNSEEN),
    (LockCheckout, ""): (YES, YES, ADULTS, UNSEEN),
}


def command_of(kind: type, family: Family, who: str, whose: str) -> AnyCommand:
    line = family.line(who, whose)
    made: dict[type, AnyCommand] = {
        AddItem: AddItem("1", 1),
        SetQuantity: SetQuantity(line, 1),
        RemoveItem: RemoveItem(line),
        Undo: Undo(),
        Approve: Approve(line),
        Decline: Decline(line),
        SetBudget: SetBudget(5_000),
        SetRole: SetRole(ADULT, MemberRole.CHILD),
        RemoveMember: RemoveMember("usr_other_child"),
        HandOver: HandOver(ADULT),
        RenewJoinLink: RenewJoinLink(),
        LeaveSession: LeaveSession(),
        RestoreSession: RestoreSession(),
        LockCheckout: LockCheckout("quo_1", "pay_1", who, family.cart.cart.seq),
    }
    return made[kind]


@pytest.mark.parametrize(
    ("kind", "whose", "who", "expected"),
    [
        pytest.param(kind, whose, who, expected, id=f"{kind.__name__} {whose} by {who}")
        for (kind, whose), row in CELLS.items()
        for who, expected in zip((HOST, ADULT, CHILD, STRANGER), row, strict=True)
    ],
)
def test_each_cell(kind: type, whose: str, who: str, expected: str) -> None:
    family = Family()
    cart = family.cart
    if kind is LockCheckout:
        cart.do(Decline(family.lines[WAITING]))
        cart.do(Decline(list(cart.cart.lines)[-1]))
    if kind is RestoreSession:
        cart.abandon()
    seq = cart.cart.seq
    by = "till" if kind is LockCheckout else who
    decision = cart.do(command_of(kind, family, who, whose), by=by, scanned=make_scanned(5))
    if expected == YES:
        assert isinstance(decision, Accepted), decision
    else:
        assert isinstance(decision, Rejection)
        assert decision.code == expected
        assert cart.cart.seq == seq


def test_every_command_of_a_member_is_in_the_table() -> None:
    of_members = {kind for kind in get_args(AnyCommand) if not kind.by_till} - {StartSession, JoinSession}
    assert set(PERMISSIONS) == of_members | {LockCheckout}
    assert {kind for kind, _ in CELLS} == set(PERMISSIONS)
    assert all(set(row) == set(MemberRole) for row in PERMISSIONS.values())


def test_own_lines_are_what_a_child_may_change() -> None:
    own = {kind for kind, row in PERMISSIONS.items() if row[MemberRole.CHILD] is rules.May.OWN}
    assert own == {kind for kind, whose in CELLS if whose == OTHERS}
