"""What is stored: `users`, and `logins` and `gate_devices` with digests in place of what lets them in."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import ClassVar, Literal

from beanie import Document
from pymongo import ASCENDING, IndexModel

from backend.accounts.rules import Kind, StoreRole

EndedWhy = Literal["logout", "reused", "ended", "password"]
"""By itself, by a stolen token, by its owner from elsewhere, by a new password."""


def _unique_where_given(field: str) -> IndexModel:
    return IndexModel(
        [(field, ASCENDING)],
        name=f"one_{field}",
        unique=True,
        partialFilterExpression={field: {"$type": "string"}},
    )


class UserDocument(Document):
    """A person. Whoever has a password has a phone or an e-mail; a guest has none of the three.

    `password_version` grows with each change of the password, not when the same one is hashed anew. With a code staff
    set a new password, once. `staff_changes` of a manager grows with each change of their store's staff, so that two
    changes at once are in each other's way.
    """

    id: str  # type: ignore[assignment]
    kind: Kind
    name: str
    phone: str | None = None
    email: str | None = None
    password_hash: str | None = None
    password_version: int = 0
    roles: tuple[StoreRole, ...] = ()
    code_digest: str | None = None
    code_expires_at: datetime | None = None
    staff_changes: int = 0
    created_at: datetime

    class Settings:
        name = "users"
        indexes: ClassVar = [
            _unique_where_given("phone"),
            _unique_where_given("email"),
            IndexModel(
                [("roles.store_id", ASCENDING)],
                name="staff_of_store",
                partialFilterExpression={"kind": Kind.STAFF.value},
            ),
        ]
        bson_encoders: ClassVar = {StoreRole: asdict}


class LoginDocument(Document):
    """One device signed in. It is live until `ended_at` is set or `expires_at` is reached.

    `network` is a keyed digest: good for comparing, not for reading an address.
    """

    id: str  # type: ignore[assignment]
    user_id: str
    device: str
    network: str
    begun_at: datetime
    refresh_digest: str
    previous_digest: str | None = None
    rotated_at: datetime | None = None
    expires_at: datetime
    ended_at: datetime | None = None
    ended_why: EndedWhy | None = None

    class Settings:
        name = "logins"
        indexes: ClassVar = [
            IndexModel([("expires_at", ASCENDING)], name="forget_expired", expireAfterSeconds=0),
            IndexModel([("user_id", ASCENDING)], name="of_user"),
            IndexModel(
                [("ended_at", ASCENDING)],
                name="ended",
                partialFilterExpression={"ended_at": {"$gt": datetime.fromtimestamp(0, UTC)}},
            ),
        ]


class DeviceDocument(Document):
    """A scanner at a gate. It stays when it is revoked, as what it did names it."""

    id: str  # type: ignore[assignment]
    store_id: str
    gate_id: str
    name: str
    credential_digest: str
    added_at: datetime
    last_seen_at: datetime | None = None
    revoked_at: datetime | None = None

    class Settings:
        name = "gate_devices"
        indexes: ClassVar = [IndexModel([("store_id", ASCENDING)], name="of_store")]


DOCUMENTS: list[type[Document]] = [UserDocument, LoginDocument, DeviceDocument]
