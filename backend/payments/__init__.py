"""Paying: a gateway is asked, its webhook settles, and one transaction makes the order of it.

Invariants:
    - The phone's word settles nothing; only a signed webhook with the right order, amount and currency does.
    - States move forward only. A late success is legal: `failed`, `expired` or `cancelled` may become `captured`.
    - What is captured ends in an order or in a refund, never in nothing.
    - One event of a gateway changes things once, however often and in whatever order it comes.
    - 2xx is answered after the commit, 503 when there was none.

    created ──> pending ──> captured ──> refunding ──> refunded
       │           ├──> failed ───┐
       │           ├──> expired ──┼── late success ──> captured
       └───────────┴──> cancelled ┘
    any unpaid state ── wrong amount, currency or order ──> integrity_failure

The sandbox provider, for the demo and for tests, is `backend/sandbox`: a server of its own, known by its protocol alone.
"""

from backend.payments.documents import PaymentDocument, WebhookEventDocument
from backend.payments.gateway import Gateway
from backend.payments.routes import ROUTES
from backend.payments.sandbox_gateway import SandboxGateway
from backend.payments.service import Payments, run_expiry
from backend.payments.settle import Settlement

DOCUMENTS = [PaymentDocument, WebhookEventDocument]

__all__ = ["DOCUMENTS", "ROUTES", "Gateway", "Payments", "SandboxGateway", "Settlement", "run_expiry"]
