"""The points ledger as stored."""

from datetime import datetime

import pymongo
from beanie import Document
from pymongo import IndexModel


class PointsEntryDocument(Document):
    id: str  # type: ignore[assignment]
    user_id: str
    order_id: str
    kind: str
    points: int
    at: datetime

    class Settings:
        name = "points_ledger"
        indexes = [
            IndexModel(
                [("order_id", pymongo.ASCENDING), ("kind", pymongo.ASCENDING)], unique=True, name="once"
            ),
            IndexModel([("user_id", pymongo.ASCENDING), ("at", pymongo.DESCENDING)], name="of_user"),
        ]
