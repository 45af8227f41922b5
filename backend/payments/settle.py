"""What a gateway's event does: one transaction for the inbox, the payment, the order, the pass, the points, the outbox.

A capture is judged before the transaction and the judgement is confirmed inside it by the conditional move of the
payment; if the payment moved in between, all of it is judged again.
"""

import logging
from datetime import datetime, timedelta
from enum import StrEnum

from backend import errors
from backend.carts import Carts, MarkPaid, Notice, RelockCheckout, UnlockCheckout
from backend.checkout import Orders, Quotes
from backend.errors import AppError
from backend.exits import Exits
from backend.kit.clock import Clock
from backend.kit.mongo import Client, DuplicateKeyError, Session, StorageError, in_transaction
from backend.kit.outbox import Outbox, Payload
from backend.payments import store
from backend.payments.gateway import EventKind, Gateway, GatewayEvent
from backend.payments.rules import ENDED_UNPAID, WAITING, PaymentStatus
from backend.payments.schemas import Payment
from backend.payments.service import UNLOCK_CART
from backend.rewards import Rewards, points_for
from backend.settings import Settings
from backend.stores import Stores

log = logging.getLogger(__name__)

CART_PAID = "cart_paid"
"""Outbox row: mark the cart paid and tell the payer. Payload `{payment_id, order_id}`."""
REFUND = "refund"
"""Outbox row: give a capture back. Payload `{payment_id, reference, amount_minor}`."""
TRIES = 3


class Outcome(StrEnum):
    """What became of an event; each is a success for its sender."""

    PAID = "paid"
    LATE_PAID = "late_paid"
    REFUND_STARTED = "refund_started"
    FAILED = "failed"
    REFUNDED = "refunded"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"
    UNKNOWN_PAYMENT = "unknown_payment"
    INTEGRITY_FAILURE = "integrity_failure"


class _Moved(Exception):
    """The payment is no longer in the state it was judged in."""


class Settlement:
    """Carries events of gateways into payments, orders and carts."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        client: Client,
        stores: Stores,
        carts: Carts,
        quotes: Quotes,
        orders: Orders,
        exits: Exits,
        rewards: Rewards,
        gateways: dict[str, Gateway],
        outbox: Outbox,
    ) -> None:
        self._pass_ttl = timedelta(seconds=settings.qless_pass_ttl_s)
        self._clock = clock
        self._client = client
        self._stores = stores
        self._carts = carts
        self._quotes = quotes
        self._orders = orders
        self._exits = exits
        self._rewards = rewards
        self._gateways = gateways
        self._outbox = outbox
        outbox.on(UNLOCK_CART, self.unlock_cart)
        outbox.on(CART_PAID, self.cart_paid)
        outbox.on(REFUND, self.refund)

    async def receive(self, gateway_name: str, headers: dict[str, str], body: bytes) -> Outcome:
        """Verify an event and carry it out, once.

        Raises:
            GatewayNotFound, WebhookUnsigned: not an event of a gateway of ours.
            Unavailable: nothing was committed; the sender tries again.
        """
        gateway = self._gateways.get(gateway_name)
        if gateway is None:
            raise errors.GatewayNotFound
        event = gateway.read_webhook(headers, body, self._clock.now())
        for _ in range(TRIES):
            try:
                outcome = await self._settle(gateway_name, event)
            except DuplicateKeyError:
                outcome = Outcome.DUPLICATE
            except StorageError:
                raise errors.StorageUnavailable from None
            except _Moved:
                continue
            self._outbox.kick()
            log.info("webhook settled", extra={"event_id": event.event_id, "outcome": str(outcome)})
            return outcome
        raise errors.Unavailable("The payment kept changing; send the event again.")

    async def _settle(self, gateway_name: str, event: GatewayEvent) -> Outcome:
        payment = await store.find(event.reference)
        key = f"{gateway_name}:{event.event_id}"
        if payment is None or payment.gateway != gateway_name:
            log.error("webhook for an unknown payment", extra={"event_id": event.event_id})
            return await self._record_only(key, event, Outcome.UNKNOWN_PAYMENT)
        if _contradicts(payment, event):
            return await self._integrity_failure(key, event, payment)
        match event.kind:
            case EventKind.CAPTURED:
                return await self._captured(key, event, payment)
            case EventKind.FAILED:
                return await self._move_only(key, event, payment, PaymentStatus.FAILED, Outcome.FAILED)
            case EventKind.REFUNDED:
                return await self._move_only(key, event, payment, PaymentStatus.REFUNDED, Outcome.REFUNDED)
        return await self._record_only(key, event, Outcome.IGNORED)

    async def _captured(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        if payment.status in WAITING:
            return await self._make_order(key, event, payment, Outcome.PAID)
        if payment.status in ENDED_UNPAID:
            if await self._hold_again(payment):
                return await self._make_order(key, event, payment, Outcome.LATE_PAID)
            return await self._take_and_give_back(key, event, payment)
        if event.gateway_payment_id == payment.gateway_payment_id:
            return await self._record_only(key, event, Outcome.IGNORED)
        return await self._give_capture_back(key, event, payment)

    async def _hold_again(self, payment: Payment) -> bool:
        """Lock the cart for a late success, if it is as it was and the pass would still be of use."""
        if self._clock.now() - payment.created_at > self._pass_ttl:
            return False

        async def give_back_unless_paid(session: Session) -> None:
            payload = {"payment_id": payment.payment_id, "reason": "late_success_came_to_nothing"}
            await self._outbox.add(session, UNLOCK_CART, payload, delay=timedelta(seconds=60))

        await in_transaction(self._client, give_back_unless_paid)
        command = RelockCheckout(payment.checkout_id, payment.payment_id, payment.user_id, payment.lock_seq)
        try:
            await self._carts.till(payment.session_id, command)
        except errors.Conflict:
            return False
        return True

    async def _make_order(self, key: str, event: GatewayEvent, payment: Payment, outcome: Outcome) -> Outcome:
        """The one transaction. The cart is locked by this payment, so that nothing can change what is bought."""
        checkout = await self._quotes.get(payment.checkout_id)
        shop = await self._stores.get(payment.store_id)
        points = points_for(checkout.due_minor, shop.points_rate_bp)
        now = self._clock.now()

        async def work(session: Session) -> None:
            await store.record_event(session, key, event.kind, payment.payment_id, outcome, now)
            await self._capture(session, payment, event, now)
            if await self._orders.add_capture(session, checkout, event.amount_minor) > 0:
                return
            order = await self._orders.place(session, checkout, payment.payment_id, points, now)
            await store.set_order(session, payment.payment_id, order.order_id)
            await self._exits.issue(session, order, payment.user_id, shop, now)
            await self._rewards.earn(session, payment.user_id, order.order_id, points, now)
            payload = {"payment_id": payment.payment_id, "order_id": order.order_id}
            await self._outbox.add(session, CART_PAID, payload)

        await in_transaction(self._client, work)
        return outcome

    async def _capture(self, session: Session, payment: Payment, event: GatewayEvent, now: datetime) -> None:
        moved = await store.move(
            payment.payment_id,
            PaymentStatus.CAPTURED,
            now,
            session,
            only_from=payment.status,
            gateway_payment_id=event.gateway_payment_id,
        )
        if moved is None:
            raise _Moved

    async def _take_and_give_back(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        """A late success whose cart went on: captured, and refunded whole."""
        now = self._clock.now()

        async def work(session: Session) -> None:
            await store.record_event(
                session, key, event.kind, payment.payment_id, Outcome.REFUND_STARTED, now
            )
            await self._capture(session, payment, event, now)
            await store.move(payment.payment_id, PaymentStatus.REFUNDING, now, session)
            await self._add_refund(session, event, f"late-{payment.payment_id}")

        await in_transaction(self._client, work)
        return Outcome.REFUND_STARTED

    async def _give_capture_back(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        """A capture that pays for nothing: a second one, or one of a payment that contradicted itself."""
        log.error("capture not used", extra={"payment_id": payment.payment_id, "event_id": event.event_id})
        now = self._clock.now()

        async def work(session: Session) -> None:
            await store.record_event(
                session, key, event.kind, payment.payment_id, Outcome.REFUND_STARTED, now
            )
            await self._add_refund(session, event, f"back-{event.gateway_payment_id}")

        await in_transaction(self._client, work)
        return Outcome.REFUND_STARTED

    async def _add_refund(self, session: Session, event: GatewayEvent, reference: str) -> None:
        payload = {
            "payment_id": event.reference,
            "reference": reference,
            "amount_minor": event.amount_minor,
        }
        await self._outbox.add(session, REFUND, payload)

    async def _integrity_failure(self, key: str, event: GatewayEvent, payment: Payment) -> Outcome:
        """Validly signed, yet another amount, currency or order: never paid, and somebody must look at it."""
        log.critical(
            "payment does not match", extra={"payment_id": payment.payment_id, "event_id": event.event_id}
        )
        return await self._move_only(
            key, event, payment, PaymentStatus.INTEGRITY_FAILURE, Outcome.INTEGRITY_FAILURE
        )

    async def _move_only(
        self, key: str, event: GatewayEvent, payment: Payment, to: PaymentStatus, outcome: Outcome
    ) -> Outcome:
        """Move the payment if it may; what ended a waiting one gives its cart back."""
        now = self._clock.now()

        async def work(session: Session) -> Outcome:
            moved = await store.move(payment.payment_id, to, now, session)
            result = outcome if moved or to is PaymentStatus.INTEGRITY_FAILURE else Outcome.IGNORED
            await store.record_event(session, key, event.kind, payment.payment_id, result, now)
            if moved and payment.status in WAITING:
                payload = {"payment_id": payment.payment_id, "reason": str(to)}
                await self._outbox.add(session, UNLOCK_CART, payload)
            return result

        return await in_transaction(self._client, work)

    async def _record_only(self, key: str, event: GatewayEvent, outcome: Outcome) -> Outcome:
        async def work(session: Session) -> None:
            await store.record_event(session, key, event.kind, event.reference, outcome, self._clock.now())

        await in_transaction(self._client, work)
        return outcome

    async def unlock_cart(self, payload: Payload) -> None:
        """Outbox: give the cart back, unless the payment succeeded in the meantime."""
        payment = await store.find(payload["payment_id"])
        if payment is None or payment.status in WAITING or payment.order_id is not None:
            return
        command = UnlockCheckout(payment.payment_id, payment.lock_seq - 1, payload["reason"])
        await self._carts.till(payment.session_id, command)
        self._tell(payment, "payment_ended", {"reason": payload["reason"]})

    async def cart_paid(self, payload: Payload) -> None:
        """Outbox: close the cart, tell the payer where the pass is."""
        payment = await store.find(payload["payment_id"])
        if payment is None:
            return
        await self._carts.till(payment.session_id, MarkPaid(payment.payment_id, payload["order_id"]))
        self._tell(payment, "payment_captured", {"order_id": payload["order_id"]})

    async def refund(self, payload: Payload) -> None:
        """Outbox: ask the gateway to give a capture back; its webhook says when it is done."""
        payment = await store.find(payload["payment_id"])
        if payment is None or payment.order_ref is None:
            raise AppError("A refund without its gateway's order.")
        gateway = self._gateways[payment.gateway]
        await gateway.refund(payment.order_ref, payload["reference"], payload["amount_minor"])
        self._tell(payment, "refund_started", {"amount_minor": payload["amount_minor"]})

    def _tell(self, payment: Payment, kind: str, more: dict[str, object]) -> None:
        notice = Notice(kind=kind, data={"payment_id": payment.payment_id, **more})
        self._carts.notify(payment.session_id, payment.user_id, notice)


def _contradicts(payment: Payment, event: GatewayEvent) -> bool:
    """A refund's amount is its own; all else must be the payment's."""
    wrong_money = event.kind is not EventKind.REFUNDED and event.amount_minor != payment.amount_minor
    return (
        wrong_money
        or event.currency != payment.currency
        or event.order_ref != (payment.order_ref or event.order_ref)
    )
