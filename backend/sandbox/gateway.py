"""What happens to orders: kept in the book, told by webhooks, bent by the faults in force."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any, Literal, Self

from msgspec.structs import replace

from .book import Book
from .errors import GatewayError, OldSecretMissing, ReferenceReused, RefundNotFound
from .faults import FaultPlan, Faults
from .orders import NewOrder, NewRefund, Order, Payment, Refund
from .webhooks import Sent, Target, Webhooks


class Gateway:
    """The acts of merchant, shopper and time on orders.

    No act awaits, so each happens as a whole between two steps of the event loop: of many approvals at once exactly
    one captures, unless a fault says otherwise. What is due later happens while the context is open.
    """

    def __init__(self, public_url: str, target: Target) -> None:
        self.faults = FaultPlan()
        self.webhooks = Webhooks(target)
        self._book = Book(public_url, self._forget)
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.webhooks)
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in [*self._expiries.values(), *self._timers]:
            timer.cancel()
        await self._stack.aclose()

    def place(self, new: NewOrder) -> tuple[Order, bool]:
        """The order under this reference, and whether it was made just now; refuses as ``Book.place`` does."""
        order, is_new = self._book.place(new)
        if is_new:
            self._await_expiry(order)
        return self._timely(order), is_new

    def order(self, order_id: str) -> Order:
        """The order as it stands now; refuses as ``Book.get`` does."""
        return self._timely(self._book.get(order_id))

    def find(self, reference: str) -> Order:
        """The order of this reference as it stands now; refuses as ``Book.find`` does."""
        return self._timely(self._book.find(reference))

    def find_refund(self, reference: str) -> Refund:
        """The refund of this reference; refuses as ``Book.find_refund`` does."""
        return self._book.find_refund(reference)

    def newest(self, limit: int) -> list[Order]:
        """The orders placed last, the last one first."""
        return [self._timely(order) for order in self._book.newest(limit)]

    def order_of_payment(self, payment_id: str) -> Order:
        """The order that this payment was made for; refuses as ``Book.of_payment`` does."""
        return self._book.of_payment(payment_id)

    def approve(self, order_id: str, vpa: str) -> Payment:
        """The payment, captured unless a fault is in force; refuses as ``Order.require_payable`` does."""
        order, faults = self.order(order_id), self.faults.of(order_id)
        order.require_payable(faults.accept_late)
        outcome: Literal["captured", "failed"] = "failed" if faults.approval == "fails" else "captured"
        for _ in range(2 if faults.approval == "captures_twice" else 1):
            order = self._pay(order, "authorized" if faults.authorize_first else outcome, vpa)
            if faults.authorize_first:
                payment_id = order.payments[-1].payment_id
                self._later(faults.capture_delay_s, self.settle_payment, payment_id, outcome)
        return order.payments[-1]

    def decline(self, order_id: str, vpa: str) -> Payment:
        """The failed payment; the order stays open. Refuses as ``Order.require_payable`` does."""
        order = self.order(order_id)
        order.require_payable(self.faults.of(order_id).accept_late)
        return self._pay(order, "failed", vpa).payments[-1]

    def close(self, order_id: str) -> Order:
        """Closes an open order and leaves a final one as it is."""
        return self._end(self.order(order_id), "closed")

    def expire(self, order_id: str) -> Order:
        """Expires an open order before its time and leaves a final one as it is."""
        return self._end(self.order(order_id), "expired")

    def refund(self, payment_id: str, new: NewRefund) -> tuple[Refund, bool]:
        """The refund under this reference, and whether it was made just now.

        Raises:
            PaymentNotFound, RefundExceedsPayment: see ``Book.of_payment`` and ``Order.with_refund``.
            ReferenceReused: the reference stands for another refund, of any payment.
        """
        order = self._book.of_payment(payment_id)
        try:
            before = self._book.find_refund(new.reference)
        except RefundNotFound:
            pass
        else:
            if (before.payment_id, before.amount_minor) != (payment_id, new.amount_minor):
                raise ReferenceReused
            return before, False
        refund = self._keep(order.with_refund(payment_id, new)).refunds[-1]
        faults = self.faults.of(order.order_id)
        if faults.refund != "by_hand":
            if faults.refund_delay_s:
                self._later(faults.refund_delay_s, self.settle_refund, refund.refund_id, faults.refund)
            else:
                refund = self.settle_refund(refund.refund_id, faults.refund)
        return refund, True

    def settle_refund(self, refund_id: str, status: Literal["processed", "failed"]) -> Refund:
        """The refund after it was processed or failed.

        Raises:
            RefundNotFound, RefundSettled: see ``Book.of_refund`` and ``Order.with_refund_settled``.
        """
        order = self._keep(self._book.of_refund(refund_id).with_refund_settled(refund_id, status))
        refund = order.refund(refund_id)
        self._tell(f"refund.{status}", order, order.payment(refund.payment_id), refund)
        return refund

    def settle_payment(self, payment_id: str, status: Literal["captured", "failed"]) -> Payment:
        """The payment after it was captured or failed.

        Raises:
            PaymentNotFound, PaymentSettled: see ``Book.of_payment`` and ``Order.with_payment_settled``.
        """
        order = self._timely(self._book.of_payment(payment_id))
        order = self._keep(order.with_payment_settled(payment_id, status))
        payment = order.payment(payment_id)
        self._tell(f"payment.{status}", order, payment)
        return payment

    def set_faults(self, order_id: str | None, faults: Faults) -> Faults:
        """Puts the faults in force for one order, or without one for all that have none of their own.

        Raises:
            OrderNotFound: no order has this id.
            OldSecretMissing: there is no older secret to sign with.
        """
        if not self.webhooks.can_sign(faults.webhook_signature):
            raise OldSecretMissing
        if order_id is None:
            self.faults.everywhere = faults
        else:
            self.faults.set_for(self.order(order_id).order_id, faults)
        return faults

    def resend(self, event_id: str) -> Sent:
        """The event, which is under way once more; refuses as ``Webhooks.find`` does."""
        order_id = self.webhooks.find(event_id).event.order.order_id
        return self.webhooks.resend(event_id, self.faults.of(order_id), self._book.another(order_id))

    def _pay(self, order: Order, status: Literal["authorized", "captured", "failed"], vpa: str) -> Order:
        order = self._keep(order.with_payment(status, vpa, datetime.now(UTC)))
        self._tell(f"payment.{status}", order, order.payments[-1])
        return order

    def _end(self, order: Order, status: Literal["closed", "expired"]) -> Order:
        if order.is_open:
            order = self._keep(replace(order, status=status))
            self._tell(f"order.{status}", order)
        return order

    def _timely(self, order: Order) -> Order:
        """The order as time leaves it: an open one is expired from ``expires_at`` on."""
        return self._end(order, "expired") if datetime.now(UTC) >= order.expires_at else order

    def _await_expiry(self, order: Order) -> None:
        """Expires the order in time, even when nobody looks; the two clocks may differ, so it looks again."""

        def look() -> None:
            if self.order(order.order_id).is_open:
                self._await_expiry(order)

        left_s = (order.expires_at - datetime.now(UTC)).total_seconds()
        self._expiries[order.order_id] = asyncio.get_running_loop().call_later(max(left_s, 0.001), look)

    def _later(self, delay_s: float, act: Callable[..., object], *given: Any) -> None:
        def run() -> None:
            self._timers.discard(timer)
            with suppress(GatewayError):  # settled by hand meanwhile, or forgotten
                act(*given)

        timer = asyncio.get_running_loop().call_later(delay_s, run)
        self._timers.add(timer)

    def _keep(self, order: Order) -> Order:
        if not order.is_open and (timer := self._expiries.pop(order.order_id, None)):
            timer.cancel()
        return self._book.keep(order)

    def _tell(
        self, name: str, order: Order, payment: Payment | None = None, refund: Refund | None = None
    ) -> None:
        faults, another = self.faults.of(order.order_id), self._book.another(order.order_id)
        self.webhooks.tell(name, order, payment, refund, faults, another)

    def _forget(self, order_id: str) -> None:
        self.faults.forget(order_id)
        self.webhooks.forget(order_id)
