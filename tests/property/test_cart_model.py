"""A cart against the simplest model of it that could be right."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from backend.carts import rules
from backend.carts.commands import (
    AddItem,
    AnyCommand,
    Approve,
    Decline,
    HandOver,
    LeaveSession,
    RemoveItem,
    RemoveMember,
    SetBudget,
    SetQuantity,
    SetRole,
    Undo,
)
from backend.carts.events import from_document, to_document
from backend.carts.state import CartState, MemberRole
from backend.pricing import price, price_line
from tests.factories import NOW, Shopping, make_request, make_scanned, replay

PRICES = {n: 1_000 + 137 * n for n in range(5)}
MEMBERS = ["usr_host", "usr_2", "usr_3"]

who = st.sampled_from(MEMBERS)
limit = st.none() | st.integers(1, 10**5)
line = st.integers(0, 8)
step = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(sorted(PRICES)), st.integers(1, 40)),
    st.tuples(st.just("set"), line, st.integers(1, 40)),
    st.tuples(st.sampled_from(["remove", "approve", "decline"]), line),
    st.tuples(st.just("budget"), limit, st.none() | who, st.none() | st.sampled_from(["sweet", "salty"])),
    st.tuples(st.just("role"), who, st.sampled_from(list(MemberRole))),
    st.tuples(st.sampled_from(["hand over", "show out"]), who),
    st.tuples(st.sampled_from(["join", "leave", "undo"])),
)
story = st.lists(st.tuples(who, step), max_size=60)


def command_of(cart: Shopping, what: str, *how: Any) -> AnyCommand:
    """The command of a step; of a line that is not there where the cart has none."""
    lines = list(cart.cart.lines)
    line_id = lines[how[0] % len(lines)] if lines and isinstance(next(iter(how), None), int) else "l0"
    made: dict[str, Callable[[], AnyCommand]] = {
        "set": lambda: SetQuantity(line_id, how[1]),
        "remove": lambda: RemoveItem(line_id),
        "approve": lambda: Approve(line_id),
        "decline": lambda: Decline(line_id),
        "budget": lambda: SetBudget(*how),
        "role": lambda: SetRole(*how),
        "hand over": lambda: HandOver(*how),
        "show out": lambda: RemoveMember(*how),
        "leave": LeaveSession,
        "undo": Undo,
    }
    return made[what]()


def take(cart: Shopping, by: str, what: str, *how: Any) -> rules.Decision:
    if what == "join":
        return cart.join(by)
    if what == "add":
        n, qty = how
        of_product = {"unit_price_minor": PRICES[n], "category": "sweet" if n % 2 else "salty"}
        return cart.scan(n, qty, by=by, **of_product)
    return cart.do(command_of(cart, what, *how), by=by)


def play(steps: list[Any]) -> Shopping:
    cart = Shopping()
    for by, (what, *how) in steps:
        take(cart, by, what, *how)
    return cart


def in_bill(state: CartState, **of_line: str) -> int:
    """What the lines of the bill cost that are like this."""
    return sum(
        PRICES[int(line.product_id[4:])] * line.qty
        for line in state.lines.values()
        if not line.waiting and all(getattr(line, name) == value for name, value in of_line.items())
    )


@given(story)
def test_what_is_spent_is_the_sum_of_the_lines_after_every_step(steps: list[Any]) -> None:
    cart = Shopping()
    for by, (what, *how) in steps:
        take(cart, by, what, *how)
        state = cart.cart
        assert state.totals.total_minor == in_bill(state)
        assert state.first_lines == replay(cart.entries).first_lines
        assert state.totals == price([x for x in state.lines.values() if not x.waiting], "INR").totals
        assert (state.budget is None) == (state.limit_minor is None)
        assert state.budget is None or state.budget.spent_minor == in_bill(state)
        for member, budget in state.allowances.items():
            assert budget.spent_minor == in_bill(state, added_by=member)
        for category, budget in state.category_budgets.items():
            assert budget.spent_minor == in_bill(state, category=category)


@given(story)
def test_quantities_are_what_the_accepted_scans_say(steps: list[Any]) -> None:
    """Without undo and approvals: how many of each product each member has in, kept beside the cart."""
    cart = Shopping()
    books: Counter[tuple[str, str]] = Counter()
    for by, (what, *how) in steps:
        if what not in {"add", "set", "remove", "join", "leave"}:
            continue
        before = list(cart.cart.lines.values())
        decision = take(cart, by, what, *how)
        if not isinstance(decision, rules.Accepted):
            continue
        if what == "add":
            books[by, f"prd_{how[0]}"] += how[1]
        elif what in {"set", "remove"}:
            changed = before[how[0] % len(before)]
            books[changed.added_by, changed.product_id] = how[1] if what == "set" else 0
    assert Counter({(x.added_by, x.product_id): x.qty for x in cart.cart.lines.values()}) == +books


@given(story, who, step)
def test_undoing_an_act_leaves_the_lines_and_the_bill_as_they_were(
    steps: list[Any], by: str, last: Any
) -> None:
    cart = play(steps)
    before = replay(cart.entries)
    what, *how = last
    decision = take(cart, by, what, *how)
    if what in {"add", "set", "remove", "approve", "decline"} and isinstance(decision, rules.Accepted):
        assert isinstance(cart.do(Undo(), by=by), rules.Accepted)
        assert cart.cart.lines == before.lines
        assert cart.cart.totals == before.totals


@given(story)
def test_replaying_the_stored_log_gives_the_state(steps: list[Any]) -> None:
    cart = play(steps)
    stored = [from_document(to_document(entry)) for entry in cart.entries]
    assert msgspec.to_builtins(replay(stored)) == msgspec.to_builtins(cart.state)
    assert [entry.seq for entry in stored] == list(range(1, len(stored) + 1))


@given(story, story)
def test_deciding_changes_nothing(steps: list[Any], more: list[Any]) -> None:
    cart = play(steps)
    before = msgspec.json.encode(cart.state)
    for by, (what, *how) in more:
        command = AddItem("1", 1) if what in {"add", "join"} else command_of(cart, what, *how)
        rules.decide(cart.state, make_request(command, by=by), rules.Facts(price_line, make_scanned()), NOW)
    assert msgspec.json.encode(cart.state) == before
