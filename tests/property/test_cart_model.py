"""A cart against the simplest model of it that could be right."""

from collections import Counter
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from backend.carts import rules
from backend.carts.commands import AddItem, JoinSession, LeaveSession, RemoveItem, SetBudget, SetQuantity
from backend.carts.events import from_document, to_document
from backend.pricing import price
from tests.factories import NOW, Shopping, make_request, make_scanned, replay

PRICES = {n: 1_000 + 137 * n for n in range(5)}
MEMBERS = ["usr_host", "usr_2", "usr_3"]

command = st.one_of(
    st.builds(lambda n, qty: ("add", n, qty), st.sampled_from(sorted(PRICES)), st.integers(1, 40)),
    st.builds(lambda k, qty: ("set", k, qty), st.integers(0, 8), st.integers(1, 40)),
    st.builds(lambda k: ("remove", k, 0), st.integers(0, 8)),
    st.builds(lambda limit: ("budget", limit, 0), st.none() | st.integers(1, 10**6)),
    st.just(("join", 0, 0)),
    st.just(("leave", 0, 0)),
)
story = st.lists(st.tuples(st.sampled_from(MEMBERS), command), max_size=60)


def play(steps: list[Any]) -> tuple[Shopping, Counter[tuple[str, int]]]:
    """Drive a cart and keep the books beside it: how many of each product each member has in."""
    cart = Shopping()
    books: Counter[tuple[str, int]] = Counter()
    for who, (what, arg, qty) in steps:
        lines = list(cart.cart.lines.values()) if cart.state else []
        line = lines[arg % len(lines)] if what in {"set", "remove"} and lines else None
        match what:
            case "add":
                scanned = make_scanned(arg, unit_price_minor=PRICES[arg])
                decision = cart.do(AddItem(scanned.barcode, qty), by=who, scanned=scanned)
                change = (who, arg), books[who, arg] + qty
            case "set" | "remove" if line is not None:
                wanted = SetQuantity(line.line_id, qty) if what == "set" else RemoveItem(line.line_id)
                decision = cart.do(wanted, by=who)
                change = (line.added_by, int(line.product_id[4:])), qty
            case "budget":
                cart.do(SetBudget(arg), by=who)
                continue
            case "join":
                cart.do(JoinSession(who), by=who)
                continue
            case "leave":
                cart.do(LeaveSession(), by=who)
                continue
            case _:
                continue
        if isinstance(decision, rules.Accepted):
            books[change[0]] = change[1]
    return cart, +books


@given(story)
def test_the_cart_equals_its_books(steps: list[Any]) -> None:
    cart, books = play(steps)
    lines = Counter(
        {(line.added_by, int(line.product_id[4:])): line.qty for line in cart.cart.lines.values()}
    )
    assert lines == books
    assert cart.cart.totals.total_minor == sum(PRICES[n] * qty for (_, n), qty in books.items())


@given(story)
def test_replaying_the_stored_log_gives_the_state(steps: list[Any]) -> None:
    cart, _ = play(steps)
    stored = [from_document(to_document(entry)) for entry in cart.entries]
    assert msgspec.to_builtins(replay(stored)) == msgspec.to_builtins(cart.state)
    assert [entry.seq for entry in stored] == list(range(1, len(stored) + 1))


@given(story)
def test_every_event_carries_the_whole_carts_price(steps: list[Any]) -> None:
    cart, _ = play(steps)
    for seen in range(1, len(cart.entries) + 1):
        state = replay(cart.entries[:seen])
        bill = price(state.lines.values(), "INR")
        assert state.totals == bill.totals
        assert [(line.total_minor, line.tax_minor) for line in state.lines.values()] == bill.amounts


@given(story, story)
def test_deciding_changes_nothing(steps: list[Any], more: list[Any]) -> None:
    cart, _ = play(steps)
    before = msgspec.json.encode(cart.state)
    for who, (_, arg, qty) in more:
        scanned = make_scanned(qty)
        rules.decide(
            cart.state, make_request(AddItem(f"{arg}", qty + 1), by=who), rules.Facts(price, scanned), NOW
        )
    assert msgspec.json.encode(cart.state) == before
