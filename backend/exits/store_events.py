"""The gates' audit trail in MongoDB: rows are added, get their answer once, and are forgotten after 180 days."""

from datetime import datetime

import msgspec
from pymongo import ReturnDocument

from backend.exits.documents import GateEventDocument
from backend.exits.rules import EventKind, Reason, Verdict
from backend.exits.schemas import GateOrder
from backend.kit.ids import new_id
from backend.kit.mongo import Document, Session


class GateEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened at a gate, or to what gates go by.

    Attributes:
        event_id: store, gate, kind and nonce of a scan, else an id of its own.
        by, by_name: who did it; no name where nobody was asked.
        verdict, code: what was answered; neither while a scan that may open is on its way.
        order: what the gate was shown of the order, as its answer must be the same if it is asked again.
        digest: of the scan, so that its nonce cannot stand for another; the token itself is not kept.
        note: why a pass or keys were withdrawn.
    """

    event_id: str
    kind: EventKind
    at: datetime
    store_id: str
    by: str
    by_name: str | None = None
    gate_id: str | None = None
    nonce: str | None = None
    order_id: str | None = None
    pass_id: str | None = None
    verdict: Verdict | None = None
    code: Reason | None = None
    order: GateOrder | None = None
    digest: str | None = None
    kid: str | None = None
    note: str | None = None


def new_event_id() -> str:
    return new_id("gev")


def scan_id(store_id: str, gate_id: str, kind: EventKind, nonce: str) -> str:
    """The `_id` of a scan's row. Neither store nor gate can hold a colon; no `gev_…` holds one."""
    return f"{store_id}:{gate_id}:{kind}:{nonce}"


async def add(event: GateEvent, session: Session | None = None) -> None:
    """Write a row; the same scan a second time is a `DuplicateKeyError`."""
    document = msgspec.to_builtins(event, builtin_types=(datetime,))
    document["_id"] = document.pop("event_id")
    await GateEventDocument.get_pymongo_collection().insert_one(document, session=session)


async def settle(told: GateEvent) -> GateEvent | None:
    """Write the answer of a scan that has none yet; answers the row with the answer that it got first."""
    answer = {name: getattr(told, name) for name in ("order_id", "pass_id", "verdict", "code", "order")}
    row = await GateEventDocument.get_pymongo_collection().find_one_and_update(
        {"_id": told.event_id, "verdict": None},
        {"$set": msgspec.to_builtins(answer, builtin_types=(datetime,))},
        return_document=ReturnDocument.AFTER,
    )
    return _event(row) if row else await find(told.event_id)


async def find(event_id: str) -> GateEvent | None:
    row = await GateEventDocument.get_pymongo_collection().find_one({"_id": event_id})
    return _event(row) if row else None


async def was_checked(order_id: str, pass_id: str) -> bool:
    """Whether a gate said `check` to this very pass."""
    checked = {"order_id": order_id, "pass_id": pass_id, "verdict": Verdict.CHECK}
    return await GateEventDocument.get_pymongo_collection().find_one(checked, {"_id": 1}) is not None


async def page(
    store_id: str, order_id: str | None, before: tuple[datetime, str] | None, at_most: int
) -> list[GateEvent]:
    """A store's rows, newest first, those of one order if it is named, those before a place in the trail."""
    wanted: Document = {"store_id": store_id}
    if order_id is not None:
        wanted["order_id"] = order_id
    if before is not None:
        at, event_id = before
        wanted["$or"] = [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": event_id}}]
    rows = GateEventDocument.get_pymongo_collection().find(wanted).sort([("at", -1), ("_id", -1)])
    return [_event(row) async for row in rows.limit(at_most)]


def _event(row: Document) -> GateEvent:
    return msgspec.convert({**row, "event_id": row["_id"]}, GateEvent, builtin_types=(datetime,))
