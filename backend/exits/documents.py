"""Signing keys, passes and the gates' audit trail as stored."""

from datetime import datetime
from typing import Any

import pymongo
from beanie import Document
from pymongo import IndexModel

EVENTS_KEPT_S = 180 * 24 * 3600


class ExitKeyDocument(Document):
    """A store's signing key; the private half is sealed. `_id` is the `kid`.

    The unique number decides which process makes a store's next key.
    """

    id: str  # type: ignore[assignment]
    store_id: str
    number: int
    public: str
    sealed_private: bytes
    created_at: datetime
    signs_from: datetime
    withdrawn_at: datetime | None

    class Settings:
        name = "exit_keys"
        indexes = [
            IndexModel(
                [("store_id", pymongo.ASCENDING), ("number", pymongo.ASCENDING)],
                unique=True,
                name="one_of_a_number",
            )
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


class GateEventDocument(Document):
    """A row of the audit trail, never changed once answered; `store_events.GateEvent` says what is in it.

    A scan's `_id` is its store, gate, kind and nonce: the unique key that lets one answer to it exist.
    """

    id: str  # type: ignore[assignment]
    kind: str
    at: datetime
    store_id: str
    order_id: str | None

    class Settings:
        name = "gate_events"
        indexes = [
            IndexModel(
                [("store_id", pymongo.ASCENDING), ("at", pymongo.DESCENDING), ("_id", pymongo.DESCENDING)],
                name="of_store",
            ),
            IndexModel([("order_id", pymongo.ASCENDING), ("at", pymongo.ASCENDING)], name="of_order"),
            IndexModel([("at", pymongo.ASCENDING)], expireAfterSeconds=EVENTS_KEPT_S, name="forget"),
        ]
