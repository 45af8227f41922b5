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


async def use_once(session: Session, order_id: str, use: Use) -> Pass | None:
    """Use an issued pass up, in the caller's transaction; None when there is none."""
    used = {"status": PassStatus.USED, "used": msgspec.to_builtins(use, builtin_types=(datetime,))}
    return await _move(session, order_id, used)


async def revoke(session: Session, order_id: str) -> Pass | None:
    """Withdraw an issued pass, in the caller's transaction; None when there is none."""
    return await _move(session, order_id, {"status": PassStatus.REVOKED})


async def _move(session: Session, order_id: str, to: Document) -> Pass | None:
    row = await ExitPassDocument.get_pymongo_collection().find_one_and_update(
        {"_id": order_id, "status": PassStatus.ISSUED},
        {"$set": to},
        return_document=ReturnDocument.AFTER,
        session=session,
    )
    return _pass(row) if row else None


def _pass(row: Document) -> Pass:
    return msgspec.convert({**row, "order_id": row["_id"]}, Pass, builtin_types=(datetime,))
