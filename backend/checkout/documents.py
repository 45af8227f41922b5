"""Checkouts and orders as stored."""

from datetime import datetime
from typing import Any

import pymongo
from beanie import Document
from pymongo import IndexModel


class CheckoutDocument(Document):
    """A quote, and what was paid for it. `quote` is the signed body; `forget_at` is there while nothing was paid."""

    id: str  # type: ignore[assignment]
    user_id: str
    quote: dict[str, Any]
    due_minor: int
    captured_minor: int
    expires_at: datetime
    forget_at: datetime | None

    class Settings:
        name = "checkouts"
        indexes = [IndexModel([("forget_at", pymongo.ASCENDING)], expireAfterSeconds=0, name="forget")]


class OrderDocument(Document):
    """What was bought. Its lines and totals are the quote's."""

    id: str  # type: ignore[assignment]
    checkout_id: str
    session_id: str
    store_id: str
    user_id: str
    status: str
    history: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    totals: dict[str, Any]
    payment_id: str
    points: int
    refunded_minor: int
    paid_at: datetime

    class Settings:
        name = "orders"
        indexes = [
            IndexModel([("checkout_id", pymongo.ASCENDING)], unique=True, name="one_a_checkout"),
            IndexModel([("user_id", pymongo.ASCENDING), ("paid_at", pymongo.DESCENDING)], name="history"),
            IndexModel([("store_id", pymongo.ASCENDING), ("paid_at", pymongo.DESCENDING)], name="of_store"),
        ]
