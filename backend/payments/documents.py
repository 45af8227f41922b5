"""Payments, refunds, the ledger of money and the inbox of webhooks as stored."""

from datetime import datetime
from typing import Any

import pymongo
from beanie import Document
from pymongo import IndexModel

from backend.payments.rules import WAITING


class PaymentDocument(Document):
    """One attempt to pay a checkout. `order_ref` and `payee` are the gateway's, once it was asked.

    `captured_minor` is the capture that the payment is about; a second one is in the ledger alone. The gateway is
    asked at `next_look_at` how things stand, which something left open at `look_since`. `lock_seq` is the place of its
    newest lock in the cart's log; the one taken at `held_again_at` is of a late success.
    """

    id: str  # type: ignore[assignment]
    checkout_id: str
    session_id: str
    store_id: str
    user_id: str
    attempt: int
    gateway: str
    amount_minor: int
    currency: str
    status: str
    history: list[dict[str, Any]]
    lock_seq: int
    held_again_at: datetime | None
    created_at: datetime
    expires_at: datetime
    order_ref: str | None
    payee: dict[str, str] | None
    pay_url: str | None
    gateway_payment_id: str | None
    order_id: str | None
    captured_minor: int
    refunding_minor: int
    refunded_minor: int
    look_since: datetime
    next_look_at: datetime | None

    class Settings:
        name = "payments"
        indexes = [
            IndexModel(
                [
                    ("checkout_id", pymongo.ASCENDING),
                    ("user_id", pymongo.ASCENDING),
                    ("attempt", pymongo.ASCENDING),
                ],
                unique=True,
                name="attempt_of_a_payer",
            ),
            IndexModel(
                [("expires_at", pymongo.ASCENDING)],
                partialFilterExpression={"status": {"$in": sorted(WAITING)}},
                name="waiting",
            ),
            IndexModel(
                [("next_look_at", pymongo.ASCENDING)],
                partialFilterExpression={"next_look_at": {"$type": "date"}},
                name="to_look_at",
            ),
        ]


class RefundDocument(Document):
    """Money on its way back out of one capture. `by` is who asked for it; None is the server itself."""

    id: str  # type: ignore[assignment]
    payment_id: str
    order_id: str | None
    gateway_payment_id: str
    amount_minor: int
    currency: str
    cause: str
    reason: str
    by: str | None
    status: str
    history: list[dict[str, Any]]
    created_at: datetime

    class Settings:
        name = "refunds"
        indexes = [IndexModel([("payment_id", pymongo.ASCENDING)], name="of_payment")]


class LedgerEntryDocument(Document):
    """Money that moved: in by a capture (positive), out by a refund (negative). Never changed, never deleted.

    `_id` is `capture:gateway:its payment id` or `refund:refund id`, so that nothing is entered twice.
    """

    id: str  # type: ignore[assignment]
    payment_id: str
    order_id: str | None
    store_id: str
    amount_minor: int
    currency: str
    at: datetime

    class Settings:
        name = "money_ledger"
        indexes = [
            IndexModel([("payment_id", pymongo.ASCENDING)], name="of_payment"),
            IndexModel([("store_id", pymongo.ASCENDING), ("at", pymongo.ASCENDING)], name="of_store"),
        ]


class WebhookEventDocument(Document):
    """The inbox: `_id` is `gateway:event id`, and `outcome` what became of it."""

    id: str  # type: ignore[assignment]
    kind: str
    payment_id: str
    outcome: str
    received_at: datetime

    class Settings:
        name = "webhook_events"
        indexes = [
            IndexModel([("payment_id", pymongo.ASCENDING)], name="of_payment"),
            IndexModel(
                [("received_at", pymongo.ASCENDING)], expireAfterSeconds=90 * 24 * 3600, name="forget"
            ),
        ]
