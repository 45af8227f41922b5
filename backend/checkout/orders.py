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
            history=[StatusChange(status="paid", at=now)],
            lines=quote.lines,
            totals=quote.totals,
            payment_id=payment_id,
            points=points,
            paid_at=now,
        )
        await store.insert_order(session, checkout.user_id, quote.quote_id, order)
        return order

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
