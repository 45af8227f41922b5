"""The log of all carts: one document an event, committed in groups.

`_id = {s: session_id, n: seq}` is the concurrency control: whoever inserts `n` first wins. Three batches may be on
their way, so that MongoDB works on some while this process tells of another; everything decided meanwhile waits for
the next. A cart has at most one entry on its way, so batches may overtake each other. A batch of one goes at once;
there is no timer. A write whose outcome is unknown (a time-out, a lost primary, a failed write concern) is inserted
again, the identical document, until it is in or a duplicate key answers, and then the random `w` of the stored
document says whose it is. An entry is reported `APPENDED` only once a majority has it on disk.

The committers are tasks of their own: whoever asked for an append may be cancelled, the write is not.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

import bson
import msgspec
import pymongo
from bson.raw_bson import RawBSONDocument
from pymongo.errors import PyMongoError

from backend.carts import metrics
from backend.carts.events import Entry, event_id, from_document, to_document
from backend.kit.mongo import Database

log = logging.getLogger(__name__)

COLLECTION = "cart_events"
MAX_SEQ = 2**31 - 1
MAX_BATCH = 1_000
COMMITTERS = 3
TRY_S = 2.0
"""How long one try may take. It is short, as a frozen primary answers nothing and the next try may find another."""
DUPLICATE_KEY = 11000
NEVER_STORABLE = {121, 10334}
"""DocumentValidationFailure and BSONObjectTooLarge: trying again changes nothing."""

VALIDATOR: dict[str, Any] = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": ["_id", "v", "w", "at", "by", "command_id", "digest", "event", "totals", "budget"],
        "properties": {
            "_id": {
                "bsonType": "object",
                "required": ["s", "n"],
                "additionalProperties": False,
                "properties": {"s": {"bsonType": "string"}, "n": {"bsonType": "int", "minimum": 1}},
            },
            "v": {"bsonType": "int", "minimum": 1},
            "w": {"bsonType": "long"},
        },
    }
}
"""Holds the types of `_id`: a seq of another type, or a third field, would be another key."""


class Outcome(Enum):
    """APPENDED: ours, on disk. TAKEN: somebody else's event has this seq. REFUSED: a defect, it can never be stored."""

    APPENDED = "appended"
    TAKEN = "taken"
    REFUSED = "refused"


OnOutcome = Callable[[Outcome], None]


class _Append(msgspec.Struct, frozen=True):
    """An entry on its way; `document` is encoded once, so that every try inserts identical bytes."""

    key: tuple[str, int]
    w: int
    document: RawBSONDocument
    on_outcome: OnOutcome

    def report(self, outcome: Outcome) -> None:
        """Tell the outcome; a defect of one cart's must not stop the others' commits."""
        try:
            self.on_outcome(outcome)
        except Exception:
            log.exception("outcome not taken", extra={"session_id": self.key[0], "seq": self.key[1]})


class CartLog:
    """Appends to and reads from `cart_events`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._events = database[COLLECTION]
        self._write_concern = database.write_concern.document
        self._waiting: list[_Append] = []
        self._waiting_since = 0.0
        self._batches_on_way = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def append(self, entry: Entry, on_outcome: OnOutcome) -> None:
        """Commit the entry with the next batch, then call `on_outcome`.

        A cart has at most one entry on its way: the caller waits for the outcome before it decides the next.
        """
        document = RawBSONDocument(bson.encode(to_document(entry)))
        if not self._waiting:
            self._waiting_since = time.perf_counter()
        self._waiting.append(_Append((entry.session_id, entry.seq), entry.w, document, on_outcome))
        self._idle.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until every appended entry has its outcome."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit batches until cancelled. Cancelling leaves entries waiting; it does not lose their outcome."""
        async with asyncio.TaskGroup() as committers:
            for _ in range(COMMITTERS):
                committers.create_task(self._commit())

    async def _commit(self) -> None:
        """Commit one batch after the other.

        After a batch of which nothing became known it waits, up to 1 s. A few unknown ones hold nobody up.
        """
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                began = time.perf_counter()
                metrics.COMMIT_WAIT_SECONDS.observe(began - self._waiting_since)
                unknown = batch
                self._batches_on_way += 1
                try:
                    unknown = await self._insert(batch)
                finally:
                    self._batches_on_way -= 1
                    self._waiting[:0] = unknown
                metrics.COMMIT_SECONDS.observe(time.perf_counter() - began)
                metrics.COMMIT_EVENTS.observe(len(batch))
                if unknown:
                    metrics.COMMITS_UNKNOWN.inc(len(unknown))
                    log.warning("appends of unknown outcome", extra={"count": len(unknown)})
                failures = failures + 1 if len(unknown) == len(batch) else 0
                if failures:
                    await asyncio.sleep(min(1.0, 0.02 * 2**failures))
            if not self._batches_on_way:
                self._idle.set()

    async def _insert(self, batch: list[_Append]) -> list[_Append]:
        """Insert a batch, report what is known, and return what is not.

        It is the bare command, as trying again is the business of this class, not the driver's; that also takes a
        fifth off what a batch costs.
        """
        command = {
            "insert": COLLECTION,
            "documents": [append.document for append in batch],
            "ordered": False,
            "writeConcern": self._write_concern,
        }
        try:
            with pymongo.timeout(TRY_S):
                reply = await self._database.command(command)
        except PyMongoError:
            return batch
        return await self._sort_out(batch, reply)

    async def _sort_out(self, batch: list[_Append], reply: Mapping[str, Any]) -> list[_Append]:
        """By MongoDB's reply: duplicates are looked up by `w`; the others are in, unless the write concern failed
        too, and then they are unknown."""
        codes = {fault["index"]: fault["code"] for fault in reply.get("writeErrors", [])}
        concern_failed = "writeConcernError" in reply
        duplicates, unknown = [], []
        for index, append in enumerate(batch):
            code = codes.get(index)
            if code == DUPLICATE_KEY:
                duplicates.append(append)
            elif code in NEVER_STORABLE:
                log.error(
                    "append refused", extra={"session_id": append.key[0], "seq": append.key[1], "code": code}
                )
                append.report(Outcome.REFUSED)
            elif code is not None or concern_failed:
                unknown.append(append)
            else:
                append.report(Outcome.APPENDED)
        return unknown + await self._whose(duplicates)

    async def _whose(self, appends: list[_Append]) -> list[_Append]:
        """Ours if the majority's document carries our `w`; unknown while the majority has none."""
        if not appends:
            return []
        try:
            found = await self._events.find(
                {"_id": {"$in": [event_id(*a.key) for a in appends]}}, {"w": 1}
            ).to_list()
        except PyMongoError:
            return appends
        owner = {(doc["_id"]["s"], doc["_id"]["n"]): doc["w"] for doc in found}
        unknown = []
        for append in appends:
            w = owner.get(append.key)
            if w is None:
                unknown.append(append)
            else:
                append.report(Outcome.APPENDED if w == append.w else Outcome.TAKEN)
        return unknown

    async def tail(self, session_id: str, after: int) -> list[Entry]:
        """The cart's entries past `after`, in order, as the majority has them."""
        bounds = {"$gt": event_id(session_id, after), "$lte": event_id(session_id, MAX_SEQ)}
        cursor = self._events.find({"_id": bounds, "_id.s": session_id}).sort("_id", 1)  # one shard: its key
        return [from_document(document) async for document in cursor]

    async def ahead(self, heads: Iterable[tuple[str, int]]) -> list[str]:
        """Which of these carts have an entry past the head named."""
        keys = [event_id(session_id, seq + 1) for session_id, seq in heads]
        if not keys:
            return []
        return [doc["_id"]["s"] async for doc in self._events.find({"_id": {"$in": keys}}, {"_id": 1})]


async def prepare(database: Database) -> None:
    """Create the collection with its validator, or renew the validator."""
    if COLLECTION in await database.list_collection_names():
        await database.command("collMod", COLLECTION, validator=VALIDATOR)
    else:
        await database.create_collection(COLLECTION, validator=VALIDATOR)
