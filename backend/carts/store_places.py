"""How many carts one user may host at a time, exactly, however many are started at once by however many processes.

Each host has one document with a place for each open cart. A place is taken before its cart begins, by one conditional
update, so that nothing is begun that would have to be undone. It is given up when all are taken and somebody asks for
one more: then the snapshots tell which carts are over.
"""

from datetime import datetime, timedelta

from backend.carts.documents import HostDocument, SessionDocument
from backend.carts.state import CartStatus
from backend.kit.mongo import Document, DuplicateKeyError

MAX_OPEN = 10
OPEN = {CartStatus.ACTIVE, CartStatus.LOCKED}
BEGINS_WITHIN = timedelta(seconds=60)
"""A cart without a snapshot by then never began: its process died, or its first event was not stored."""


async def take_place(user_id: str, session_id: str, now: datetime) -> bool:
    """Take a place for a cart that is about to begin; False when the user hosts as many open carts as one may."""
    if await _push(user_id, session_id, now):
        return True
    await _give_up(user_id, now)
    return await _push(user_id, session_id, now)


async def _push(user_id: str, session_id: str, now: datetime) -> bool:
    """False when all places are taken, or the user's document was made by somebody else at this very moment."""
    has_room = {"_id": user_id, f"places.{MAX_OPEN - 1}": {"$exists": False}}
    place = {"session_id": session_id, "at": now}
    try:
        await HostDocument.get_pymongo_collection().update_one(
            has_room, {"$push": {"places": place}}, upsert=True
        )
    except DuplicateKeyError:
        return False
    return True


async def _give_up(user_id: str, now: datetime) -> None:
    """Give up the places of carts that are over, that another hosts by now, or that never began."""
    hosts, sessions = HostDocument.get_pymongo_collection(), SessionDocument.get_pymongo_collection()
    host = await hosts.find_one({"_id": user_id})
    places = host["places"] if host else []
    session_ids = [place["session_id"] for place in places]
    rows = sessions.find({"_id": {"$in": session_ids}}, {"status": 1, "host_user_id": 1})
    begun = {row["_id"]: row async for row in rows}
    free = [
        place["session_id"]
        for place in places
        if _is_free(place, begun.get(place["session_id"]), user_id, now)
    ]
    await hosts.update_one({"_id": user_id}, {"$pull": {"places": {"session_id": {"$in": free}}}})


def _is_free(place: Document, snapshot: Document | None, user_id: str, now: datetime) -> bool:
    if snapshot is None:
        return bool(now - place["at"] > BEGINS_WITHIN)
    return snapshot["host_user_id"] != user_id or snapshot["status"] not in OPEN
