"""Snapshots and join links in MongoDB. (The log has its own file.)"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from backend.carts.documents import JoinLinkDocument, SessionDocument
from backend.carts.state import CartState
from backend.kit.mongo import Document

_encode_state = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(CartState).decode


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
        "state": _encode_state(state),
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
    row = await SessionDocument.get_pymongo_collection().find_one({"_id": session_id}, {"state": 1})
    return _decode_state(row["state"]) if row else None


async def replace_join_link(session_id: str, token_digest: str, expires_at: datetime) -> None:
    """A new way in; the ways before it end."""
    links = JoinLinkDocument.get_pymongo_collection()
    await links.insert_one({"_id": token_digest, "session_id": session_id, "expires_at": expires_at})
    await links.delete_many({"session_id": session_id, "_id": {"$ne": token_digest}})


async def find_joinable(token_digest: str, now: datetime) -> str | None:
    """The session that an unexpired token leads to."""
    row = await JoinLinkDocument.get_pymongo_collection().find_one(
        {"_id": token_digest, "expires_at": {"$gt": now}}
    )
    return row["session_id"] if row else None
