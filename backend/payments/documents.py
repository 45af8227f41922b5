"""Payments and the inbox of webhooks as stored."""

from datetime import datetime
from typing import Any

import pymongo
from beanie import Document
from pymongo import IndexModel

from backend.payments.rules import WAITING


class PaymentDocument(Document):
    """One attempt to pay a checkout. `order_ref` and `payee` are the gateway's, once it was asked."""

    id: str  # type: ignore[assignment]
    checkout_id: str
    session_id: str
    store_id: str
    user_id: str
    gateway: str
    amount_minor: int
    currency: str
    status: str
    history: list[dict[str, Any]]
    lock_seq: int
    created_at: datetime
    expires_at: datetime
    order_ref: str | None
    payee: dict[str, str] | None
    pay_url: str | None
    gateway_payment_id: str | None
    order_id: str | None

    class Settings:
        name = "payments"
        indexes = [
            IndexModel(
                [("checkout_id", pymongo.ASCENDING), ("user_id", pymongo.ASCENDING)],
                unique=True,
                name="one_a_payer",
            ),
            IndexModel(
                [("expires_at", pymongo.ASCENDING)],
                partialFilterExpression={"status": {"$in": sorted(WAITING)}},
                name="waiting",
            ),
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
