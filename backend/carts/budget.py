"""The budget's flag: rises at once, falls only when it is clear."""

from backend.carts.state import Budget, BudgetRule, BudgetStatus


def measure(
    limit_minor: int | None, spent_minor: int, rule: BudgetRule, before: Budget | None
) -> Budget | None:
    """The budget after a change; None without a limit.

    SAFE below `warning_percent` of the limit, WARNING up to and including `danger_percent`, DANGER above. A flag
    that is up comes down `fall_percent` points lower, so that it does not flicker at the edge. A new limit is
    judged afresh.
    """
    if limit_minor is None:
        return None
    share = 100 * spent_minor
    fresh = before is None or before.limit_minor != limit_minor
    was = BudgetStatus.SAFE if fresh or before is None else before.status
    hold = rule.fall_percent * limit_minor
    danger = rule.danger_percent * limit_minor
    warning = rule.warning_percent * limit_minor
    if share > (danger - hold if was is BudgetStatus.DANGER else danger):
        status = BudgetStatus.DANGER
    elif share >= (warning if was is BudgetStatus.SAFE else warning - hold):
        status = BudgetStatus.WARNING
    else:
        status = BudgetStatus.SAFE
    return Budget(limit_minor, spent_minor, limit_minor - spent_minor, status)
