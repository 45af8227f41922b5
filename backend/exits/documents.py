"""Signing keys and passes as stored."""

from datetime import datetime
from typing import Any

import pymongo
from beanie import Document
from pymongo import IndexModel


class ExitKeyDocument(Document):
    """A store's signing key; the private half is sealed. `_id` is the `kid`."""

    id: str  # type: ignore[assignment]
    store_id: str
    public: str
    sealed_private: bytes
    created_at: datetime

    class Settings:
        name = "exit_keys"
        indexes = [
            IndexModel([("store_id", pymongo.ASCENDING), ("created_at", pymongo.ASCENDING)], name="of_store")
        ]


class ExitPassDocument(Document):
    """The pass of one order: `_id` is the order. The token is not kept; it is signed again from these fields."""

    id: str  # type: ignore[assignment]
    pass_id: str
    store_id: str
    user_id: str
    kid: str
    item_count: int
    total_minor: int
    currency: str
    check: bool
    status: str
    issued_at: datetime
    expires_at: datetime
    used: dict[str, Any] | None

    class Settings:
        name = "exit_passes"
