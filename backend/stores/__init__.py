"""The shops: where they are, what they sell in, and how each wants its budgets, points and spot checks.

Invariants:

- A store's market is one of `pricing.MARKETS`; its time zone is an IANA name.
- A process sees a change of a store at most 5 s late.
"""

from backend.stores.documents import DOCUMENTS
from backend.stores.routes import ROUTES
from backend.stores.rules import MAX_STORE_ID, BudgetRule, Store
from backend.stores.store import Stores

__all__ = ["DOCUMENTS", "MAX_STORE_ID", "ROUTES", "BudgetRule", "Store", "Stores"]
