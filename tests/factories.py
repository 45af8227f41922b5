"""What tests make: time that stands still, stores, products, events, commands."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from backend.carts import rules
from backend.carts.commands import (
    TILL,
    AbandonSession,
    AddItem,
    AnyCommand,
    JoinSession,
    Request,
    Scanned,
    SetRole,
    StartSession,
)
from backend.carts.events import SCHEMA_VERSION, Entry
from backend.carts.state import BudgetRule, CartState, MemberRole
from backend.kit.clock import to_milliseconds
from backend.pricing import price_line

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that moves when told. It begins at the real time, as MongoDB's expiry goes by that."""

    def __init__(self) -> None:
        self._now = to_milliseconds(datetime.now(UTC))

    def now(self) -> datetime:
        return self._now

    def advance(self, **how_far: float) -> None:
        """`advance(seconds=5)`: as `timedelta`."""
        self._now += timedelta(**how_far)


_ids = count(1)


def make_scanned(
    n: int = 1, *, unit_price_minor: int = 1000, tax_rate_bp: int = 500, category: str = "snacks"
) -> Scanned:
    """Product number `n`."""
    return Scanned(f"prd_{n}", f"{n:013d}", f"Product {n}", unit_price_minor, tax_rate_bp, category)


def make_request(command: AnyCommand, *, by: str = "usr_host", command_id: str | None = None) -> Request:
    return Request(by, command_id or f"c{next(_ids)}", command)


def make_start(*, limit_minor: int | None = None, budget_rule: BudgetRule | None = None) -> StartSession:
    return StartSession("sto_1", "IN", "INR", budget_rule or BudgetRule(), "Host", limit_minor)


class Shopping:
    """A cart driven by commands without a log: `do` decides, applies and answers the decision."""

    def __init__(self, *, limit_minor: int | None = None) -> None:
        self.state: CartState | None = None
        self.now = NOW
        self.entries: list[Entry] = []
        self.do(make_start(limit_minor=limit_minor))

    @property
    def cart(self) -> CartState:
        assert self.state is not None
        return self.state

    def do(
        self,
        command: AnyCommand,
        *,
        by: str = "usr_host",
        command_id: str | None = None,
        scanned: Scanned | None = None,
    ) -> rules.Decision:
        request = make_request(command, by=by, command_id=command_id)
        decision = rules.decide(self.state, request, rules.Facts(price_line, scanned), self.now)
        if isinstance(decision, rules.Accepted):
            entry = make_entry(self.state, request, decision, self.now)
            self.entries.append(entry)
            self.state = rules.apply(self.state, entry)
        return decision

    def scan(self, n: int = 1, qty: int = 1, *, by: str = "usr_host", **of_product: Any) -> rules.Decision:
        scanned = make_scanned(n, **of_product)
        return self.do(AddItem(scanned.barcode, qty), by=by, scanned=scanned)

    def join(self, user_id: str) -> rules.Decision:
        return self.do(JoinSession(user_id, self.cart.join_link), by=user_id)

    def join_child(self, user_id: str) -> None:
        self.join(user_id)
        self.do(SetRole(user_id, MemberRole.CHILD), by=self.cart.host)

    def abandon(self) -> None:
        """Let nothing happen for so long that the shop closes the cart."""
        self.now += timedelta(hours=4)
        self.do(AbandonSession(self.now - timedelta(hours=4)), by=TILL)


def make_entry(
    state: CartState | None, request: Request, decision: rules.Accepted, at: datetime = NOW
) -> Entry:
    return Entry(
        session_id=state.session_id if state else "ses_1",
        seq=(state.seq if state else 0) + 1,
        at=at,
        by=request.by,
        command_id=request.command_id,
        digest=request.digest(),
        event=decision.event,
        totals=decision.totals,
        budget=decision.budget,
        allowances=decision.allowances,
        category_budgets=decision.category_budgets,
        v=SCHEMA_VERSION,
        w=2**62 + next(_ids),
    )


def replay(entries: Iterable[Entry]) -> CartState:
    """The state after these entries, from the first."""
    state: CartState | None = None
    for entry in entries:
        state = rules.apply(state, entry)
    assert state is not None
    return state
