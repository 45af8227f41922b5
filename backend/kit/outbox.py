"""Side effects that must happen after a transaction: rows written in it, carried out by whichever process is alive.

A row is `pending` until its handler returns. Claiming it moves `due_at` past the lease, so that a row whose
process died is simply due again; a failed one is due after a back-off, one whose process was stopped at once. A handler
may run more than once, also at the same time in two processes: every handler is idempotent.

    pending ── claim ──> pending, due after the lease ── handled ──> done (kept 7 days)
       ^                        │
       └─ failed or stopped ────┘
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pymongo
from beanie import Document
from prometheus_client import Counter
from pymongo import IndexModel, ReturnDocument

from backend.kit import tracing
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.mongo import Session, StorageError

log = logging.getLogger(__name__)

LEASE_S = 30
IDLE_S = 1.0
MAX_BACKOFF_S = 300
KEPT_S = 7 * 24 * 3600

LOOKED_AT = 1_000
"""Rows that `backlog` looks at."""
LOOK_WITHIN_S = 2.0

HANDLED = Counter("qless_outbox_handled", "Outbox rows carried out, by kind and result", ["kind", "result"])

Payload = dict[str, Any]
Handler = Callable[[Payload], Awaitable[None]]


class OutboxDocument(Document):
    id: str  # type: ignore[assignment]
    kind: str
    payload: Payload
    pending: bool | None = True
    due_at: datetime
    wanted_at: datetime | None = None
    attempts: int = 0
    done_at: datetime | None = None
    trace: str = ""

    class Settings:
        name = "outbox"
        indexes = [
            IndexModel(
                [("kind", pymongo.ASCENDING), ("due_at", pymongo.ASCENDING)],
                partialFilterExpression={"pending": True},
                name="due_of_kind",
            ),
            IndexModel([("done_at", pymongo.ASCENDING)], expireAfterSeconds=KEPT_S, name="forget_done"),
        ]


class _Lane:
    """One kind of row in this process: who carries it out, one at a time, and what says that there may be work."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.turn = asyncio.Lock()
        self.kick = asyncio.Event()


class Outbox:
    """Adds rows and works them off."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}

    def on(self, kind: str, handler: Handler) -> None:
        """Name who carries out a kind of row. Every kind has exactly one handler."""
        if kind in self._lanes:
            raise ValueError(f"two handlers for {kind}")
        self._lanes[kind] = _Lane(handler)

    async def add(
        self, session: Session, kind: str, payload: Payload, delay: timedelta = timedelta(0)
    ) -> None:
        """Write a row inside the caller's transaction, due after `delay`. Call `kick` after the commit."""
        due_at = self._clock.now() + delay
        row = OutboxDocument(
            id=new_id("out"),
            kind=kind,
            payload=payload,
            due_at=due_at,
            wanted_at=due_at,
            trace=tracing.traceparent(),
        )
        await row.insert(session=session)

    def kick(self) -> None:
        """Look for work now instead of within a second."""
        for lane in self._lanes.values():
            lane.kick.set()

    @property
    def kinds(self) -> list[str]:
        """What this process carries out."""
        return list(self._lanes)

    async def run(self, kind: str) -> None:
        """Work rows of one kind off until cancelled. One that waits for a gateway holds up no other kind."""
        kick = self._lanes[kind].kick
        while True:
            kick.clear()
            while await self.work_one(kind):
                pass
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await kick.wait()

    async def work_one(self, kind: str) -> bool:
        """Claim and carry out one due row, after the one that this process has in hand; False when none is due."""
        async with self._lanes[kind].turn:
            row = await self._claim(kind)
            if row is not None:
                await self._carry_out(row)
            return row is not None

    async def _claim(self, kind: str) -> Payload | None:
        now = self._clock.now()
        row: Payload | None = await OutboxDocument.get_pymongo_collection().find_one_and_update(
            {"pending": True, "kind": kind, "due_at": {"$lte": now}},
            {"$set": {"due_at": now + timedelta(seconds=LEASE_S)}, "$inc": {"attempts": 1}},
            sort=[("due_at", pymongo.ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return row

    async def _carry_out(self, row: Payload) -> None:
        try:
            with tracing.span(f"outbox {row['kind']}", row.get("trace", "")):
                async with asyncio.timeout(LEASE_S - 5):
                    await self._lanes[row["kind"]].handler(row["payload"])
        except asyncio.CancelledError:
            with suppress(StorageError):
                await self._due_in(row, 0)
            raise
        except Exception as error:
            log.warning(
                "outbox row failed",
                extra={"kind": row["kind"], "row": row["_id"], "attempts": row["attempts"]},
                exc_info=error,
            )
            HANDLED.labels(row["kind"], "failed").inc()
            await self._due_in(row, min(MAX_BACKOFF_S, 0.5 * 2 ** min(row["attempts"], 10)))
        else:
            await OutboxDocument.get_pymongo_collection().update_one(
                {"_id": row["_id"]}, {"$set": {"done_at": self._clock.now()}, "$unset": {"pending": ""}}
            )
            HANDLED.labels(row["kind"], "done").inc()

    async def backlog(self) -> tuple[int, float]:
        """How many rows are pending, and how long ago the oldest was due for the first time, in seconds.

        Of all processes together. Only the first 1,000 are looked at: there are so many at least.
        """
        pending = OutboxDocument.get_pymongo_collection().find(
            {"pending": True, "kind": {"$in": self.kinds}}, {"due_at": 1, "wanted_at": 1}
        )
        with pymongo.timeout(LOOK_WITHIN_S):
            first = await pending.sort("due_at").limit(LOOKED_AT).to_list()
        wanted = [row.get("wanted_at") or row["due_at"] for row in first]
        late_s = (self._clock.now() - min(wanted)).total_seconds() if wanted else 0.0
        return len(wanted), max(0.0, late_s)

    async def _due_in(self, row: Payload, delay_s: float) -> None:
        """Give the lease back, unless it ran out and somebody else has the row."""
        still_ours = {"_id": row["_id"], "pending": True, "attempts": row["attempts"]}
        due = self._clock.now() + timedelta(seconds=delay_s)
        await OutboxDocument.get_pymongo_collection().update_one(still_ours, {"$set": {"due_at": due}})
