"""The stores' signing keys in MongoDB."""

from datetime import datetime

import msgspec

from backend.exits.documents import ExitKeyDocument
from backend.exits.rules import Key
from backend.kit.mongo import Document


async def insert(key: Key, sealed_private: bytes) -> None:
    """Keep a new key; a second one of its number, or of its `kid`, is a `DuplicateKeyError`."""
    document = msgspec.to_builtins(key, builtin_types=(datetime,))
    document["_id"] = document.pop("kid")
    await ExitKeyDocument.get_pymongo_collection().insert_one({**document, "sealed_private": sealed_private})


async def all_public() -> list[Key]:
    """Every key without its private half, by store, the oldest first."""
    rows = ExitKeyDocument.get_pymongo_collection().find({}, {"sealed_private": 0})
    return [_key(row) async for row in rows.sort([("store_id", 1), ("number", 1)])]


async def sealed_private(kid: str) -> bytes | None:
    row = await ExitKeyDocument.get_pymongo_collection().find_one({"_id": kid}, {"sealed_private": 1})
    return row["sealed_private"] if row else None


async def withdraw(kid: str, at: datetime) -> bool:
    """Refuse a key's passes from now on; False when that was so already."""
    done = await ExitKeyDocument.get_pymongo_collection().update_one(
        {"_id": kid, "withdrawn_at": None}, {"$set": {"withdrawn_at": at}}
    )
    return done.modified_count == 1


async def forget(kids: list[str]) -> None:
    await ExitKeyDocument.get_pymongo_collection().delete_many({"_id": {"$in": kids}})


def _key(row: Document) -> Key:
    """Keys from before there was rotation have no number: each is its store's first, and signed at once."""
    first = {"number": 1, "signs_from": row["created_at"]}
    return msgspec.convert({**first, **row, "kid": row["_id"]}, Key, builtin_types=(datetime,))
