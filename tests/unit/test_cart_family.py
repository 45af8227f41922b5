"""A family's cart: roles, children's items, allowances, budgets by category, undo, idle carts."""

from datetime import timedelta

import pytest

from backend.carts import rules
from backend.carts.commands import (
    AbandonSession,
    AddItem,
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
    Undo,
)
from backend.carts.rules import Accepted, Rejection, Settled
from backend.carts.state import BudgetStatus, CartStatus, Line, MemberRole
from tests.factories import Shopping

CHILD = "usr_child"


def refusal(decision: rules.Decision) -> str:
    assert isinstance(decision, Rejection), decision
    return decision.code


def with_child(*, limit_minor: int | None = None) -> Shopping:
    cart = Shopping(limit_minor=limit_minor)
    cart.join_child(CHILD)
    return cart


def last_line(cart: Shopping) -> Line:
    return list(cart.cart.lines.values())[-1]


class TestChildren:
    def test_what_a_child_scans_waits_outside_the_bill(self) -> None:
        cart = with_child(limit_minor=1_500)
        cart.scan(1)
        cart.scan(2, by=CHILD)
        assert last_line(cart).waiting
        assert last_line(cart).total_minor == 1_000
        assert cart.cart.totals.total_minor == 1_000
        assert cart.cart.budget is not None
        assert cart.cart.budget.status is BudgetStatus.SAFE

    def test_more_of_the_same_waits_in_the_same_line(self) -> None:
        cart = with_child()
        cart.scan(2, by=CHILD)
        cart.scan(2, 2, by=CHILD)
        (line,) = cart.cart.lines.values()
        assert (line.qty, line.waiting) == (3, True)

    def test_more_of_what_was_approved_waits_in_a_line_of_its_own(self) -> None:
        cart = with_child()
        cart.scan(2, by=CHILD)
        cart.do(Approve(last_line(cart).line_id))
        cart.scan(2, by=CHILD)
        assert [line.waiting for line in cart.cart.lines.values()] == [False, True]
        assert cart.cart.totals.total_minor == 1_000

    def test_an_approved_line_is_part_of_the_bill(self) -> None:
        cart = with_child(limit_minor=1_000)
        cart.scan(2, by=CHILD)
        cart.do(Approve(last_line(cart).line_id))
        assert not last_line(cart).waiting
        assert (cart.cart.totals.total_minor, cart.cart.totals.tax_minor) == (1_000, 48)
        assert cart.cart.budget is not None
        assert cart.cart.budget.spent_minor == 1_000

    def test_approving_twice_is_approving_once(self) -> None:
        cart = with_child()
        cart.scan(2, by=CHILD)
        cart.do(Approve(last_line(cart).line_id))
        assert isinstance(cart.do(Approve(last_line(cart).line_id)), Settled)
        assert cart.cart.totals.total_minor == 1_000

    def test_a_declined_line_is_gone(self) -> None:
        cart = with_child()
        cart.scan(2, by=CHILD)
        cart.do(Decline(last_line(cart).line_id))
        assert cart.cart.lines == {}
        assert cart.cart.totals.total_minor == 0

    def test_what_does_not_wait_cannot_be_declined(self) -> None:
        cart = Shopping()
        cart.scan()
        assert refusal(cart.do(Decline("l2"))) == "not_waiting"

    @pytest.mark.parametrize("command", [Approve("l99"), Decline("l99")])
    def test_refuses_a_line_that_is_not_there(self, command: Approve | Decline) -> None:
        assert refusal(with_child().do(command)) == "line_not_found"

    def test_what_waits_is_settled_before_paying(self) -> None:
        cart = with_child()
        cart.scan(1)
        cart.scan(2, by=CHILD)
        lock = LockCheckout("quo_1", "pay_1", "usr_host", cart.cart.seq)
        assert refusal(cart.do(lock, by="till")) == "items_waiting"

    def test_a_child_may_lower_its_own_line_but_not_raise_it(self) -> None:
        cart = with_child()
        cart.scan(2, 3, by=CHILD)
        line_id = last_line(cart).line_id
        cart.do(Approve(line_id))
        assert refusal(cart.do(SetQuantity(line_id, 4), by=CHILD)) == "approval_needed"
        assert isinstance(cart.do(SetQuantity(line_id, 2), by=CHILD), Accepted)
        assert cart.cart.totals.total_minor == 2_000

    def test_a_child_may_raise_a_line_that_waits(self) -> None:
        cart = with_child()
        cart.scan(2, by=CHILD)
        cart.do(SetQuantity(last_line(cart).line_id, 4), by=CHILD)
        assert (last_line(cart).qty, cart.cart.totals.total_minor) == (4, 0)


class TestAllowances:
    def test_a_child_shops_freely_within_its_allowance(self) -> None:
        cart = with_child()
        cart.do(SetBudget(2_500, member=CHILD))
        cart.scan(1, 2, by=CHILD)
        assert not last_line(cart).waiting
        allowance = cart.cart.allowances[CHILD]
        assert (allowance.spent_minor, allowance.remaining_minor) == (2_000, 500)
        assert allowance.status is BudgetStatus.WARNING

    def test_what_goes_beyond_it_waits(self) -> None:
        cart = with_child()
        cart.do(SetBudget(2_500, member=CHILD))
        cart.scan(1, 3, by=CHILD)
        assert last_line(cart).waiting
        assert cart.cart.allowances[CHILD].spent_minor == 0

    def test_an_adult_beyond_theirs_is_warned_and_goes_on(self) -> None:
        cart = Shopping()
        cart.join("usr_2")
        cart.do(SetBudget(1_500, member="usr_2"))
        cart.scan(1, 2, by="usr_2")
        assert cart.cart.allowances["usr_2"].status is BudgetStatus.DANGER
        assert cart.cart.totals.total_minor == 2_000

    def test_counts_what_was_there_before_it_was_set(self) -> None:
        cart = Shopping()
        cart.scan(1, 2)
        cart.do(SetBudget(3_000, member="usr_host"))
        assert cart.cart.allowances["usr_host"].spent_minor == 2_000

    def test_follows_every_change_of_the_members_lines_and_no_other(self) -> None:
        cart = Shopping()
        cart.join("usr_2")
        cart.do(SetBudget(9_000, member="usr_2"))
        cart.scan(1, 2, by="usr_2")
        cart.scan(1, 5)
        line = next(line for line in cart.cart.lines.values() if line.added_by == "usr_2")
        cart.do(SetQuantity(line.line_id, 4))
        assert cart.cart.allowances["usr_2"].spent_minor == 4_000
        cart.do(RemoveItem(line.line_id))
        assert cart.cart.allowances["usr_2"].spent_minor == 0

    def test_ends_with_none_and_with_its_member(self) -> None:
        cart = with_child()
        cart.do(SetBudget(2_500, member=CHILD))
        cart.do(SetBudget(None, member=CHILD))
        assert cart.cart.allowances == {}
        cart.do(SetBudget(2_500, member=CHILD))
        cart.do(LeaveSession(), by=CHILD)
        assert cart.cart.allowances == {}

    def test_refuses_who_is_not_there(self) -> None:
        assert refusal(Shopping().do(SetBudget(100, member="usr_2"))) == "member_not_found"


class TestCategoryBudgets:
    def test_counts_its_category_alone(self) -> None:
        cart = Shopping()
        cart.scan(1, category="sweets")
        cart.do(SetBudget(2_000, category="sweets"))
        cart.scan(2, category="dairy")
        cart.scan(3, category="sweets")
        budget = cart.cart.category_budgets["sweets"]
        assert (budget.spent_minor, budget.status) == (2_000, BudgetStatus.WARNING)
        assert cart.cart.totals.total_minor == 3_000
        assert cart.cart.limit_minor is None

    def test_are_limited(self) -> None:
        cart = Shopping()
        for n in range(rules.MAX_CATEGORY_BUDGETS):
            cart.do(SetBudget(100, category=f"c{n}"))
        assert refusal(cart.do(SetBudget(100, category="more"))) == "cart_full"
        assert isinstance(cart.do(SetBudget(200, category="c0")), Accepted)

    def test_a_member_and_a_category_at_once_are_refused(self) -> None:
        decision = Shopping().do(SetBudget(100, member="usr_host", category="dairy"))
        assert refusal(decision) == "invalid_field"


class TestFamily:
    def test_the_host_hands_over(self) -> None:
        cart = Shopping()
        cart.join("usr_2")
        cart.do(HandOver("usr_2"))
        assert cart.cart.host == "usr_2"
        roles = {member.user_id: member.role for member in cart.cart.members.values()}
        assert roles == {"usr_host": MemberRole.ADULT, "usr_2": MemberRole.HOST}
        assert isinstance(cart.do(HandOver("usr_2"), by="usr_2"), Settled)

    def test_a_child_cannot_be_the_host(self) -> None:
        assert refusal(with_child().do(HandOver(CHILD))) == "adults_only"

    def test_an_adult_follows_before_a_child_does(self) -> None:
        cart = with_child()
        cart.join("usr_2")
        cart.do(LeaveSession())
        assert cart.cart.host == "usr_2"

    def test_children_are_not_left_alone(self) -> None:
        cart = with_child()
        assert refusal(cart.do(LeaveSession())) == "last_adult"
        cart.do(RemoveMember(CHILD))
        assert isinstance(cart.do(LeaveSession()), Accepted)
        assert cart.cart.status is CartStatus.ABANDONED

    def test_who_was_removed_does_not_come_back_by_the_link_they_know(self) -> None:
        cart = Shopping()
        cart.join("usr_2")
        known = cart.cart.join_link
        cart.scan(1, by="usr_2")
        cart.do(RemoveMember("usr_2"))
        assert "usr_2" not in cart.cart.members
        assert len(cart.cart.lines) == 1
        assert refusal(cart.scan(2, by="usr_2")) == "session_not_found"
        assert refusal(cart.do(JoinSession("Two", known), by="usr_2")) == "join_link_invalid"
        assert isinstance(cart.join("usr_2"), Accepted)

    def test_the_host_removes_others_not_themselves(self) -> None:
        assert refusal(Shopping().do(RemoveMember("usr_host"))) == "conflict"
        assert refusal(Shopping().do(RemoveMember("usr_2"))) == "member_not_found"

    def test_a_renewed_link_ends_the_one_before(self) -> None:
        cart = Shopping()
        cart.do(RenewJoinLink())
        assert refusal(cart.do(JoinSession("Two", 1), by="usr_2")) == "join_link_invalid"
        assert isinstance(cart.join("usr_2"), Accepted)

    def test_a_role_is_set_once_and_never_the_hosts(self) -> None:
        cart = with_child()
        assert isinstance(cart.do(SetRole(CHILD, MemberRole.CHILD)), Settled)
        cart.do(SetRole(CHILD, MemberRole.ADULT))
        assert cart.cart.members[CHILD].role is MemberRole.ADULT
        assert refusal(cart.do(SetRole("usr_host", MemberRole.CHILD))) == "conflict"
        assert refusal(cart.do(SetRole(CHILD, MemberRole.HOST))) == "conflict"
        assert refusal(cart.do(SetRole("usr_9", MemberRole.CHILD))) == "member_not_found"


class TestUndo:
    def test_takes_a_scan_back(self) -> None:
        cart = Shopping(limit_minor=5_000)
        cart.scan(1)
        before = cart.cart.totals
        cart.scan(2)
        decision = cart.do(Undo())
        assert isinstance(decision, Accepted)
        assert list(cart.cart.lines) == ["l2"]
        assert cart.cart.totals == before
        assert cart.cart.budget is not None
        assert cart.cart.budget.spent_minor == 1_000

    def test_gives_a_line_its_quantity_back(self) -> None:
        cart = Shopping()
        cart.scan(1, 2)
        cart.scan(1, 3)
        cart.do(Undo())
        assert last_line(cart).qty == 2
        cart.do(SetQuantity("l2", 9))
        cart.do(Undo())
        assert (last_line(cart).qty, cart.cart.totals.total_minor) == (2, 2_000)

    def test_brings_a_removed_line_back_as_it_was(self) -> None:
        cart = Shopping()
        cart.scan(1, 2)
        line = last_line(cart)
        cart.do(RemoveItem("l2"))
        cart.do(Undo())
        assert cart.cart.lines == {"l2": line}

    def test_lets_an_approved_line_wait_again_and_a_declined_one_come_back(self) -> None:
        cart = with_child()
        cart.scan(1, by=CHILD)
        line_id = last_line(cart).line_id
        cart.do(Approve(line_id))
        cart.do(Undo())
        assert (last_line(cart).waiting, cart.cart.totals.total_minor) == (True, 0)
        cart.do(Decline(line_id))
        cart.do(Undo())
        assert last_line(cart).waiting

    def test_works_once_for_each_act(self) -> None:
        cart = Shopping()
        cart.scan(1)
        cart.scan(2)
        cart.do(Undo())
        assert refusal(cart.do(Undo())) == "nothing_to_undo"
        assert refusal(Shopping().do(Undo())) == "nothing_to_undo"

    def test_takes_back_ones_own_act_alone(self) -> None:
        cart = Shopping()
        cart.join("usr_2")
        cart.scan(1)
        cart.scan(2, by="usr_2")
        cart.do(Undo())
        assert [line.added_by for line in cart.cart.lines.values()] == ["usr_2"]

    def test_leaves_a_line_that_somebody_else_changed_since(self) -> None:
        cart = Shopping()
        cart.join("usr_2")
        cart.scan(1, 2)
        cart.do(SetQuantity("l3", 5), by="usr_2")
        assert refusal(cart.do(Undo())) == "nothing_to_undo"
        assert last_line(cart).qty == 5

    def test_is_possible_for_five_minutes(self) -> None:
        cart = Shopping()
        cart.scan(1)
        cart.now += timedelta(minutes=5)
        assert isinstance(cart.do(Undo()), Accepted)
        cart.scan(1)
        cart.now += timedelta(minutes=5, milliseconds=1)
        assert refusal(cart.do(Undo())) == "nothing_to_undo"

    def test_does_not_make_a_cart_larger_than_allowed(self) -> None:
        cart = Shopping()
        cart.join("usr_2")
        for n in range(rules.MAX_LINES):
            cart.scan(n)
        cart.do(RemoveItem(last_line(cart).line_id))
        cart.scan(rules.MAX_LINES, by="usr_2")
        assert refusal(cart.do(Undo())) == "cart_full"


class TestIdleCarts:
    def test_are_abandoned_and_restored_as_they_were(self) -> None:
        cart = with_child()
        cart.scan(1)
        lines, totals = dict(cart.cart.lines), cart.cart.totals
        cart.abandon()
        assert refusal(cart.scan(1)) == "cart_closed"
        assert isinstance(cart.do(RestoreSession()), Accepted)
        assert cart.cart.status is CartStatus.ACTIVE
        assert (cart.cart.lines, cart.cart.totals) == (lines, totals)
        assert isinstance(cart.do(RestoreSession()), Settled)

    def test_are_left_alone_when_something_happened_meanwhile(self) -> None:
        cart = Shopping()
        since = cart.now
        cart.now += timedelta(seconds=1)
        cart.scan(1)
        assert isinstance(cart.do(AbandonSession(since), by="till"), Settled)

    def test_are_left_alone_while_they_are_paid(self) -> None:
        cart = Shopping()
        cart.scan(1)
        cart.do(LockCheckout("quo_1", "pay_1", "usr_host", 2), by="till")
        assert isinstance(cart.do(AbandonSession(cart.now), by="till"), Settled)
        assert refusal(cart.do(RestoreSession())) == "cart_locked"

    def test_a_full_one_stays_closed(self) -> None:
        cart = Shopping()
        cart.abandon()
        cart.cart.seq = rules.MAX_SHOPPER_EVENTS
        assert refusal(cart.do(RestoreSession())) == "cart_full"


def test_a_child_cannot_add_in_anothers_name() -> None:
    cart = with_child()
    cart.scan(1)
    cart.scan(1, by=CHILD)
    assert [(line.added_by, line.waiting) for line in cart.cart.lines.values()] == [
        ("usr_host", False),
        (CHILD, True),
    ]
    assert refusal(cart.do(AddItem("1", 1), by="usr_nobody")) == "session_not_found"
