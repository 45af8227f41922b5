"""What an order may become, and the book of all orders in memory."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict, replace

Reference = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{8,64}\Z")]
AmountMinor = Annotated[int, Meta(ge=1, le=100_000_000)]
Vpa = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{2,64}@[A-Za-z]{2,32}\Z")]
Status = Literal["created", "attempted", "paid", "closed", "expired"]


class OrderError(Exception):
    """The order does not allow this; nothing was changed.

    ├── ExpiryPassed
    ├── OrderNotFound
    ├── AlreadyPaid, OrderClosed, OrderExpired
    ├── ReferenceReused
    └── RefundExceedsPayment
    """

    code: str
    detail: str


class ExpiryPassed(OrderError):
    """A new order would be expired from its start."""

    code = "expiry_passed"
    detail = "`expires_at` must lie in the future."


class OrderNotFound(OrderError):
    """No order goes by this id or reference."""

    code = "order_not_found"
    detail = "There is no such order. The sandbox forgets its orders when it restarts."


class AlreadyPaid(OrderError):
    """The order was captured before."""

    code = "already_paid"
    detail = "This order is paid already."


class OrderClosed(OrderError):
    """The merchant stopped taking payments for the order."""

    code = "order_closed"
    detail = "The merchant closed this order."


class OrderExpired(OrderError):
    """The order's time passed before it was paid."""

    code = "order_expired"
    detail = "The time to pay this order is over."


class ReferenceReused(OrderError):
    """The reference names an order or refund with other contents."""

    code = "reference_reused"
    detail = "This reference was used before with another body. Take a new reference."


class RefundExceedsPayment(OrderError):
    """The refund is above what was captured and not yet refunded."""

    code = "refund_exceeds_payment"
    detail = "The refund is above what is left of the captured payment."


class NewOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What the merchant asks to be paid."""

    reference: Reference
    amount_minor: AmountMinor
    currency: Literal["INR"]
    expires_at: Annotated[datetime, Meta(tz=True)]
    note: Annotated[str, Meta(max_length=80)] = ""

    def __post_init__(self) -> None:
        if self.expires_at.utcoffset() != timedelta(0):
            raise ValueError("`expires_at` must be in UTC")


class NewRefund(Struct, frozen=True, forbid_unknown_fields=True):
    """What the merchant gives back."""

    reference: Reference
    amount_minor: AmountMinor


class Payment(Struct, frozen=True):
    """One try of the shopper's UPI app to pay an order."""

    payment_id: str
    status: Literal["captured", "failed"]
    amount_minor: int
    currency: str
    vpa: str
    created_at: datetime


class Refund(Struct, frozen=True):
    """Money given back out of an order's captured payment."""

    refund_id: str
    reference: str
    order_id: str
    payment_id: str
    amount_minor: int
    status: Literal["processed"] = "processed"


class Order(Struct, frozen=True, kw_only=True):
    """An order at one moment; each change makes a new one.

    A captured payment is the last and only captured one of ``payments``; ``refunds`` never sum to more than it.
    """

    order_id: str
    reference: str
    amount_minor: int
    currency: str
    note: str
    status: Status = "created"
    payee_vpa: str = "demo-store@sandbox"
    payee_name: str = "Q-Less Demo Store"
    merchant_code: str = "5411"
    pay_url: str
    expires_at: datetime
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the order still takes payments."""
        return self.status in ("created", "attempted")

    @property
    def refunded_minor(self) -> int:
        """What went back to the shopper so far."""
        return sum(refund.amount_minor for refund in self.refunds)

    def at(self, now: datetime) -> "Order":
        """The order as time leaves it: an open one is expired from ``expires_at`` on."""
        return replace(self, status="expired") if self.is_open and now >= self.expires_at else self

    def with_payment(self, status: Literal["captured", "failed"], vpa: str, now: datetime) -> "Order":
        """The order after one more payment, which is the last of its payments.

        Raises:
            AlreadyPaid, OrderClosed, OrderExpired: the order is final.
        """
        if refusal := _FINAL.get(self.status):
            raise refusal
        payment = Payment(_new_id("pay"), status, self.amount_minor, self.currency, vpa, now)
        after: Status = "paid" if status == "captured" else "attempted"
        return replace(self, status=after, payments=(*self.payments, payment))

    def with_refund(self, new: NewRefund) -> "Order":
        """The order after one more refund, which is the last of its refunds.

        Raises:
            RefundExceedsPayment: also when nothing was captured.
        """
        if self.status != "paid" or self.refunded_minor + new.amount_minor > self.amount_minor:
            raise RefundExceedsPayment
        payment_id = self.payments[-1].payment_id
        refund = Refund(_new_id("rfnd"), new.reference, self.order_id, payment_id, new.amount_minor)
        return replace(self, refunds=(*self.refunds, refund))


_FINAL: Mapping[str, type[OrderError]] = {"paid": AlreadyPaid, "closed": OrderClosed, "expired": OrderExpired}


class Book:
    """Every order of this process, in memory alone.

    No method awaits, so each happens as a whole between two steps of the event loop: of many approvals at once exactly
    one captures. Orders are never dropped: the book grows until the process ends.
    """

    def __init__(self, public_url: str) -> None:
        """Opens an empty book whose orders are paid under ``public_url``."""
        self._pay_url = f"{public_url.rstrip('/')}/pay"
        self._orders: dict[str, Order] = {}
        self._placed: dict[str, tuple[NewOrder, str]] = {}
        self._refunds: dict[str, Refund] = {}

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
        order_id = _new_id("order")
        self._placed[new.reference] = (new, order_id)
        return self._keep(
            Order(**asdict(new), order_id=order_id, pay_url=f"{self._pay_url}/{order_id}")
        ), True

    def get(self, order_id: str) -> Order:
        """The order as it stands now.

        Raises:
            OrderNotFound: no order has this id.
        """
        if order := self._orders.get(order_id):
            return order.at(datetime.now(UTC))
        raise OrderNotFound

    def find(self, reference: str) -> Order:
        """The order of this reference as it stands now.

        Raises:
            OrderNotFound: no order has this reference.
        """
        if reference not in self._placed:
            raise OrderNotFound
        return self.get(self._placed[reference][1])

    def pay(self, order_id: str, status: Literal["captured", "failed"], vpa: str) -> Order:
        """Adds a payment; refuses as ``get`` and ``Order.with_payment`` do."""
        return self._keep(self.get(order_id).with_payment(status, vpa, datetime.now(UTC)))

    def close(self, order_id: str) -> Order:
        """Closes an open order and leaves a final one as it is."""
        order = self.get(order_id)
        return self._keep(replace(order, status="closed")) if order.is_open else order

    def refund(self, order_id: str, new: NewRefund) -> tuple[Order, Refund, bool]:
        """The order, the refund under this reference, and whether it was made just now.

        Raises:
            OrderNotFound, RefundExceedsPayment: see ``get`` and ``Order.with_refund``.
            ReferenceReused: the reference stands for another refund, of any order.
        """
        order = self.get(order_id)
        if refund := self._refunds.get(new.reference):
            if (refund.order_id, refund.amount_minor) != (order_id, new.amount_minor):
                raise ReferenceReused
            return order, refund, False
        order = self._keep(order.with_refund(new))
        refund = self._refunds[new.reference] = order.refunds[-1]
        return order, refund, True

    def _keep(self, order: Order) -> Order:
        self._orders[order.order_id] = order
        return order


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"
