"""Points: an append-only ledger; the balance is its sum.

Invariant: an order earns once, in the transaction that makes it.
"""

from backend.rewards.documents import PointsEntryDocument
from backend.rewards.routes import ROUTES
from backend.rewards.rules import points_for
from backend.rewards.service import Rewards

DOCUMENTS = [PointsEntryDocument]

__all__ = ["DOCUMENTS", "ROUTES", "Rewards", "points_for"]
