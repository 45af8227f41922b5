"""Payments, refunds, ledger and inbox in MongoDB: inserts against unique keys, and conditional moves."""

from datetime import datetime
from typing import Any

import msgspec
from pymongo import ReturnDocument

from backend.kit.mongo import Document, DuplicateKeyError, Session
from backend.payments.documents import (
    LedgerEntryDocument,
    PaymentDocument,
    RefundDocument,
    WebhookEventDocument,
)
from backend.payments.rules import (
    MOVES,
    REFUND_MOVES,
    WAITING,
    PaymentStatus,
    RefundStatus,
)
from backend.payments.schemas import LedgerEntry, Payment, Refund


class EventKnown(Exception):
    """The inbox has this event; the transaction leaves everything as it is."""


class EntryKnown(Exception):
    """The ledger has this entry; the transaction leaves everything as it is."""


async def insert_or_find(payment: Payment) -> Payment:
    """Keep a new attempt, or answer the one that the payer has made meanwhile."""
    try:
        await PaymentDocument.get_pymongo_collection().insert_one(
            _row(payment, "payment_id", payment.created_at)
        )
    except DuplicateKeyError:
        return await latest_attempt(payment.checkout_id, payment.user_id) or payment
    return payment


async def latest_attempt(checkout_id: str, user_id: str) -> Payment | None:
    row = await PaymentDocument.get_pymongo_collection().find_one(
        {"checkout_id": checkout_id, "user_id": user_id}, sort=[("attempt", -1)]
    )
    return _payment(row) if row else None


async def find(payment_id: str, session: Session | None = None) -> Payment | None:
    row = await PaymentDocument.get_pymongo_collection().find_one({"_id": payment_id}, session=session)
    return _payment(row) if row else None


async def waiting(checkout_id: str) -> list[Payment]:
    """Attempts to pay a checkout that have not ended."""
    rows = PaymentDocument.get_pymongo_collection().find(
        {"checkout_id": checkout_id, "status": {"$in": sorted(WAITING)}}
    )
    return [_payment(row) async for row in rows]


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


async def set_money(session: Session, after: Payment, at: datetime) -> None:
    """Write the amounts, and the state that follows from them, of a payment read in the same transaction."""
    fields = {
        "status": str(after.status),
        "refunding_minor": after.refunding_minor,
        "refunded_minor": after.refunded_minor,
    }
    await PaymentDocument.get_pymongo_collection().update_one(
        {"_id": after.payment_id},
        {"$set": fields, "$push": {"history": {"status": str(after.status), "at": at}}},
        session=session,
    )


async def note_lock(session: Session, payment_id: str, lock_seq: int, at: datetime) -> None:
    """Name the place of the lock that a late success is about to take."""
    await PaymentDocument.get_pymongo_collection().update_one(
        {"_id": payment_id}, {"$set": {"lock_seq": lock_seq, "held_again_at": at}}, session=session
    )


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


async def to_look_at(now: datetime, at_most: int) -> list[Payment]:
    """Payments of which the gateway should be asked how they stand."""
    rows = PaymentDocument.get_pymongo_collection().find({"next_look_at": {"$type": "date", "$lte": now}})
    return [_payment(row) async for row in rows.sort("next_look_at", 1).limit(at_most)]


async def look_from(
    session: Session, payment_id: str, since: datetime, next_look_at: datetime | None
) -> None:
    """Have the gateway asked again: something is open since now."""
    await PaymentDocument.get_pymongo_collection().update_one(
        {"_id": payment_id},
        {"$set": {"look_since": since, "next_look_at": next_look_at}},
        session=session,
    )


async def claim_look(payment: Payment, next_look_at: datetime | None) -> bool:
    """Take a look upon oneself; False if another process did, or something changed about it."""
    done = await PaymentDocument.get_pymongo_collection().update_one(
        {"_id": payment.payment_id, "next_look_at": payment.next_look_at},
        {"$set": {"next_look_at": next_look_at}},
    )
    return done.modified_count == 1


async def insert_refund(session: Session, refund: Refund) -> None:
    row = _row(refund, "refund_id", refund.created_at)
    await RefundDocument.get_pymongo_collection().insert_one(row, session=session)


async def find_refund(refund_id: str, session: Session | None = None) -> Refund | None:
    row = await RefundDocument.get_pymongo_collection().find_one({"_id": refund_id}, session=session)
    return _refund(row) if row else None


async def refunds_of(payment_id: str) -> list[Refund]:
    """Oldest first."""
    rows = RefundDocument.get_pymongo_collection().find({"payment_id": payment_id})
    return [_refund(row) async for row in rows.sort([("created_at", 1), ("_id", 1)])]


async def move_refund(
    refund_id: str, to: RefundStatus, at: datetime, session: Session | None = None
) -> Refund | None:
    """As `move`, but answers the refund as it was before."""
    row = await RefundDocument.get_pymongo_collection().find_one_and_update(
        {"_id": refund_id, "status": {"$in": sorted(REFUND_MOVES[to])}},
        {"$set": {"status": str(to)}, "$push": {"history": {"status": str(to), "at": at}}},
        return_document=ReturnDocument.BEFORE,
        session=session,
    )
    return _refund(row) if row else None


async def enter(session: Session, entry: LedgerEntry) -> None:
    """Add to the ledger.

    Raises:
        EntryKnown: it is there.
    """
    row = msgspec.to_builtins(entry, builtin_types=(datetime,))
    row["_id"] = row.pop("entry_id")
    try:
        await LedgerEntryDocument.get_pymongo_collection().insert_one(row, session=session)
    except DuplicateKeyError:
        raise EntryKnown from None


async def is_entered(entry_id: str) -> bool:
    ledger = LedgerEntryDocument.get_pymongo_collection()
    return await ledger.find_one({"_id": entry_id}, {"_id": 1}) is not None


async def is_received(key: str) -> bool:
    """Whether the inbox has the event."""
    inbox = WebhookEventDocument.get_pymongo_collection()
    return await inbox.find_one({"_id": key}, {"_id": 1}) is not None


async def record_event(
    session: Session, key: str, kind: str, payment_id: str, outcome: str, at: datetime
) -> None:
    """Put an event into the inbox, in the transaction of what it changes.

    Raises:
        EventKnown: it is there.
    """
    row = {"_id": key, "kind": kind, "payment_id": payment_id, "outcome": outcome, "received_at": at}
    try:
        await WebhookEventDocument.get_pymongo_collection().insert_one(row, session=session)
    except DuplicateKeyError:
        raise EventKnown from None


def _row(stored: Payment | Refund, id_field: str, at: datetime) -> Document:
    row: Document = msgspec.to_builtins(stored, builtin_types=(datetime,))
    row["_id"] = row.pop(id_field)
    row["history"] = [{"status": str(stored.status), "at": at}]
    return row


def _payment(row: Document) -> Payment:
    return msgspec.convert({**row, "payment_id": row["_id"]}, Payment, builtin_types=(datetime,))


def _refund(row: Document) -> Refund:
    return msgspec.convert({**row, "refund_id": row["_id"]}, Refund, builtin_types=(datetime,))
