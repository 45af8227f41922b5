"""Earning points and reading the balance."""

from datetime import datetime

from backend.accounts import Principal
from backend.kit.mongo import Session
from backend.rewards import store
from backend.rewards.schemas import BalanceOut

SHOWN = 20


class Rewards:
    """The points of all users."""

    async def earn(self, session: Session, user_id: str, order_id: str, points: int, now: datetime) -> None:
        """Give an order's points, in the transaction that makes the order."""
        if points:
            await store.append(session, user_id, order_id, "earned", points, now)

    async def take_back(
        self, session: Session, user_id: str, order_id: str, refund_id: str, points: int, now: datetime
    ) -> None:
        """Take an order's points back, once a refund, in the transaction that counts it. The balance may fall below 0."""
        if points:
            await store.append(session, user_id, order_id, f"refunded:{refund_id}", -points, now)

    async def balance(self, principal: Principal) -> BalanceOut:
        return BalanceOut(
            points=await store.balance(principal.user_id),
            entries=await store.latest(principal.user_id, SHOWN),
        )
