"""What a gateway's word does: one transaction for the inbox, the payment, the ledger, the order, the pass, the points, the outbox.

An event is judged before the transaction and the judgement is confirmed inside it by the conditional move of the
payment; if the payment moved in between, all of it is judged again.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum

from backend import errors
from backend.carts import Carts, MarkPaid
from backend.checkout import Orders, Quotes
from backend.errors import AppError
from backend.exits import Exits
from backend.kit.clock import Clock
from backend.kit.mongo import Client, Session, StorageError, in_transaction
from backend.kit.outbox import Outbox, Payload
from backend.payments import metrics, store
from backend.payments.gateway import EventKind, Gateway, GatewayEvent
from backend.payments.refunds import Refunds
from backend.payments.rules import (
    ENDED_UNPAID,
    LAST_LOOK_AFTER,
    MOVES,
    REFUND_MOVES,
    WAITING,
    PaymentStatus,
    RefundStatus,
)
from backend.payments.schemas import LedgerEntry, Payment
from backend.payments.service import Payments
from backend.payments.store import EntryKnown, EventKnown
from backend.rewards import Rewards, points_for
from backend.stores import Stores

log = logging.getLogger(__name__)

CART_PAID = "cart_paid"
"""Outbox row: mark the cart paid and tell the payer. Payload `{payment_id, order_id}`."""
TRIES = 6
FIRST_PAUSE_S = 0.02
"""Before an event is judged again; doubled each time. What others committed is read once a majority has it."""


class Outcome(StrEnum):
    """What became of an event; each is a success for its sender."""

    PAID = "paid"
    LATE_PAID = "late_paid"
    AUTHORIZED = "authorized"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUND_STARTED = "refund_started"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"
    UNKNOWN_PAYMENT = "unknown_payment"
    INTEGRITY_FAILURE = "integrity_failure"


_MOVED_BY = {
    EventKind.AUTHORIZED: (PaymentStatus.AUTHORIZED, Outcome.AUTHORIZED),
    EventKind.FAILED: (PaymentStatus.FAILED, Outcome.FAILED),
    EventKind.EXPIRED: (PaymentStatus.EXPIRED, Outcome.EXPIRED),
}
_REFUND_MOVED_BY = {
    EventKind.REFUNDED: (RefundStatus.PROCESSED, Outcome.REFUNDED),
    EventKind.REFUND_FAILED: (RefundStatus.FAILED, Outcome.REFUND_FAILED),
}

_ENDED_AS = {
    Outcome.PAID: PaymentStatus.CAPTURED,
    Outcome.LATE_PAID: PaymentStatus.CAPTURED,
    Outcome.FAILED: PaymentStatus.FAILED,
    Outcome.EXPIRED: PaymentStatus.EXPIRED,
    Outcome.INTEGRITY_FAILURE: PaymentStatus.INTEGRITY_FAILURE,
}

Work = Callable[[Session], Awaitable[None]]


class _Moved(Exception):
    """The payment is no longer in the state it was judged in."""


class Settlement:
    """Carries events of gateways into payments, orders and carts."""

    def __init__(
        self,
        clock: Clock,
        client: Client,
        stores: Stores,
        carts: Carts,
        quotes: Quotes,
        orders: Orders,
        exits: Exits,
        rewards: Rewards,
        payments: Payments,
        refunds: Refunds,
        gateways: dict[str, Gateway],
        outbox: Outbox,
    ) -> None:
        self._clock = clock
        self._client = client
        self._stores = stores
        self._carts = carts
        self._quotes = quotes
        self._orders = orders
        self._exits = exits
        self._rewards = rewards
        self._payments = payments
        self._refunds = refunds
        self._gateways = gateways
        self._outbox = outbox
        outbox.on(CART_PAID, self.cart_paid)
        for gateway in gateways:
            metrics.begin(gateway, list(Outcome))

    async def receive(self, gateway_name: str, headers: dict[str, str], body: bytes) -> Outcome:
        """Verify a webhook and carry it out, once.

        Raises:
            GatewayNotFound, WebhookUnsigned: not an event of a gateway of ours.
            Unavailable: nothing was committed; the sender tries again.
        """
        gateway = self._gateways.get(gateway_name)
        if gateway is None:
            raise errors.GatewayNotFound
        began = time.perf_counter()
        try:
            event = gateway.read_webhook(headers, body, self._clock.now())
            outcome = await self.carry_out(gateway_name, event)
        except AppError as error:
            metrics.EVENTS.labels(gateway_name, "webhook", error.code).inc()
            raise
        metrics.EVENTS.labels(gateway_name, "webhook", outcome).inc()
        metrics.WEBHOOK_SECONDS.observe(time.perf_counter() - began)
        if event.happened_at is not None and outcome is not Outcome.DUPLICATE:
            lag = self._clock.now() - event.happened_at
            metrics.WEBHOOK_LAG_SECONDS.observe(max(0.0, lag.total_seconds()))
        return outcome

    async def carry_out(self, gateway_name: str, event: GatewayEvent) -> Outcome:
        """Carry an event out, once, however it came to be known.

        Raises:
            Unavailable: nothing was committed.
        """
        key = f"{gateway_name}:{event.event_id}"
        for tried in range(TRIES):
            try:
                outcome = await self._settle(gateway_name, key, event)
            except EventKnown:
                return Outcome.DUPLICATE
            except (EntryKnown, _Moved):
                await asyncio.sleep(FIRST_PAUSE_S * 2**tried)
                continue
            except StorageError as error:
                log.warning("event not committed", extra={"event_id": event.event_id}, exc_info=error)
                raise errors.StorageUnavailable from None
            self._outbox.kick()
            if outcome in _ENDED_AS:
                metrics.ENDED.labels(_ENDED_AS[outcome]).inc()
            told = {"event_id": event.event_id, "payment_id": event.reference, "outcome": str(outcome)}
            log.info("gateway event settled", extra=told)
            return outcome
        raise errors.Unavailable("The payment kept changing; send the event again.")

    async def _settle(self, gateway_name: str, key: str, event: GatewayEvent) -> Outcome:
        if await store.is_received(key):
            raise EventKnown
        payment = await store.find(event.reference)
        if payment is None or payment.gateway != gateway_name:
            log.critical(
                "event of an unknown payment",
                extra={"event_id": event.event_id, "payment_id": event.reference},
            )
            return await self._commit(key, event, Outcome.UNKNOWN_PAYMENT)
        if event.kind in _REFUND_MOVED_BY:
            return await self._refund_ended(key, event, payment)
        if _contradicts(payment, event):
            return await self._integrity_failure(key, event, payment)
        if event.kind is EventKind.CAPTURED:
            return await self._captured(key, event, payment)
        if event.kind in _MOVED_BY:
            return await self._moved(key, event, payment)
        return await self._commit(key, event, Outcome.IGNORED)

    async def _commit(
        self, key: str, event: GatewayEvent, outcome: Outcome, work: Work | None = None
    ) -> Outcome:
        """The one transaction of an event: its place in the inbox, and what it changes."""

        async def everything(session: Session) -> None:
            await store.record_event(session, key, event.kind, event.reference, outcome, self._clock.now())
            if work is not None:
                await work(session)

        await in_transaction(self._client, everything)
        return outcome

    async def _captured(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        if await store.is_entered(_entry_id(payment, event)):
            return await self._commit(key, event, Outcome.IGNORED)
        if payment.status in WAITING:
            return await self._make_order(key, event, payment, Outcome.PAID)
        if payment.status not in ENDED_UNPAID:
            return await self._give_second_back(key, event, payment)
        if await self._payments.hold_again(payment):
            return await self._make_order(key, event, payment, Outcome.LATE_PAID)
        return await self._take_and_give_back(key, event, payment)

    async def _make_order(self, key: str, event: GatewayEvent, payment: Payment, outcome: Outcome) -> Outcome:
        """The cart is locked by this payment, so that nothing can change what is bought."""
        checkout = await self._quotes.get(payment.checkout_id)
        shop = await self._stores.get(payment.store_id)
        points = points_for(checkout.due_minor, shop.points_rate_bp)
        now = self._clock.now()

        async def work(session: Session) -> None:
            await self._capture(session, payment, event)
            if await self._orders.add_capture(session, checkout, event.amount_minor) > 0:
                await self._enter(session, payment, event, None)
                return
            order = await self._orders.place(session, checkout, payment.payment_id, points, now)
            await self._enter(session, payment, event, order.order_id)
            await store.set_order(session, payment.payment_id, order.order_id)
            await self._exits.issue(session, order, payment.user_id, shop, now)
            await self._rewards.earn(session, payment.user_id, order.order_id, points, now)
            payload = {"payment_id": payment.payment_id, "order_id": order.order_id}
            await self._outbox.add(session, CART_PAID, payload)

        return await self._commit(key, event, outcome, work)

    async def _capture(self, session: Session, payment: Payment, event: GatewayEvent) -> Payment:
        now = self._clock.now()
        captured = await store.move(
            payment.payment_id,
            PaymentStatus.CAPTURED,
            now,
            session,
            only_from=payment.status,
            gateway_payment_id=event.gateway_payment_id,
            captured_minor=event.amount_minor,
            next_look_at=now + LAST_LOOK_AFTER,
        )
        if captured is None:
            raise _Moved
        return captured

    async def _enter(
        self, session: Session, payment: Payment, event: GatewayEvent, order_id: str | None
    ) -> None:
        """Money came in, whatever for."""
        entry = LedgerEntry(
            entry_id=_entry_id(payment, event),
            payment_id=payment.payment_id,
            order_id=order_id,
            store_id=payment.store_id,
            amount_minor=event.amount_minor,
            currency=event.currency,
            at=self._clock.now(),
        )
        await store.enter(session, entry)

    async def _take_and_give_back(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        """A late success whose cart went on."""

        async def work(session: Session) -> None:
            captured = await self._capture(session, payment, event)
            await self._enter(session, payment, event, None)
            await self._refunds.give_late_back(session, captured)

        return await self._commit(key, event, Outcome.REFUND_STARTED, work)

    async def _give_second_back(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        """A capture that pays for nothing: of a payment that was captured before, or contradicted itself."""
        log.error("capture not used", extra={"payment_id": payment.payment_id, "event_id": event.event_id})

        async def work(session: Session) -> None:
            await self._enter(session, payment, event, None)
            await self._refunds.give_back(session, payment, event)

        return await self._commit(key, event, Outcome.REFUND_STARTED, work)

    async def _integrity_failure(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        """Validly signed, yet another amount, currency or order: never paid, and somebody must look at it.

        What came in is in the ledger and can be refunded by the shop; nothing is given back by itself, as nobody
        knows yet which of the two is wrong.
        """
        told = {"payment_id": payment.payment_id, "event_id": event.event_id}
        log.critical("payment does not match", extra=told)
        money_came = event.kind is EventKind.CAPTURED and event.currency == payment.currency
        is_known = await store.is_entered(_entry_id(payment, event))
        fields = {"gateway_payment_id": event.gateway_payment_id, "captured_minor": event.amount_minor}

        async def work(session: Session) -> None:
            await self._move(
                session, payment, PaymentStatus.INTEGRITY_FAILURE, **fields if money_came else {}
            )
            if event.kind is EventKind.CAPTURED and not is_known:
                await self._enter(session, payment, event, None)

        return await self._commit(key, event, Outcome.INTEGRITY_FAILURE, work)

    async def _moved(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        to, outcome = _MOVED_BY[event.kind]
        if payment.status not in MOVES[to]:
            return await self._commit(key, event, Outcome.IGNORED)

        async def work(session: Session) -> None:
            await self._move(session, payment, to)

        return await self._commit(key, event, outcome, work)

    async def _move(self, session: Session, payment: Payment, to: PaymentStatus, **fields: object) -> None:
        """Move the payment if it may; what ended a waiting one gives its cart back."""
        now = self._clock.now()
        moved = await store.move(payment.payment_id, to, now, session, only_from=payment.status, **fields)
        if moved and payment.status in WAITING and to not in WAITING:
            await self._payments.clear_up(session, moved, str(to))
        elif moved is None and payment.status in MOVES[to]:
            raise _Moved

    async def _refund_ended(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        refund = await store.find_refund(event.refund_id)
        told = (payment.payment_id, event.gateway_payment_id, event.amount_minor, event.currency)
        if refund is None or told != (
            refund.payment_id,
            refund.gateway_payment_id,
            refund.amount_minor,
            refund.currency,
        ):
            told_of = {"event_id": event.event_id, "payment_id": payment.payment_id}
            log.critical("refund does not match", extra=told_of)
            return await self._commit(key, event, Outcome.INTEGRITY_FAILURE)
        to, outcome = _REFUND_MOVED_BY[event.kind]
        if refund.status not in REFUND_MOVES[to]:
            return await self._commit(key, event, Outcome.IGNORED)

        async def work(session: Session) -> None:
            if not await self._refunds.settle(session, refund.refund_id, to):
                raise _Moved

        await self._commit(key, event, outcome, work)
        if to is RefundStatus.PROCESSED:
            self._payments.tell(payment, "refund_processed", {"amount_minor": refund.amount_minor})
        return outcome

    async def cart_paid(self, payload: Payload) -> None:
        """Outbox: close the cart, tell the payer where the pass is."""
        payment = await store.find(payload["payment_id"])
        if payment is None:
            return
        await self._carts.till(payment.session_id, MarkPaid(payment.payment_id, payload["order_id"]))
        self._payments.tell(payment, "payment_captured", {"order_id": payload["order_id"]})
        log.info(
            "cart paid", extra={**payload, "session_id": payment.session_id, "store_id": payment.store_id}
        )


def _entry_id(payment: Payment, event: GatewayEvent) -> str:
    return f"capture:{payment.gateway}:{event.gateway_payment_id}"


def _contradicts(payment: Payment, event: GatewayEvent) -> bool:
    return (
        event.amount_minor != payment.amount_minor
        or event.currency != payment.currency
        or event.order_ref != (payment.order_ref or event.order_ref)
    )
