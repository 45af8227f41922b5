"""Payments and webhook events in MongoDB: inserts against unique keys, and conditional moves."""

from datetime import datetime
from typing import Any

import msgspec
from pymongo import ReturnDocument

from backend.kit.mongo import Document, DuplicateKeyError, Session
from backend.payments.documents import PaymentDocument, WebhookEventDocument
from backend.payments.rules import MOVES, WAITING, PaymentStatus
from backend.payments.schemas import Payment


async def insert_or_find(payment: Payment) -> Payment:
    """Keep a new payment, or answer the one that this payer has for the checkout."""
    document = msgspec.to_builtins(payment, builtin_types=(datetime,))
    document["_id"] = document.pop("payment_id")
    document["history"] = [{"status": payment.status, "at": payment.created_at}]
    payments = PaymentDocument.get_pymongo_collection()
    try:
        await payments.insert_one(document)
    except DuplicateKeyError:
        row = await payments.find_one({"checkout_id": payment.checkout_id, "user_id": payment.user_id})
        return _payment(row) if row else payment
    return payment


async def find(payment_id: str, session: Session | None = None) -> Payment | None:
    row = await PaymentDocument.get_pymongo_collection().find_one({"_id": payment_id}, session=session)
    return _payment(row) if row else None


async def move(
    payment_id: str,
    to: PaymentStatus,
    at: datetime,
    session: Session | None = None,
    only_from: PaymentStatus | None = None,
    **fields: Any,
) -> Payment | None:
    """Move a payment to a state if it may get there from where it is; None when it may not.

    Args:
        only_from: the one state it was judged in, where that matters.
        fields: set together with the state.
    """
    may_come_from = MOVES[to] if only_from is None else MOVES[to] & {only_from}
    row = await PaymentDocument.get_pymongo_collection().find_one_and_update(
        {"_id": payment_id, "status": {"$in": sorted(may_come_from)}},
        {"$set": {"status": str(to), **fields}, "$push": {"history": {"status": str(to), "at": at}}},
        return_document=ReturnDocument.AFTER,
        session=session,
    )
    return _payment(row) if row else None


async def set_order(session: Session, payment_id: str, order_id: str) -> None:
    """Name the order that the payment made."""
    await PaymentDocument.get_pymongo_collection().update_one(
        {"_id": payment_id}, {"$set": {"order_id": order_id}}, session=session
    )


async def overdue(now: datetime, at_most: int) -> list[Payment]:
    """Payments whose time is over and that still hold their cart."""
    rows = PaymentDocument.get_pymongo_collection().find(
        {"status": {"$in": sorted(WAITING)}, "expires_at": {"$lte": now}}
    )
    return [_payment(row) async for row in rows.sort("expires_at", 1).limit(at_most)]


async def record_event(
    session: Session, key: str, kind: str, payment_id: str, outcome: str, at: datetime
) -> None:
    """Put an event into the inbox, in the transaction of what it changes; a second time is a `DuplicateKeyError`."""
    await WebhookEventDocument.get_pymongo_collection().insert_one(
        {"_id": key, "kind": kind, "payment_id": payment_id, "outcome": outcome, "received_at": at},
        session=session,
    )


def _payment(row: Document) -> Payment:
    return msgspec.convert({**row, "payment_id": row["_id"]}, Payment, builtin_types=(datetime,))
