"""What is stored of carts beside their log."""

from datetime import datetime
from typing import Any

import pymongo
from beanie import Document
from pymongo import IndexModel


class SessionDocument(Document):
    """A cart's latest snapshot, for listing and for fast loading. It may lag behind the log; it never leads.

    `state` is the whole state in the form of version `v`; of another version it is not read, and the log is.
    """

    id: str  # type: ignore[assignment]
    store_id: str
    host_user_id: str
    participants: list[dict[str, Any]]
    items: list[dict[str, Any]]
    budget_limit: int | None
    status: str
    seq: int
    changed_at: datetime
    state: bytes
    v: int

    class Settings:
        name = "sessions"
        indexes = [
            IndexModel(
                [("participants.user_id", pymongo.ASCENDING), ("changed_at", pymongo.DESCENDING)],
                name="of_user",
            ),
            IndexModel(
                [
                    ("store_id", pymongo.ASCENDING),
                    ("status", pymongo.ASCENDING),
                    ("changed_at", pymongo.DESCENDING),
                ],
                name="of_store",
            ),
            IndexModel(
                [("changed_at", pymongo.ASCENDING)],
                name="idle",
                partialFilterExpression={"status": "active"},
            ),
        ]


class HostDocument(Document):
    """A user's places for carts of their own: `{session_id, at}` each, those that are over until room is needed."""

    id: str  # type: ignore[assignment]
    places: list[dict[str, Any]]

    class Settings:
        name = "hosts"


class JoinLinkDocument(Document):
    """A way into a cart; `_id` is the digest of its token. Open while `number` is the cart's `join_link`."""

    id: str  # type: ignore[assignment]
    session_id: str
    number: int
    expires_at: datetime

    class Settings:
        name = "join_links"
        indexes = [
            IndexModel([("expires_at", pymongo.ASCENDING)], expireAfterSeconds=0, name="forget"),
        ]
