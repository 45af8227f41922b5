"""Starting a payment, looking at it, and ending it unpaid: by its payer, or when its time is over."""

import asyncio
import logging
from datetime import timedelta

from backend import errors
from backend.accounts import Principal, Role
from backend.carts import Carts, LockCheckout, Notice, UnlockCheckout
from backend.checkout import Checkout, Quotes
from backend.errors import AppError
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.mongo import Client, Session, in_transaction
from backend.kit.outbox import Outbox, Payload
from backend.kit.qr import qr_svg
from backend.payments import metrics, store
from backend.payments.gateway import Gateway
from backend.payments.rules import ENDED_UNPAID, WAITING, PaymentStatus, next_look
from backend.payments.schemas import Payment, PaymentOut, Refund, RefundOut
from backend.payments.upi import MODE_DYNAMIC_QR, MODE_INTENT, upi_uri
from backend.settings import Settings

log = logging.getLogger(__name__)

UNLOCK_CART = "unlock_cart"
"""Outbox row: undo one lock, and so give the cart back. Payload `{payment_id, lock_seq, reason}`."""
CLOSE_ORDER = "close_order"
"""Outbox row: have the gateway take no more money for a payment that ended. Payload `{payment_id}`."""
HELD_FOR = timedelta(seconds=60)
"""How long a late success may take from locking the cart again to its order: far longer than it does."""
TRIES = 3


class Payments:
    """Payments up to the moment when the gateway's word settles them."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        client: Client,
        carts: Carts,
        quotes: Quotes,
        gateways: dict[str, Gateway],
        outbox: Outbox,
    ) -> None:
        self._ttl = timedelta(seconds=settings.qless_payment_ttl_s)
        self._pass_ttl = timedelta(seconds=settings.qless_pass_ttl_s)
        self._clock = clock
        self._client = client
        self._carts = carts
        self._quotes = quotes
        self._gateways = gateways
        self._outbox = outbox
        outbox.on(UNLOCK_CART, self.unlock_cart)
        outbox.on(CLOSE_ORDER, self.close_order)

    async def initiate(self, principal: Principal, quote_id: str, signature: str) -> PaymentOut:
        """Lock the cart as quoted, then ask the gateway.

        The lock is the event after the quote's `seq`: if another event took that place, the quote is stale. The same
        payer asking again for the same quote gets the same payment; once that ended unpaid, a new attempt.

        Raises:
            QuoteStale, CartLocked, GatewayUnavailable: the payment came to nothing and holds no cart.
        """
        checkout = await self._quotes.open(principal, quote_id, signature)
        gateway = self._gateway()
        payment = await store.latest_attempt(quote_id, principal.user_id)
        if payment is None or payment.status in ENDED_UNPAID:
            new = await self._new(principal, checkout, gateway.name, payment)
            payment = await store.insert_or_find(new)
        if payment.status not in WAITING:
            return await self._out(payment)
        try:
            await self._lock(payment, payment.lock_seq)
            if payment.order_ref is None:
                payment = await self._ask(gateway, payment)
                log.info("payment started", extra=_ids(payment))
        except AppError:
            await self.end(payment.payment_id, PaymentStatus.FAILED, "not_started")
            raise
        return await self._out(payment)

    def _gateway(self) -> Gateway:
        gateway = next(iter(self._gateways.values()), None)
        if gateway is None:
            raise errors.GatewayNotFound("No payment gateway is configured.")
        return gateway

    async def _new(
        self, principal: Principal, checkout: Checkout, gateway: str, before: Payment | None
    ) -> Payment:
        now = self._clock.now()
        quote = checkout.quote
        return Payment(
            payment_id=new_id("pay"),
            checkout_id=quote.quote_id,
            session_id=quote.session_id,
            store_id=quote.store_id,
            user_id=principal.user_id,
            attempt=before.attempt + 1 if before else 1,
            gateway=gateway,
            amount_minor=checkout.due_minor,
            currency=quote.totals.currency,
            status=PaymentStatus.CREATED,
            lock_seq=await self._seq_after(principal, before) if before else quote.seq + 1,
            created_at=now,
            expires_at=now + self._ttl,
            look_since=now,
            next_look_at=next_look(now, now),
        )

    async def _seq_after(self, principal: Principal, before: Payment) -> int:
        """Where the next attempt locks the cart: after what happened since, as long as no line changed.

        Raises:
            QuoteStale, CartLocked, CartClosed: the cart is no longer what was quoted.
        """
        if before.held_again_at is not None and self._clock.now() - before.held_again_at < HELD_FOR:
            raise errors.CartLocked
        await self._unlock(before, before.lock_seq, "tried_again")
        state = await self._carts.payable(principal, before.session_id)
        if state.items_seq > before.lock_seq:
            raise errors.QuoteStale
        return state.seq + 1

    async def _lock(self, payment: Payment, lock_seq: int) -> None:
        command = LockCheckout(payment.checkout_id, payment.payment_id, payment.user_id, lock_seq - 1)
        await self._carts.till(payment.session_id, command)

    async def _unlock(self, payment: Payment, lock_seq: int, reason: str) -> None:
        command = UnlockCheckout(payment.payment_id, lock_seq - 1, reason)
        await self._carts.till(payment.session_id, command)

    async def _ask(self, gateway: Gateway, payment: Payment) -> Payment:
        order = await gateway.create_order(
            payment.payment_id,
            payment.amount_minor,
            payment.currency,
            f"Q-Less {payment.store_id}",
            payment.expires_at,
        )
        moved = await store.move(
            payment.payment_id,
            PaymentStatus.PENDING,
            self._clock.now(),
            order_ref=order.ref,
            payee={
                "vpa": order.payee.vpa,
                "name": order.payee.name,
                "merchant_code": order.payee.merchant_code,
            },
            pay_url=order.pay_url,
        )
        current = moved or await store.find(payment.payment_id)
        if current is None:
            raise errors.PaymentNotFound
        return current

    async def get(self, principal: Principal, payment_id: str) -> PaymentOut:
        """How far a payment is; for its payer, and for who may refund it."""
        payment = await store.find(payment_id)
        if payment is None or not (
            payment.user_id == principal.user_id or principal.works_at(payment.store_id, Role.SUPERVISOR)
        ):
            raise errors.PaymentNotFound
        return await self._out(payment)

    async def cancel(self, principal: Principal, payment_id: str) -> PaymentOut:
        """Give a payment up that was not made, and the cart back; one that ended unpaid stays as it is.

        Raises:
            PaymentNotCancellable: the money is on its way, or here.
        """
        payment = await store.find(payment_id)
        if payment is None or payment.user_id != principal.user_id:
            raise errors.PaymentNotFound
        if await self.end(payment_id, PaymentStatus.CANCELLED, "cancelled"):
            await self._unlock(payment, payment.lock_seq, "cancelled")
        after = await store.find(payment_id) or payment
        if after.status not in ENDED_UNPAID:
            raise errors.PaymentNotCancellable
        return await self._out(after)

    async def end(self, payment_id: str, status: PaymentStatus, reason: str) -> bool:
        """End a payment that is waiting, and see to it that its cart is unlocked; False if it may not end so."""

        async def work(session: Session) -> bool:
            ended = await store.move(payment_id, status, self._clock.now(), session)
            if ended is None:
                return False
            await self.clear_up(session, ended, reason)
            return True

        done = await in_transaction(self._client, work)
        self._outbox.kick()
        if done:
            metrics.ENDED.labels(status).inc()
            log.info(
                "payment ended", extra={"payment_id": payment_id, "status": str(status), "reason": reason}
            )
        return done

    async def clear_up(self, session: Session, ended: Payment, reason: str) -> None:
        """What follows from the end of a waiting payment, written in the transaction that ends it."""
        await self._add_unlocking(session, ended, ended.lock_seq, reason)
        await self._outbox.add(session, CLOSE_ORDER, {"payment_id": ended.payment_id})

    async def _add_unlocking(
        self, session: Session, payment: Payment, lock_seq: int, reason: str, delay: timedelta = timedelta(0)
    ) -> None:
        payload = {"payment_id": payment.payment_id, "lock_seq": lock_seq, "reason": reason}
        await self._outbox.add(session, UNLOCK_CART, payload, delay)

    async def hold_again(self, payment: Payment) -> bool:
        """Lock the cart for a late success, if no line changed and the pass would still be of use.

        The new lock has a place of its own in the log, written down before it is taken: what was to undo the old
        one does not touch it, and unless an order comes of it, it is undone after `HELD_FOR`.
        """
        if self._clock.now() - payment.created_at > self._pass_ttl:
            return False
        await self._supersede(payment.checkout_id)
        for _ in range(TRIES):
            try:
                state = await self._carts.current(payment.user_id, payment.session_id)
                if state.items_seq > payment.lock_seq:
                    return False
                await self._note_lock(payment, state.seq + 1)
                await self._lock(payment, state.seq + 1)
            except errors.QuoteStale:
                continue
            except (errors.Conflict, errors.Forbidden, errors.NotFound):
                return False
            return True
        return False

    async def _note_lock(self, payment: Payment, lock_seq: int) -> None:
        async def work(session: Session) -> None:
            await store.note_lock(session, payment.payment_id, lock_seq, self._clock.now())
            await self._add_unlocking(session, payment, lock_seq, "late_success_came_to_nothing", HELD_FOR)

        await in_transaction(self._client, work)

    async def _supersede(self, checkout_id: str) -> None:
        """End the attempts that wait, as an earlier one of them succeeded after all."""
        for payment in await store.waiting(checkout_id):
            if await self.end(payment.payment_id, PaymentStatus.CANCELLED, "paid_by_an_earlier_attempt"):
                await self._unlock(payment, payment.lock_seq, "paid_by_an_earlier_attempt")

    async def expire_overdue(self) -> int:
        """End the payments whose time is over; how many."""
        ended = 0
        for payment in await store.overdue(self._clock.now(), at_most=100):
            ended += await self.end(payment.payment_id, PaymentStatus.EXPIRED, "expired")
        return ended

    async def unlock_cart(self, payload: Payload) -> None:
        """Outbox: give the cart back, unless the payment succeeded in the meantime."""
        payment = await store.find(payload["payment_id"])
        if payment is None or payment.status in WAITING or payment.order_id is not None:
            return
        await self._unlock(payment, payload["lock_seq"], payload["reason"])
        self.tell(payment, "payment_ended", {"reason": payload["reason"]})

    async def close_order(self, payload: Payload) -> None:
        """Outbox: no more money for it, please. Where the gateway refuses, its status says why at the next look."""
        payment = await store.find(payload["payment_id"])
        if payment is not None and payment.status in ENDED_UNPAID:
            await self._gateways[payment.gateway].close_order(payment.payment_id)

    def tell(self, payment: Payment, kind: str, more: dict[str, object]) -> None:
        """Tell the payer, and nobody else, what became of the payment."""
        notice = Notice(kind=kind, data={"payment_id": payment.payment_id, **more})
        self._carts.notify(payment.session_id, payment.user_id, notice)

    async def _out(self, payment: Payment) -> PaymentOut:
        refunds = await store.refunds_of(payment.payment_id) if payment.captured_minor else []
        return _payment_out(payment, refunds)


def _ids(payment: Payment) -> dict[str, str]:
    """What names a payment in the log, and its cart and store."""
    return {
        "payment_id": payment.payment_id,
        "session_id": payment.session_id,
        "store_id": payment.store_id,
    }


def _payment_out(payment: Payment, refunds: list[Refund]) -> PaymentOut:
    intent = code = ""
    if payment.payee is not None and payment.status in WAITING:
        note = f"Q-Less {payment.store_id}"
        intent = upi_uri(payment.payee, payment.payment_id, payment.amount_minor, note, MODE_INTENT)
        code = qr_svg(upi_uri(payment.payee, payment.payment_id, payment.amount_minor, note, MODE_DYNAMIC_QR))
    return PaymentOut(
        payment_id=payment.payment_id,
        status=payment.status,
        amount_minor=payment.amount_minor,
        refunded_minor=payment.refunded_minor,
        currency=payment.currency,
        upi_uri=intent,
        qr_svg=code,
        pay_url=payment.pay_url or "",
        expires_at=payment.expires_at,
        order_id=payment.order_id,
        refunds=[refund_out(refund) for refund in refunds],
    )


def refund_out(refund: Refund) -> RefundOut:
    return RefundOut(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        cause=refund.cause,
        reason=refund.reason,
        status=refund.status,
        created_at=refund.created_at,
    )


async def run_expiry(payments: Payments) -> None:
    """Look every second for payments whose time is over, until cancelled."""
    while True:
        await asyncio.sleep(1)
        await payments.expire_overdue()
