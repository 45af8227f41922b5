"""The rules of a cart: `decide` judges a command against a state, `apply` moves a state along an event.

Both are deterministic and do no I/O. `decide` changes nothing. `apply` advances the state in place and returns
it; replaying a log from its first event always gives an equal state, whatever prices or code came later.

Reading order: `outcomes` (what a decision can be), `permissions` (who may do what, as a table), `deciding`, which hands
on to `items`, `family` and `till`; then `applying`.
"""

from backend.carts.rules.applying import apply
from backend.carts.rules.deciding import decide
from backend.carts.rules.family import MAX_MEMBERS
from backend.carts.rules.items import MAX_CATEGORY_BUDGETS, MAX_LINES, MAX_QTY, UNDO_WITHIN
from backend.carts.rules.outcomes import (
    MAX_EVENTS,
    MAX_SHOPPER_EVENTS,
    Accepted,
    Decision,
    Facts,
    Rejection,
    Repeated,
    Settled,
)
from backend.carts.rules.permissions import PERMISSIONS, May
from backend.carts.rules.till import not_payable

__all__ = [
    "MAX_CATEGORY_BUDGETS",
    "MAX_EVENTS",
    "MAX_LINES",
    "MAX_MEMBERS",
    "MAX_QTY",
    "MAX_SHOPPER_EVENTS",
    "PERMISSIONS",
    "UNDO_WITHIN",
    "Accepted",
    "Decision",
    "Facts",
    "May",
    "Rejection",
    "Repeated",
    "Settled",
    "apply",
    "decide",
    "not_payable",
]
