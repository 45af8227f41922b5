"""Snapshots and join links in MongoDB. (The log has its own file.)"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from backend.carts.documents import JoinLinkDocument, SessionDocument
from backend.carts.state import CartState, state_from_bytes, state_to_bytes
from backend.kit.mongo import Document

SNAPSHOT_VERSION = 2
"""Grows with every change of `CartState` that old bytes do not fit."""


def encode_snapshot(state: CartState) -> Document:
    """The document of a state: fields to list by, and the whole state to load from."""
    return {
        "store_id": state.store_id,
        "host_user_id": state.host,
        "participants": msgspec.to_builtins(list(state.members.values()), builtin_types=(datetime,)),
        "items": msgspec.to_builtins(list(state.lines.values())),
        "budget_limit": state.limit_minor,
        "status": str(state.status),
        "seq": state.seq,
        "changed_at": state.changed_at,
        "state": state_to_bytes(state),
        "v": SNAPSHOT_VERSION,
    }


async def save_snapshots_forward(states: Sequence[tuple[str, Document]]) -> None:
    """Write snapshots, each only over an older one."""
    if not states:
        return
    writes = [
        UpdateOne({"_id": session_id, "seq": {"$lt": document["seq"]}}, {"$set": document}, upsert=True)
        for session_id, document in states
    ]
    try:
        await SessionDocument.get_pymongo_collection().bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        faults = (error.details or {}).get("writeErrors", [])
        if any(fault["code"] != 11000 for fault in faults):
            raise


async def load_snapshot(session_id: str) -> CartState | None:
    """The latest snapshot, or None; the log's tail past it makes it current."""
    row = await SessionDocument.get_pymongo_collection().find_one(
        {"_id": session_id, "v": SNAPSHOT_VERSION}, {"state": 1}
    )
    return state_from_bytes(row["state"]) if row else None


async def add_join_link(token_digest: str, session_id: str, number: int, expires_at: datetime) -> None:
    """A way in for as long as it is the cart's latest."""
    row = {"_id": token_digest, "session_id": session_id, "number": number, "expires_at": expires_at}
    await JoinLinkDocument.get_pymongo_collection().insert_one(row)


async def find_join_link(token_digest: str, now: datetime) -> tuple[str, int] | None:
    """The session that an unexpired token leads to, and which of its links it is."""
    row = await JoinLinkDocument.get_pymongo_collection().find_one(
        {"_id": token_digest, "expires_at": {"$gt": now}}
    )
    return (row["session_id"], row["number"]) if row else None


async def find_idle(since: datetime, at_most: int) -> list[str]:
    """Active carts whose snapshot says that nothing happened since; it may lag, so the rules decide."""
    rows = SessionDocument.get_pymongo_collection().find(
        {"status": "active", "changed_at": {"$lte": since}}, {"_id": 1}, limit=at_most
    )
    return [row["_id"] async for row in rows.sort("changed_at", 1)]
