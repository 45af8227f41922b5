"""Orders: made once, in the transaction that captures the money; read by who paid."""

from datetime import datetime

from backend import errors
from backend.accounts import Principal
from backend.checkout import store
from backend.checkout.schemas import Checkout, HistoryOut, OrderOut, StatusChange
from backend.kit.ids import new_id
from backend.kit.mongo import Session


class Orders:
    """Places and reads orders."""

    async def place(
        self, session: Session, checkout: Checkout, payment_id: str, points: int, now: datetime
    ) -> OrderOut:
        """Make the order of a checkout that is captured in full, in the caller's transaction.

        Raises:
            pymongo.errors.DuplicateKeyError: the checkout has its order.
        """
        quote = checkout.quote
        order = OrderOut(
            order_id=new_id("ord"),
            session_id=quote.session_id,
            store_id=quote.store_id,
            status="paid",
            refunded_minor=0,
            history=[StatusChange(status="paid", at=now)],
            lines=quote.lines,
            totals=quote.totals,
            payment_id=payment_id,
            points=points,
            paid_at=now,
        )
        await store.insert_order(session, checkout.user_id, quote.quote_id, order)
        return order

    async def refund(self, session: Session, order_id: str, amount_minor: int, now: datetime) -> int:
        """Count a refund that was paid out, in the caller's transaction; answers the points that it costs.

        The order keeps the share of its points that the money left in it has, whatever parts the rest went back in.
        """
        before = await store.add_refund(session, order_id, amount_minor)
        total = before.totals.total_minor
        after = before.refunded_minor + amount_minor
        status = "refunded" if after >= total else "partially_refunded"
        await store.set_order_status(session, order_id, status, now)
        return points_left(before.points, total, before.refunded_minor) - points_left(
            before.points, total, after
        )

    async def get(self, principal: Principal, order_id: str) -> OrderOut:
        order = await store.find_order(order_id, principal.user_id)
        if order is None:
            raise errors.OrderNotFound
        return order

    async def history(self, principal: Principal, page: int, page_size: int) -> HistoryOut:
        items, total = await store.history(principal.user_id, page, page_size)
        return HistoryOut(items=items, page=page, page_size=page_size, total=total)

    async def add_capture(self, session: Session, checkout: Checkout, amount_minor: int) -> int:
        """Count a captured payment in the caller's transaction; answers what is still due."""
        return await store.add_capture(session, checkout.quote.quote_id, amount_minor)


def points_left(points: int, total_minor: int, refunded_minor: int) -> int:
    """What remains of an order's points when this much of its total went back; whole points, rounded down."""
    return points * max(0, total_minor - refunded_minor) // total_minor
