"""Asking gateways how things stand, so that no payment depends on a webhook's coming.

Every process looks; a look is taken by moving `next_look_at` on, so that one process at a time asks about a payment.
What the gateway answers is carried out like the webhooks that would have told it.
"""

import asyncio
import logging

from backend.errors import AppError
from backend.kit.clock import Clock
from backend.payments import store
from backend.payments.gateway import Gateway
from backend.payments.rules import ENDED_UNPAID, WAITING, PaymentStatus, next_look
from backend.payments.schemas import Payment
from backend.payments.settle import Settlement

log = logging.getLogger(__name__)

AT_ONCE = 8
BATCH = 200
OPEN = WAITING | ENDED_UNPAID | {PaymentStatus.REFUNDING}
"""What the gateway may still have news of. Of the rest one last look is enough."""


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
            following = next_look(payment.look_since, self._clock.now()) if payment.status in OPEN else None
            if not await store.claim_look(payment, following):
                return
            told = {"payment_id": payment.payment_id, "status": str(payment.status)}
            if following is None and payment.status in WAITING | {PaymentStatus.REFUNDING}:
                log.critical("payment given up by the reconciler", extra=told)
            try:
                for event in await self._gateways[payment.gateway].report(payment.payment_id):
                    await self._settlement.carry_out(payment.gateway, event)
            except AppError as error:
                log.warning("look at a payment failed", extra={**told, "error": error.code})
