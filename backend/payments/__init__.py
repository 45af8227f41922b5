"""Paying: a gateway is asked, its word settles, and one transaction makes the order of it.

A checkout is paid by one or more payments: a first attempt, and another once that ended unpaid.

Invariants:
    - The phone's word settles nothing; only the gateway's does, with the right order, amount and currency: its signed
      webhook, or its status API, which is asked until all is settled.
    - What a gateway tells has the same end in whatever order, and however often, it is told.
    - A late success is legal: `failed`, `expired` or `cancelled` may become `captured`.
    - What is captured ends in an order or in a refund, never in nothing; what contradicts itself waits for a person.
    - Every capture and every refund that left is one entry of the ledger, and their sum for an order is its total less
      what went back.
    - 2xx is answered after the commit, 503 when there was none.

    created ──> pending ──> authorized ──> captured ──> refunding <──> partially_refunded
       │           │            │             ^             └───────> refunded
       └───────────┼────────────┤             │ late success
                   ├──> expired ┼──> failed ──┤
                   └──> cancelled ────────────┘
    any unpaid state ── wrong amount, currency or order ──> integrity_failure

The sandbox provider, for the demo and for tests, is `backend/sandbox`: a server of its own, known by its protocol alone.
"""

from backend.payments.documents import (
    LedgerEntryDocument,
    PaymentDocument,
    RefundDocument,
    WebhookEventDocument,
)
from backend.payments.gateway import Gateway
from backend.payments.reconcile import Reconciler
from backend.payments.refunds import Refunds
from backend.payments.routes import ROUTES
from backend.payments.sandbox_gateway import SandboxGateway
from backend.payments.service import Payments, run_expiry
from backend.payments.settle import Settlement

DOCUMENTS = [PaymentDocument, RefundDocument, LedgerEntryDocument, WebhookEventDocument]

__all__ = [
    "DOCUMENTS",
    "ROUTES",
    "Gateway",
    "Payments",
    "Reconciler",
    "Refunds",
    "SandboxGateway",
    "Settlement",
    "run_expiry",
]
