"""What a cart allows, and what each command does to it."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from backend import errors
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
    MarkPaid,
    RemoveItem,
    RemoveMember,
    RenewJoinLink,
    RestoreSession,
    SetBudget,
    SetQuantity,
    Undo,
    UnlockCheckout,
)
from backend.carts.events import AnyEvent, from_document, to_document
from backend.carts.rules import Accepted, Rejection, Repeated, Settled
from backend.carts.state import CartStatus, MemberRole
from tests.factories import Shopping, make_scanned, replay


def lock_for(cart: Shopping, payment_id: str = "pay_1") -> rules.Decision:
    return cart.do(LockCheckout("quo_1", payment_id, "usr_host", cart.cart.seq), by="till")


def refusal(decision: rules.Decision) -> str:
    assert isinstance(decision, Rejection)
    return decision.code


class TestAddItem:
    def test_prices_the_line_with_the_tax_it_contains(self) -> None:
        cart = Shopping()
        cart.scan(qty=3, unit_price_minor=10_500, tax_rate_bp=500)
        (line,) = cart.cart.lines.values()
        assert (line.qty, line.total_minor, line.tax_minor) == (3, 31_500, 1_500)
        assert cart.cart.totals.total_minor == 31_500

    def test_adds_to_the_line_of_the_same_member(self) -> None:
        cart = Shopping()
        cart.scan(1)
        cart.scan(1, 2)
        assert [line.qty for line in cart.cart.lines.values()] == [3]

    def test_keeps_who_added_what_apart(self) -> None:
        cart = Shopping()
        cart.join("usr_kid")
        cart.scan(1)
        cart.scan(1, by="usr_kid")
        assert [(line.added_by, line.qty) for line in cart.cart.lines.values()] == [
            ("usr_host", 1),
            ("usr_kid", 1),
        ]

    def test_opens_a_new_line_when_the_price_changed(self) -> None:
        cart = Shopping()
        cart.scan(1, unit_price_minor=1000)
        cart.scan(1, unit_price_minor=1200)
        assert cart.cart.totals.total_minor == 2200
        assert len(cart.cart.lines) == 2

    def test_refuses_more_than_a_line_can_hold(self) -> None:
        cart = Shopping()
        cart.scan(1, 999)
        assert refusal(cart.scan(1, 1)) == "quantity_too_large"

    def test_refuses_a_bill_beyond_all_money(self) -> None:
        cart = Shopping()
        assert refusal(cart.scan(1, 999, unit_price_minor=10**9)) == "money_too_large"

    def test_refuses_who_is_not_a_member(self) -> None:
        assert refusal(Shopping().scan(by="usr_stranger")) == "session_not_found"

    def test_refuses_a_product_that_is_not_known(self) -> None:
        assert refusal(Shopping().do(AddItem("1", 1))) == "product_not_found"


class TestChangeLines:
    def test_sets_a_quantity(self) -> None:
        cart = Shopping()
        cart.scan(1, 5, unit_price_minor=100)
        cart.do(SetQuantity("l2", 2))
        assert cart.cart.totals.total_minor == 200

    def test_removes_a_line(self) -> None:
        cart = Shopping()
        cart.scan(1)
        cart.do(RemoveItem("l2"))
        assert (cart.cart.lines, cart.cart.totals.total_minor) == ({}, 0)

    @pytest.mark.parametrize("command", [SetQuantity("l9", 1), RemoveItem("l9")])
    def test_refuses_a_line_that_is_not_there(self, command: AnyCommand) -> None:
        assert refusal(Shopping().do(command)) == "line_not_found"


class TestMembers:
    def test_joining_twice_is_joining_once(self) -> None:
        cart = Shopping()
        cart.join("usr_kid")
        assert isinstance(cart.join("usr_kid"), Settled)
        assert list(cart.cart.members) == ["usr_host", "usr_kid"]

    def test_the_longest_standing_member_follows_a_host_who_leaves(self) -> None:
        cart = Shopping()
        cart.join("usr_2")
        cart.join("usr_3")
        cart.do(LeaveSession())
        assert cart.cart.host == "usr_2"
        assert cart.cart.members["usr_2"].role is MemberRole.HOST

    def test_the_last_to_leave_abandons_the_cart(self) -> None:
        cart = Shopping()
        cart.do(LeaveSession())
        assert cart.cart.status is CartStatus.ABANDONED
        assert refusal(cart.join("usr_late")) == "cart_closed"

    def test_refuses_a_family_without_end(self) -> None:
        cart = Shopping()
        for n in range(rules.MAX_MEMBERS - 1):
            cart.join(f"usr_{n}")
        assert refusal(cart.join("usr_more")) == "family_full"

    def test_only_the_host_sets_the_budget(self) -> None:
        cart = Shopping()
        cart.join("usr_kid")
        assert refusal(cart.do(SetBudget(5_000), by="usr_kid")) == "host_only"
        cart.do(SetBudget(5_000))
        assert cart.cart.budget is not None
        cart.do(SetBudget(None))
        assert cart.cart.budget is None


class TestRepeats:
    def test_a_repeat_gets_the_first_answer_and_changes_nothing(self) -> None:
        cart = Shopping()
        first = cart.do(AddItem("1", 1), command_id="x", scanned=make_scanned())
        again = cart.do(AddItem("1", 1), command_id="x", scanned=make_scanned())
        assert isinstance(first, Accepted)
        assert again == Repeated(2)
        assert cart.cart.seq == 2

    def test_an_id_used_for_another_command_is_refused(self) -> None:
        cart = Shopping()
        cart.do(AddItem("1", 1), command_id="x", scanned=make_scanned())
        assert refusal(cart.do(AddItem("1", 2), command_id="x", scanned=make_scanned())) == "id_reused"

    def test_ids_are_a_members_own(self) -> None:
        cart = Shopping()
        cart.join("usr_kid")
        cart.do(AddItem("1", 1), command_id="x", scanned=make_scanned())
        cart.do(AddItem("1", 1), command_id="x", by="usr_kid", scanned=make_scanned())
        assert len(cart.cart.lines) == 2

    def test_a_repeat_is_answered_also_when_the_cart_is_closed(self) -> None:
        cart = Shopping()
        cart.do(AddItem("1", 1), command_id="x", scanned=make_scanned())
        lock_for(cart)
        cart.do(MarkPaid("pay_1", "ord_1"), by="till")
        assert cart.do(AddItem("1", 1), command_id="x", scanned=make_scanned()) == Repeated(2)


class TestTill:
    def test_a_locked_cart_refuses_shoppers(self) -> None:
        cart = Shopping()
        cart.scan()
        lock_for(cart)
        assert refusal(cart.scan()) == "cart_locked"
        assert refusal(cart.do(LeaveSession())) == "cart_locked"

    def test_locks_only_right_after_the_quote(self) -> None:
        cart = Shopping()
        cart.scan()
        quoted = cart.cart.seq
        cart.scan(2)
        assert (
            refusal(cart.do(LockCheckout("quo_1", "pay_1", "usr_host", quoted), by="till")) == "quote_stale"
        )

    def test_locks_nothing_empty(self) -> None:
        assert refusal(lock_for(Shopping())) == "cart_empty"

    def test_a_second_payment_waits(self) -> None:
        cart = Shopping()
        cart.scan()
        lock_for(cart)
        assert refusal(lock_for(cart, "pay_2")) == "cart_locked"
        repeated = LockCheckout("quo_1", "pay_1", "usr_host", cart.cart.seq - 1)
        assert isinstance(cart.do(repeated, by="till"), Settled)

    def test_unlocking_gives_the_cart_back_once(self) -> None:
        cart = Shopping()
        cart.scan()
        quoted = cart.cart.seq
        lock_for(cart)
        unlock = UnlockCheckout("pay_1", quoted, "failed")
        cart.do(unlock, by="till")
        assert cart.cart.status is CartStatus.ACTIVE
        assert isinstance(cart.do(unlock, by="till"), Settled)

    def test_another_payments_unlock_changes_nothing(self) -> None:
        cart = Shopping()
        cart.scan()
        lock_for(cart)
        assert isinstance(cart.do(UnlockCheckout("pay_2", 2, "failed"), by="till"), Settled)
        assert cart.cart.status is CartStatus.LOCKED

    def test_unlocking_takes_the_place_of_a_lock_that_may_still_come(self) -> None:
        cart = Shopping()
        cart.scan()
        quoted = cart.cart.seq
        assert isinstance(cart.do(UnlockCheckout("pay_1", quoted, "expired"), by="till"), Accepted)
        late = cart.do(LockCheckout("quo_1", "pay_1", "usr_host", quoted), by="till")
        assert refusal(late) == "quote_stale"

    def test_paid_is_final(self) -> None:
        cart = Shopping()
        cart.scan()
        lock_for(cart)
        cart.do(MarkPaid("pay_1", "ord_1"), by="till")
        assert cart.cart.status is CartStatus.COMPLETED
        assert isinstance(cart.do(MarkPaid("pay_1", "ord_1"), by="till"), Settled)
        assert isinstance(cart.do(UnlockCheckout("pay_1", 2, "late"), by="till"), Settled)
        assert cart.cart.status is CartStatus.COMPLETED
        assert refusal(cart.scan()) == "cart_closed"

    def test_only_the_payment_that_holds_the_cart_pays_it(self) -> None:
        cart = Shopping()
        cart.scan()
        lock_for(cart)
        assert refusal(cart.do(MarkPaid("pay_2", "ord_1"), by="till")) == "conflict"

    def test_a_payment_locks_anew_what_it_holds(self) -> None:
        """And what was to undo its first lock leaves the second alone."""
        cart = Shopping()
        cart.scan()
        lock_for(cart)
        first = cart.cart.seq
        again = LockCheckout("quo_1", "pay_1", "usr_host", first)
        assert isinstance(cart.do(again, by="till"), Accepted)
        assert isinstance(cart.do(again, by="till"), Settled)
        assert isinstance(cart.do(UnlockCheckout("pay_1", first - 1, "expired"), by="till"), Settled)
        assert refusal(cart.scan()) == "cart_locked"
        assert isinstance(cart.do(UnlockCheckout("pay_1", first, "expired"), by="till"), Accepted)
        assert isinstance(cart.scan(), Accepted)

    def test_another_payment_does_not_lock_what_is_held(self) -> None:
        cart = Shopping()
        cart.scan()
        lock_for(cart)
        other = LockCheckout("quo_1", "pay_2", "usr_host", cart.cart.seq)
        assert refusal(cart.do(other, by="till")) == "cart_locked"


class TestLimits:
    def test_a_full_cart_takes_nothing_more_but_can_be_paid(self) -> None:
        cart = Shopping()
        cart.scan()
        cart.cart.seq = rules.MAX_SHOPPER_EVENTS
        assert refusal(cart.scan()) == "cart_full"
        assert isinstance(lock_for(cart), Accepted)

    def test_lines_are_limited(self) -> None:
        cart = Shopping()
        for n in range(rules.MAX_LINES):
            cart.scan(n)
        assert refusal(cart.scan(rules.MAX_LINES)) == "cart_full"
        assert isinstance(cart.scan(0), Accepted)


class TestEntries:
    def test_survive_storage_to_the_last_field(self) -> None:
        cart = full_story()
        assert [from_document(to_document(entry)) for entry in cart.entries] == cart.entries

    def test_replay_to_the_same_state(self) -> None:
        cart = full_story()
        assert msgspec.json.encode(replay(cart.entries)) == msgspec.json.encode(cart.state)

    def test_are_refused_out_of_order(self) -> None:
        cart = full_story()
        with pytest.raises(ValueError, match="does not follow"):
            replay([cart.entries[0], cart.entries[2]])
        with pytest.raises(ValueError, match="begins with"):
            replay(cart.entries[1:])


def full_story() -> Shopping:
    """A cart in which everything happened that can."""
    cart = Shopping(limit_minor=10_000)
    cart.join("usr_kid")
    cart.scan(1, 2)
    cart.scan(2, by="usr_kid")
    cart.do(SetQuantity("l3", 5))
    cart.do(RemoveItem("l4"))
    cart.do(SetBudget(20_000))
    cart.do(LeaveSession(), by="usr_kid")
    cart.join_child("usr_child")
    cart.scan(3, by="usr_child")
    cart.do(Approve(next(reversed(cart.cart.lines))))
    cart.scan(4, by="usr_child")
    cart.do(Decline(next(reversed(cart.cart.lines))))
    cart.do(Undo())
    cart.do(Approve(next(reversed(cart.cart.lines))))
    cart.do(SetBudget(3_000, member="usr_child"))
    cart.do(SetBudget(9_000, category="snacks"))
    cart.scan(3, by="usr_child")
    cart.join("usr_2")
    cart.do(HandOver("usr_2"))
    cart.do(RenewJoinLink(), by="usr_2")
    cart.do(RemoveMember("usr_child"), by="usr_2")
    cart.do(SetBudget(None, category="snacks"), by="usr_2")
    cart.abandon()
    cart.do(RestoreSession(), by="usr_2")
    lock_for(cart)
    cart.do(UnlockCheckout("pay_1", cart.cart.seq - 1, "failed"), by="till")
    lock_for(cart, "pay_2")
    cart.do(MarkPaid("pay_2", "ord_1"), by="till")
    return cart


def test_the_story_has_every_kind_of_event() -> None:
    told = {type(entry.event) for entry in full_story().entries}
    assert told == set(get_args(AnyEvent))


def test_every_rejection_is_an_error() -> None:
    sources = [path.read_text() for path in Path(rules.__file__).parent.glob("*.py")]
    codes = set(re.findall(r'Rejection\(\s*"(\w+)"', "".join(sources)))
    assert len(codes) > 10
    assert codes <= set(errors.BY_CODE)


def test_joining_needs_no_membership_but_a_name() -> None:
    cart = Shopping()
    decision = cart.do(JoinSession("Asha", 1), by="usr_kid")
    assert isinstance(decision, Accepted)
    assert cart.cart.members["usr_kid"].name == "Asha"
