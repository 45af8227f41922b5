"""The budget's flag at its edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.carts.budget import measure
from backend.carts.state import Budget, BudgetRule, BudgetStatus

RULE = BudgetRule(warning_percent=80, danger_percent=100, fall_percent=2)
SAFE, WARNING, DANGER = BudgetStatus


def flag(spent: int, before: BudgetStatus | None = None, limit: int = 1000) -> BudgetStatus:
    was = None if before is None else Budget(limit, 0, limit, before)
    now = measure(limit, spent, RULE, was)
    assert now is not None
    return now.status


@pytest.mark.parametrize(
    ("spent", "expected"),
    [(0, SAFE), (799, SAFE), (800, WARNING), (1000, WARNING), (1001, DANGER), (5000, DANGER)],
)
def test_rises_at_once(spent: int, expected: BudgetStatus) -> None:
    assert flag(spent, SAFE) is expected


@pytest.mark.parametrize(
    ("spent", "before", "expected"),
    [
        (1000, DANGER, DANGER),
        (981, DANGER, DANGER),
        (980, DANGER, WARNING),
        (780, DANGER, WARNING),
        (779, DANGER, SAFE),
        (799, WARNING, WARNING),
        (780, WARNING, WARNING),
        (779, WARNING, SAFE),
    ],
)
def test_falls_two_points_lower(spent: int, before: BudgetStatus, expected: BudgetStatus) -> None:
    assert flag(spent, before) is expected


def test_no_budget_no_flag() -> None:
    assert measure(None, 500, RULE, None) is None


def test_remaining_is_negative_when_overspent() -> None:
    assert measure(1000, 1200, RULE, None) == Budget(1000, 1200, -200, DANGER)


def test_a_new_limit_is_judged_afresh() -> None:
    assert measure(1020, 1000, RULE, Budget(999, 1000, -1, DANGER)) == Budget(1020, 1000, 20, WARNING)


@given(limit=st.integers(1, 10**11), spent=st.integers(0, 10**12), before=st.sampled_from(BudgetStatus))
def test_memory_only_holds_a_flag_up_and_by_two_points_at_most(
    limit: int, spent: int, before: BudgetStatus
) -> None:
    order = [SAFE, WARNING, DANGER]
    fresh, remembered = flag(spent, None, limit), flag(spent, before, limit)
    assert order.index(fresh) <= order.index(remembered) <= max(order.index(fresh), order.index(before))
    nearby = flag(spent + -(-2 * limit // 100) + 1, None, limit)
    assert order.index(remembered) <= order.index(nearby)
