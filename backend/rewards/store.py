"""The points ledger in MongoDB."""

from datetime import datetime

from backend.kit.ids import new_id
from backend.kit.mongo import Session
from backend.rewards.documents import PointsEntryDocument
from backend.rewards.schemas import LedgerEntry


async def append(session: Session, user_id: str, order_id: str, kind: str, points: int, at: datetime) -> None:
    """Add an entry in the caller's transaction; the same kind for the same order twice is a `DuplicateKeyError`."""
    entry = PointsEntryDocument(
        id=new_id("pts"), user_id=user_id, order_id=order_id, kind=kind, points=points, at=at
    )
    await entry.insert(session=session)


async def balance(user_id: str) -> int:
    """The sum of all entries."""
    ledger = PointsEntryDocument.get_pymongo_collection()
    cursor = await ledger.aggregate(
        [{"$match": {"user_id": user_id}}, {"$group": {"_id": None, "points": {"$sum": "$points"}}}]
    )
    rows = await cursor.to_list()
    return rows[0]["points"] if rows else 0


async def latest(user_id: str, count: int) -> list[LedgerEntry]:
    """Newest first."""
    rows = PointsEntryDocument.get_pymongo_collection().find({"user_id": user_id}).sort("at", -1).limit(count)
    return [
        LedgerEntry(order_id=row["order_id"], kind=row["kind"], points=row["points"], at=row["at"])
        async for row in rows
    ]
