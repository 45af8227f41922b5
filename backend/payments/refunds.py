"""Giving money back: asked by the shop, or owed for a capture that bought nothing.

    requested ── the gateway took it ──> pending ──> processed
        └────────── refused ──────────────┴──> failed ── told to have left after all ──> processed

What is asked back is set aside in the payment first, in the transaction that stores the refund, so that refunds at once
never exceed what came in. The ledger is written when the money has left.
"""

import logging
from datetime import datetime

import msgspec

from backend import errors
from backend.accounts import Principal, Role
from backend.checkout import Orders
from backend.exits import Author, Exits
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.mongo import Client, Session, in_transaction
from backend.kit.outbox import Outbox, Payload
from backend.payments import store
from backend.payments.gateway import Gateway, GatewayEvent
from backend.payments.rules import (
    RefundCause,
    RefundStatus,
    next_look,
    status_of_captured,
)
from backend.payments.schemas import LedgerEntry, Payment, Refund, RefundIn, RefundOut
from backend.payments.service import Payments, refund_out
from backend.rewards import Rewards

log = logging.getLogger(__name__)

SEND_REFUND = "send_refund"
"""Outbox row: ask the gateway. Payload `{refund_id}`."""


class Refunds:
    """The refunds of all payments."""

    def __init__(
        self,
        clock: Clock,
        client: Client,
        payments: Payments,
        orders: Orders,
        exits: Exits,
        rewards: Rewards,
        gateways: dict[str, Gateway],
        outbox: Outbox,
    ) -> None:
        self._clock = clock
        self._client = client
        self._payments = payments
        self._orders = orders
        self._exits = exits
        self._rewards = rewards
        self._gateways = gateways
        self._outbox = outbox
        outbox.on(SEND_REFUND, self.send)

    async def ask(
        self, principal: Principal, payment_id: str, wanted: RefundIn, request_id: str
    ) -> RefundOut:
        """Refund a part of a payment, or what is left of it; for supervisors of its store.

        Args:
            request_id: of the caller's request; the same one again is answered with its refund.

        Raises:
            PaymentNotFound, Forbidden: not a payment of theirs, not work of theirs.
            RefundExceedsPayment: less is left, or nothing.
        """
        payment = await store.find(payment_id)
        if payment is None or not principal.works_at(payment.store_id):
            raise errors.PaymentNotFound
        if not principal.works_at(payment.store_id, Role.SUPERVISOR):
            raise errors.Forbidden
        refund_id = f"rfd_{request_id}"

        async def work(session: Session) -> Refund:
            if known := await store.find_refund(refund_id, session):
                return known
            current = await store.find(payment_id, session) or payment
            amount = wanted.amount_minor or current.left_minor
            if not 0 < amount <= current.left_minor:
                raise errors.RefundExceedsPayment
            refund = self._refund(current, refund_id, amount, RefundCause.ASKED, wanted.reason, principal)
            await self._set_aside(session, current, refund)
            if amount == current.left_minor and current.order_id is not None:
                author = Author(principal.user_id, principal.name)
                await self._exits.revoke(session, current.order_id, wanted.reason, author)
            return refund

        refund = await in_transaction(self._client, work)
        self._outbox.kick()
        told = {"refund_id": refund_id, "payment_id": payment_id, "by": principal.user_id}
        log.info("refund asked", extra=told)
        return refund_out(refund)

    async def give_back(self, session: Session, payment: Payment, event: GatewayEvent) -> None:
        """Return a second capture whole, in the transaction that enters it. The payment goes on as it is."""
        of_another = msgspec.structs.replace(
            payment, gateway_payment_id=event.gateway_payment_id, order_id=None
        )
        cause = RefundCause.SECOND_CAPTURE
        refund = self._refund(of_another, new_id("rfd"), event.amount_minor, cause, str(cause), None)
        await store.insert_refund(session, refund)
        await self._send_later(session, refund)
        await self._look_again(session, payment, refund.created_at)

    async def give_late_back(self, session: Session, payment: Payment) -> None:
        """Return a late success that buys nothing whole, in the transaction that captures it."""
        cause = RefundCause.LATE_SUCCESS
        refund = self._refund(payment, new_id("rfd"), payment.captured_minor, cause, str(cause), None)
        await self._set_aside(session, payment, refund)

    def _refund(
        self,
        payment: Payment,
        refund_id: str,
        amount_minor: int,
        cause: RefundCause,
        reason: str,
        by: Principal | None,
    ) -> Refund:
        return Refund(
            refund_id=refund_id,
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            gateway_payment_id=payment.gateway_payment_id or "",
            amount_minor=amount_minor,
            currency=payment.currency,
            cause=cause,
            reason=reason,
            by=by.user_id if by else None,
            status=RefundStatus.REQUESTED,
            created_at=self._clock.now(),
        )

    async def _set_aside(self, session: Session, payment: Payment, refund: Refund) -> None:
        """Store a refund of the payment's own capture and take its amount out of what is left."""
        await store.insert_refund(session, refund)
        after = msgspec.structs.replace(
            payment, refunding_minor=payment.refunding_minor + refund.amount_minor
        )
        await store.set_money(session, _judged(after), refund.created_at)
        await self._look_again(session, payment, refund.created_at)
        await self._send_later(session, refund)

    async def _look_again(self, session: Session, payment: Payment, now: datetime) -> None:
        await store.look_from(session, payment.payment_id, now, next_look(now, now))

    async def _send_later(self, session: Session, refund: Refund) -> None:
        await self._outbox.add(session, SEND_REFUND, {"refund_id": refund.refund_id})

    async def send(self, payload: Payload) -> None:
        """Outbox: ask the gateway to give the money back; its word says when that is done."""
        refund = await store.find_refund(payload["refund_id"])
        if refund is None or refund.status is not RefundStatus.REQUESTED:
            return
        payment = await store.find(refund.payment_id)
        if payment is None:
            raise errors.PaymentNotFound
        gateway = self._gateways[payment.gateway]
        try:
            await gateway.refund(refund.gateway_payment_id, refund.refund_id, refund.amount_minor)
        except errors.GatewayRefused:
            await in_transaction(
                self._client, lambda session: self.settle(session, refund.refund_id, RefundStatus.FAILED)
            )
            return
        await store.move_refund(refund.refund_id, RefundStatus.PENDING, self._clock.now())
        self._payments.tell(payment, "refund_started", {"amount_minor": refund.amount_minor})

    async def settle(self, session: Session, refund_id: str, to: RefundStatus) -> bool:
        """Carry the end of a refund into payment, order, points and ledger, in the caller's transaction; whether it is news."""
        now = self._clock.now()
        before = await store.move_refund(refund_id, to, now, session)
        if before is None:
            return False
        payment = await store.find(before.payment_id, session)
        if payment is None:
            raise errors.PaymentNotFound
        if to is RefundStatus.FAILED:
            log.critical("refund failed", extra={"refund_id": refund_id, "payment_id": before.payment_id})
        else:
            await self._enter(session, payment, before, now)
        if before.cause is not RefundCause.SECOND_CAPTURE:
            await store.set_money(session, _after(payment, before, to), now)
        return True

    async def _enter(self, session: Session, payment: Payment, refund: Refund, now: datetime) -> None:
        entry = LedgerEntry(
            entry_id=f"refund:{refund.refund_id}",
            payment_id=refund.payment_id,
            order_id=refund.order_id,
            store_id=payment.store_id,
            amount_minor=-refund.amount_minor,
            currency=refund.currency,
            at=now,
        )
        await store.enter(session, entry)
        if refund.order_id is not None and refund.cause is RefundCause.ASKED:
            taken = await self._orders.refund(session, refund.order_id, refund.amount_minor, now)
            await self._rewards.take_back(
                session, payment.user_id, refund.order_id, refund.refund_id, taken, now
            )


def _after(payment: Payment, refund: Refund, to: RefundStatus) -> Payment:
    """The payment once a refund of its own capture ended so. What failed before was set aside no more."""
    set_aside = refund.amount_minor if refund.status is not RefundStatus.FAILED else 0
    gone = refund.amount_minor if to is RefundStatus.PROCESSED else 0
    return _judged(
        msgspec.structs.replace(
            payment,
            refunding_minor=payment.refunding_minor - set_aside,
            refunded_minor=payment.refunded_minor + gone,
        )
    )


def _judged(payment: Payment) -> Payment:
    """With the state that follows from its amounts."""
    status = status_of_captured(
        payment.captured_minor,
        payment.refunding_minor,
        payment.refunded_minor,
        bought=payment.order_id is not None,
    )
    return msgspec.structs.replace(payment, status=status)
