"""Asking gateways how things stand, so that no payment depends on a webhook's coming.

Every process looks; a look is taken by moving `next_look_at` on, so that one process at a time asks about a payment.
What the gateway answers is carried out like the webhooks that would have told it.
"""

import asyncio
import logging

from backend.errors import AppError
from backend.kit.clock import Clock
from backend.payments import metrics, store
from backend.payments.gateway import Gateway
from backend.payments.rules import ENDED_UNPAID, WAITING, RefundStatus, next_look
from backend.payments.schemas import Payment
from backend.payments.settle import Outcome, Settlement

log = logging.getLogger(__name__)

AT_ONCE = 8
NO_NEWS = frozenset({Outcome.DUPLICATE, Outcome.IGNORED})
BATCH = 200


class Reconciler:
    """Looks at the payments that are due for it."""

    def __init__(self, clock: Clock, settlement: Settlement, gateways: dict[str, Gateway]) -> None:
        self._clock = clock
        self._settlement = settlement
        self._gateways = gateways
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(1)
            while await self.look_at_due() == BATCH:
                pass

    async def look_at_due(self) -> int:
        """Ask about every payment that is due, eight at once; how many were."""
        due = await store.to_look_at(self._clock.now(), BATCH)
        async with asyncio.TaskGroup() as looks:
            for payment in due:
                looks.create_task(self._look(payment))
        return len(due)

    async def _look(self, payment: Payment) -> None:
        async with self._turns:
            owed = await _is_owed(payment)
            may_have_news = owed or payment.status in ENDED_UNPAID
            following = next_look(payment.look_since, self._clock.now()) if may_have_news else None
            if not await store.claim_look(payment, following):
                return
            told = {"payment_id": payment.payment_id, "status": str(payment.status)}
            if owed and following is None:
                metrics.GIVEN_UP.inc()
                log.critical("payment given up by the reconciler", extra=told)
            result = "nothing"
            try:
                for event in await self._gateways[payment.gateway].report(payment.payment_id):
                    outcome = await self._settlement.carry_out(payment.gateway, event)
                    metrics.EVENTS.labels(payment.gateway, "reconciler", outcome).inc()
                    result = result if outcome in NO_NEWS else "news"
            except AppError as error:
                result = "failed"
                log.warning("look at a payment failed", extra={**told, "error": error.code})
            except Exception as error:  # of this payment alone: the others are looked at all the same
                result = "failed"
                log.error("look at a payment failed", extra=told, exc_info=error)
            metrics.LOOKS.labels(result).inc()


async def _is_owed(payment: Payment) -> bool:
    """Whether the gateway has yet to say how the payment, or a refund out of it, ends."""
    if payment.status in WAITING:
        return True
    refunds = await store.refunds_of(payment.payment_id)
    return any(refund.status in {RefundStatus.REQUESTED, RefundStatus.PENDING} for refund in refunds)
