"""The book of all orders in memory, with the ways to find one."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

from msgspec.structs import asdict

from .errors import ExpiryPassed, OrderNotFound, PaymentNotFound, ReferenceReused, RefundNotFound
from .orders import NewOrder, Order, Refund, new_id

KEPT_FINAL_ORDERS = 10_000
"""How many orders that are final are kept."""


class Book:
    """Every open order of this process, and the final ones that ended last, in memory alone.

    No method awaits, so each happens as a whole between two steps of the event loop. What is forgotten leaves no
    trace: its reference may name a new order.
    """

    def __init__(self, public_url: str, on_forget: Callable[[str], None]) -> None:
        """Opens an empty book whose orders are paid under ``public_url``; ``on_forget`` is told the order's id."""
        self._pay_url = f"{public_url.rstrip('/')}/pay"
        self._on_forget = on_forget
        self._orders: dict[str, Order] = {}
        self._final: deque[str] = deque()
        self._placed: dict[str, tuple[NewOrder, str]] = {}
        self._payments: dict[str, str] = {}
        self._refunds: dict[str, str] = {}
        self._refund_references: dict[str, Refund] = {}

    def place(self, new: NewOrder) -> tuple[Order, bool]:
        """The order under this reference, and whether it was made just now.

        Raises:
            ReferenceReused: the reference stands for another order.
            ExpiryPassed: a new order would be expired from its start.
        """
        if new.reference in self._placed:
            before, order_id = self._placed[new.reference]
            if before != new:
                raise ReferenceReused
            return self.get(order_id), False
        if new.expires_at <= datetime.now(UTC):
            raise ExpiryPassed
        order_id = new_id("order")
        self._placed[new.reference] = (new, order_id)
        return self.keep(Order(**asdict(new), order_id=order_id, pay_url=f"{self._pay_url}/{order_id}")), True

    def get(self, order_id: str) -> Order:
        """The order as it was kept last.

        Raises:
            OrderNotFound: no order has this id.
        """
        if order := self._orders.get(order_id):
            return order
        raise OrderNotFound

    def find(self, reference: str) -> Order:
        """The order of this reference.

        Raises:
            OrderNotFound: no order has this reference.
        """
        if reference not in self._placed:
            raise OrderNotFound
        return self.get(self._placed[reference][1])

    def of_payment(self, payment_id: str) -> Order:
        """The order that this payment was made for.

        Raises:
            PaymentNotFound: no payment has this id.
        """
        if payment_id not in self._payments:
            raise PaymentNotFound
        return self.get(self._payments[payment_id])

    def of_refund(self, refund_id: str) -> Order:
        """The order that this refund was made of.

        Raises:
            RefundNotFound: no refund has this id.
        """
        if refund_id not in self._refunds:
            raise RefundNotFound
        return self.get(self._refunds[refund_id])

    def find_refund(self, reference: str) -> Refund:
        """The refund of this reference, of any order.

        Raises:
            RefundNotFound: no refund has this reference.
        """
        if refund := self._refund_references.get(reference):
            return self.get(refund.order_id).refund(refund.refund_id)
        raise RefundNotFound

    def newest(self, limit: int) -> list[Order]:
        """The orders placed last, the last one first."""
        return list(islice(reversed(self._orders.values()), limit))

    def another(self, order_id: str) -> Order | None:
        """The newest order but this one."""
        return next((order for order in reversed(self._orders.values()) if order.order_id != order_id), None)

    def keep(self, order: Order) -> Order:
        """Writes down what became of the order, and forgets the order that has been final for longest."""
        before = self._orders.get(order.order_id)
        self._orders[order.order_id] = order
        self._payments.update({payment.payment_id: order.order_id for payment in order.payments})
        for refund in order.refunds:
            self._refunds[refund.refund_id] = order.order_id
            self._refund_references[refund.reference] = refund
        if not order.is_open and (before is None or before.is_open):
            self._final.append(order.order_id)
            if len(self._final) > KEPT_FINAL_ORDERS:
                self._forget(self._final.popleft())
        return order

    def _forget(self, order_id: str) -> None:
        order = self._orders.pop(order_id)
        del self._placed[order.reference]
        for payment in order.payments:
            del self._payments[payment.payment_id]
        for refund in order.refunds:
            del self._refunds[refund.refund_id]
            del self._refund_references[refund.reference]
        self._on_forget(order_id)
