"""Checkouts and orders in MongoDB."""

from datetime import datetime

import msgspec
from pymongo import ReturnDocument

from backend import errors
from backend.checkout.documents import CheckoutDocument, OrderDocument
from backend.checkout.schemas import Checkout, OrderOut, OrderSummary, Quote
from backend.kit.mongo import Document, Session


async def keep(quote: Quote, user_id: str, forget_at: datetime) -> None:
    """Keep a quote; it is forgotten at `forget_at` unless something is paid for it."""
    await CheckoutDocument.get_pymongo_collection().insert_one(
        {
            "_id": quote.quote_id,
            "user_id": user_id,
            "quote": _to_bson(quote),
            "due_minor": quote.totals.total_minor,
            "captured_minor": 0,
            "expires_at": quote.expires_at,
            "forget_at": forget_at,
        }
    )


async def find(quote_id: str) -> Checkout | None:
    row = await CheckoutDocument.get_pymongo_collection().find_one({"_id": quote_id})
    if row is None:
        return None
    quote = msgspec.convert(row["quote"], Quote, builtin_types=(datetime,))
    return Checkout(
        quote=quote, user_id=row["user_id"], due_minor=row["due_minor"], captured_minor=row["captured_minor"]
    )


async def add_capture(session: Session, quote_id: str, amount_minor: int) -> int:
    """Count a captured payment, in the caller's transaction; answers what is still due."""
    row = await CheckoutDocument.get_pymongo_collection().find_one_and_update(
        {"_id": quote_id},
        {"$inc": {"captured_minor": amount_minor}, "$unset": {"forget_at": ""}},
        return_document=ReturnDocument.AFTER,
        session=session,
    )
    if row is None:
        raise errors.QuoteNotFound
    due: int = row["due_minor"] - row["captured_minor"]
    return due


async def insert_order(session: Session, user_id: str, checkout_id: str, order: OrderOut) -> None:
    """One order a checkout: a second one is a `DuplicateKeyError`."""
    document = _to_bson(order)
    document["_id"] = document.pop("order_id")
    await OrderDocument.get_pymongo_collection().insert_one(
        {**document, "user_id": user_id, "checkout_id": checkout_id}, session=session
    )


async def add_refund(session: Session, order_id: str, amount_minor: int) -> OrderOut:
    """Count money that went back, in the caller's transaction; answers the order as it was before."""
    row = await OrderDocument.get_pymongo_collection().find_one_and_update(
        {"_id": order_id}, {"$inc": {"refunded_minor": amount_minor}}, session=session
    )
    if row is None:
        raise errors.OrderNotFound
    return _order(row)


async def set_order_status(session: Session, order_id: str, status: str, at: datetime) -> None:
    await OrderDocument.get_pymongo_collection().update_one(
        {"_id": order_id},
        {"$set": {"status": status}, "$push": {"history": {"status": status, "at": at}}},
        session=session,
    )


async def find_order(order_id: str, user_id: str) -> OrderOut | None:
    row = await OrderDocument.get_pymongo_collection().find_one({"_id": order_id, "user_id": user_id})
    if row is None:
        return None
    return _order(row)


async def history(user_id: str, page: int, page_size: int) -> tuple[list[OrderSummary], int]:
    """A page of a user's orders, newest first, and how many there are."""
    orders = OrderDocument.get_pymongo_collection()
    mine = {"user_id": user_id}
    rows = (
        orders.find(mine).sort([("paid_at", -1), ("_id", -1)]).skip((page - 1) * page_size).limit(page_size)
    )
    return [_summary(row) async for row in rows], await orders.count_documents(mine)


def _order(row: Document) -> OrderOut:
    return msgspec.convert({**row, "order_id": row["_id"]}, OrderOut, builtin_types=(datetime,))


def _summary(row: Document) -> OrderSummary:
    return OrderSummary(
        order_id=row["_id"],
        store_id=row["store_id"],
        status=row["status"],
        item_count=sum(line["qty"] for line in row["lines"]),
        total_minor=row["totals"]["total_minor"],
        currency=row["totals"]["currency"],
        paid_at=row["paid_at"],
    )


def _to_bson(value: msgspec.Struct) -> Document:
    document: Document = msgspec.to_builtins(value, builtin_types=(datetime,))
    return document
