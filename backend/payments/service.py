"""Starting a payment, looking at it, and ending it when its time is over."""

import asyncio
import logging
from datetime import timedelta

from backend import errors
from backend.accounts import Principal
from backend.carts import Carts, LockCheckout
from backend.checkout import Checkout, Quotes
from backend.errors import AppError
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.mongo import Client, Session, in_transaction
from backend.kit.outbox import Outbox
from backend.kit.qr import qr_svg
from backend.payments import store
from backend.payments.gateway import Gateway
from backend.payments.rules import WAITING, PaymentStatus
from backend.payments.schemas import Payment, PaymentOut
from backend.payments.upi import MODE_DYNAMIC_QR, MODE_INTENT, upi_uri
from backend.settings import Settings

log = logging.getLogger(__name__)

UNLOCK_CART = "unlock_cart"
"""The outbox row that gives a cart back to its shoppers: payload `{payment_id, reason}`."""


class Payments:
    """Payments up to the moment when a webhook settles them."""

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
        self._clock = clock
        self._client = client
        self._carts = carts
        self._quotes = quotes
        self._gateways = gateways
        self._outbox = outbox

    async def initiate(self, principal: Principal, quote_id: str, signature: str) -> PaymentOut:
        """Lock the cart as quoted, then ask the gateway.

        The lock is the event after the quote's `seq`: if another event took that place, the quote is stale. The
        same payer asking again for the same quote gets the same payment.

        Raises:
            QuoteStale, CartLocked, GatewayUnavailable: the payment came to nothing and holds no cart.
        """
        checkout = await self._quotes.open(principal, quote_id, signature)
        gateway = self._gateway()
        payment = await store.insert_or_find(self._new(principal, checkout, gateway.name))
        if payment.status not in WAITING:
            return _payment_out(payment)
        try:
            await self._lock(payment)
            if payment.order_ref is None:
                payment = await self._ask(gateway, payment)
        except AppError:
            await self.end(payment.payment_id, PaymentStatus.FAILED, "not_started")
            raise
        return _payment_out(payment)

    def _gateway(self) -> Gateway:
        gateway = next(iter(self._gateways.values()), None)
        if gateway is None:
            raise errors.GatewayNotFound("No payment gateway is configured.")
        return gateway

    def _new(self, principal: Principal, checkout: Checkout, gateway: str) -> Payment:
        now = self._clock.now()
        quote = checkout.quote
        return Payment(
            payment_id=new_id("pay"),
            checkout_id=quote.quote_id,
            session_id=quote.session_id,
            store_id=quote.store_id,
            user_id=principal.user_id,
            gateway=gateway,
            amount_minor=checkout.due_minor,
            currency=quote.totals.currency,
            status=PaymentStatus.CREATED,
            lock_seq=quote.seq + 1,
            created_at=now,
            expires_at=now + self._ttl,
        )

    async def _lock(self, payment: Payment) -> None:
        command = LockCheckout(payment.checkout_id, payment.payment_id, payment.user_id, payment.lock_seq - 1)
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
        payment = await store.find(payment_id)
        if payment is None or payment.user_id != principal.user_id:
            raise errors.PaymentNotFound
        return _payment_out(payment)

    async def end(self, payment_id: str, status: PaymentStatus, reason: str) -> bool:
        """End a payment that is waiting, and see to it that its cart is unlocked; False if it was not waiting."""

        async def work(session: Session) -> bool:
            ended = await store.move(payment_id, status, self._clock.now(), session)
            if ended is None:
                return False
            await self._outbox.add(session, UNLOCK_CART, {"payment_id": payment_id, "reason": reason})
            return True

        done = await in_transaction(self._client, work)
        self._outbox.kick()
        return done

    async def expire_overdue(self) -> int:
        """End the payments whose time is over; how many."""
        ended = 0
        for payment in await store.overdue(self._clock.now(), at_most=100):
            ended += await self.end(payment.payment_id, PaymentStatus.EXPIRED, "expired")
        return ended


def _payment_out(payment: Payment) -> PaymentOut:
    intent = code = ""
    if payment.payee is not None:
        note = f"Q-Less {payment.store_id}"
        intent = upi_uri(payment.payee, payment.payment_id, payment.amount_minor, note, MODE_INTENT)
        code = qr_svg(upi_uri(payment.payee, payment.payment_id, payment.amount_minor, note, MODE_DYNAMIC_QR))
    return PaymentOut(
        payment_id=payment.payment_id,
        status=payment.status,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        upi_uri=intent,
        qr_svg=code,
        pay_url=payment.pay_url or "",
        expires_at=payment.expires_at,
        order_id=payment.order_id,
    )


async def run_expiry(payments: Payments) -> None:
    """Look every second for payments whose time is over, until cancelled."""
    while True:
        await asyncio.sleep(1)
        await payments.expire_overdue()
