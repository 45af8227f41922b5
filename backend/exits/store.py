"""Exit keys and passes in MongoDB."""

from datetime import datetime

import msgspec

from backend.exits.documents import ExitKeyDocument, ExitPassDocument
from backend.exits.rules import PassStatus
from backend.kit.mongo import Document, Session


class StoredKey(msgspec.Struct, frozen=True):
    kid: str
    store_id: str
    public: str
    sealed_private: bytes


class Use(msgspec.Struct, frozen=True):
    """When and where a pass was used: the gate, its scan's nonce, who stood there."""

    gate_id: str
    nonce: str
    by: str
    at: datetime


class Pass(msgspec.Struct, frozen=True):
    order_id: str
    pass_id: str
    store_id: str
    user_id: str
    kid: str
    item_count: int
    total_minor: int
    currency: str
    check: bool
    status: PassStatus
    issued_at: datetime
    expires_at: datetime
    used: Use | None = None


async def insert_key(key: StoredKey, at: datetime) -> None:
    document = msgspec.to_builtins(key, builtin_types=(bytes,))
    document["_id"] = document.pop("kid")
    await ExitKeyDocument.get_pymongo_collection().insert_one({**document, "created_at": at})


async def find_key(kid: str) -> StoredKey | None:
    row = await ExitKeyDocument.get_pymongo_collection().find_one({"_id": kid})
    return _key(row) if row else None


async def newest_key(store_id: str) -> StoredKey | None:
    keys = ExitKeyDocument.get_pymongo_collection()
    row = await keys.find_one({"store_id": store_id}, sort=[("created_at", -1), ("_id", -1)])
    return _key(row) if row else None


async def all_keys() -> list[StoredKey]:
    return [_key(row) async for row in ExitKeyDocument.get_pymongo_collection().find().sort("created_at", 1)]


async def insert_pass(session: Session, issued: Pass) -> None:
    """The pass of an order, in the caller's transaction; a second one is a `DuplicateKeyError`."""
    document = msgspec.to_builtins(issued, builtin_types=(datetime,))
    document["_id"] = document.pop("order_id")
    await ExitPassDocument.get_pymongo_collection().insert_one(document, session=session)


async def find_pass(order_id: str) -> Pass | None:
    row = await ExitPassDocument.get_pymongo_collection().find_one({"_id": order_id})
    return _pass(row) if row else None


async def renew_if_over(order_id: str, now: datetime, pass_id: str, kid: str, expires_at: datetime) -> None:
    """Give an unused pass whose time is over new times; whoever is first does it."""
    await ExitPassDocument.get_pymongo_collection().update_one(
        {"_id": order_id, "status": PassStatus.ISSUED, "expires_at": {"$lte": now}},
        {"$set": {"pass_id": pass_id, "kid": kid, "issued_at": now, "expires_at": expires_at}},
    )


async def use_once(order_id: str, use: Use) -> Pass | None:
    """Use an issued pass up: one conditional update, which one caller wins. Answers the pass as it is afterwards."""
    passes = ExitPassDocument.get_pymongo_collection()
    await passes.update_one(
        {"_id": order_id, "status": PassStatus.ISSUED},
        {"$set": {"status": PassStatus.USED, "used": msgspec.to_builtins(use, builtin_types=(datetime,))}},
    )
    row = await passes.find_one({"_id": order_id})
    return _pass(row) if row else None


def _pass(row: Document) -> Pass:
    return msgspec.convert({**row, "order_id": row["_id"]}, Pass, builtin_types=(datetime,))


def _key(row: Document) -> StoredKey:
    return msgspec.convert({**row, "kid": row["_id"]}, StoredKey, builtin_types=(bytes, datetime))
