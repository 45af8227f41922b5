"""Passes in MongoDB."""

from datetime import datetime

import msgspec
from pymongo import ReturnDocument

from backend.exits.documents import ExitPassDocument
from backend.exits.rules import Pass, PassStatus, Use
from backend.kit.mongo import Document, Session


async def insert_pass(session: Session, issued: Pass) -> None:
    """The pass of an order, in the caller's transaction; a second one is a `DuplicateKeyError`."""
    document = msgspec.to_builtins(issued, builtin_types=(datetime,))
    document["_id"] = document.pop("order_id")
    await ExitPassDocument.get_pymongo_collection().insert_one(document, session=session)


async def find_pass(order_id: str, session: Session | None = None) -> Pass | None:
    row = await ExitPassDocument.get_pymongo_collection().find_one({"_id": order_id}, session=session)
    return _pass(row) if row else None


async def renew(order_id: str, old_pass_id: str, renewed: Pass) -> None:
    """Give an unused pass a new id, key and times; of those who renew the same pass, the first does it."""
    fields = ("pass_id", "kid", "issued_at", "expires_at")
    await ExitPassDocument.get_pymongo_collection().update_one(
        {"_id": order_id, "status": PassStatus.ISSUED, "pass_id": old_pass_id},
        {"$set": {field: getattr(renewed, field) for field in fields}},
    )


async def use_once(order_id: str, use: Use) -> Pass | None:
    """Use an issued pass up; answers it as it is afterwards, whoever has used it.

    One update that always matches: a look after one that did not match could show what was there before.
    """
    issued = {"$eq": ["$status", PassStatus.ISSUED]}
    mine = {"$literal": msgspec.to_builtins(use, builtin_types=(datetime,))}
    row = await ExitPassDocument.get_pymongo_collection().find_one_and_update(
        {"_id": order_id},
        [
            {
                "$set": {
                    "status": {"$cond": [issued, PassStatus.USED, "$status"]},
                    "used": {"$cond": [issued, mine, "$used"]},
                }
            }
        ],
        return_document=ReturnDocument.AFTER,
    )
    return _pass(row) if row else None


async def revoke(session: Session, order_id: str) -> Pass | None:
    """Withdraw an issued pass, in the caller's transaction; None when there is none."""
    row = await ExitPassDocument.get_pymongo_collection().find_one_and_update(
        {"_id": order_id, "status": PassStatus.ISSUED},
        {"$set": {"status": PassStatus.REVOKED}},
        return_document=ReturnDocument.AFTER,
        session=session,
    )
    return _pass(row) if row else None


def _pass(row: Document) -> Pass:
    return msgspec.convert({**row, "order_id": row["_id"]}, Pass, builtin_types=(datetime,))
