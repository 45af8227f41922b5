"""A cart in memory: its state, its queue of commands, the phones that look at it.

Commands of a cart are decided one after the other, each on the state that the one before it left on disk:

    submit ──> queue ──> decide ──> append ──> on disk ──> apply ──> broadcast ──> answer
                           ^          │
                           └── read the tail <── another process was faster

No lock and no task a cart: the next command is decided in the call-back of the commit before. A cart at rest is packed:
its phones stay, its state is a kilobyte until somebody does something. That nothing is to be
done, or nothing can be, is only answered on a state that was compared with the log after the command arrived: a
process that lags neither refuses what is allowed nor takes for done what was undone.
"""

import asyncio
import logging
import random
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from backend import errors
from backend.carts import metrics, rules
from backend.carts.commands import Request
from backend.carts.events import SCHEMA_VERSION, Entry, MemberLeft, MemberRemoved
from backend.carts.frames import encode_entry
from backend.carts.log import CartLog, Outcome
from backend.carts.presence import Presence
from backend.carts.state import CartState, state_from_bytes, state_to_bytes
from backend.errors import AppError
from backend.kit.clock import Clock
from backend.kit.mongo import StorageError
from backend.live import CloseCode, Connection

log = logging.getLogger(__name__)

MAX_QUEUED = 256
"""Commands that may wait on one cart in this process."""
ANSWER_WITHIN_S = 8.0
"""A command not on disk by then is answered `commit_delayed`; it may still land, and a repeat learns of it."""

Answer = Callable[[int | AppError], None]


class Ticket(msgspec.Struct):
    """A command in the queue of its cart.

    Attributes:
        arrived: by the loop's clock.
        compared: whether the state was compared with the log since.
    """

    request: Request
    facts: rules.Facts
    answer: Answer | None
    arrived: float
    compared: bool = False

    def is_of(self, entry: Entry) -> bool:
        """Whether the entry is what became of this very command."""
        request = self.request
        return (entry.by, entry.command_id, entry.digest) == (
            request.by,
            request.command_id,
            request.digest(),
        )

    def settle(self, result: int | AppError) -> None:
        """Give the answer, once."""
        answer, self.answer = self.answer, None
        if answer is not None:
            metrics.count_answer(self.request.command, result)
            metrics.ANSWER_SECONDS.observe(asyncio.get_running_loop().time() - self.arrived)
            answer(result)


class Keeper(Protocol):
    """Who has the room: is told when it is used, and of what it appended."""

    def used(self, room: "Room") -> None: ...
    def announce(self, entry: Entry) -> None: ...


class Room:
    """One cart in this process.

    Attributes:
        seq: of the last event that is known here.
        saved_seq, saved_at: what the latest snapshot that this process wrote or read has, and since when.
        last_used: by the event loop's clock, like `saved_at`.
    """

    __slots__ = (
        "_clock",
        "_in_flight",
        "_keeper",
        "_log",
        "_packed",
        "_queue",
        "_reading",
        "_state",
        "connections",
        "last_used",
        "presence",
        "saved_at",
        "saved_seq",
        "seq",
        "session_id",
    )

    def __init__(self, session_id: str, cart_log: CartLog, clock: Clock, keeper: Keeper) -> None:
        self.session_id = session_id
        self.seq = 0
        self.saved_seq = 0
        self.saved_at = 0.0
        self.connections: set[Connection] = set()
        self.presence = Presence()
        self.last_used = asyncio.get_running_loop().time()
        self._log = cart_log
        self._clock = clock
        self._keeper = keeper
        self._state: CartState | None = None
        self._packed = b""
        self._queue: list[Ticket] = []
        self._in_flight: Ticket | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def state(self) -> CartState | None:
        """The cart after event `seq`; None before the first."""
        if self._state is None and self._packed:
            self._state = state_from_bytes(zlib.decompress(self._packed))
            self._packed = b""
            self.touch()
        return self._state

    @state.setter
    def state(self, state: CartState | None) -> None:
        self._state, self._packed = state, b""
        self.seq = state.seq if state else 0
        self.touch()

    def pack(self) -> None:
        """Keep the state in a tenth of the room until it is asked for."""
        if self._state is not None:
            self._packed = zlib.compress(state_to_bytes(self._state), 1)
            self._state = None

    def touch(self) -> None:
        """Somebody has to do with the cart: it is not put to rest for a while."""
        self.last_used = asyncio.get_running_loop().time()
        self._keeper.used(self)

    @property
    def is_busy(self) -> bool:
        """Whether a command waits or is on its way, or the log is being read."""
        return bool(self._queue or self._in_flight or self._reading)

    @property
    def connected(self) -> frozenset[str]:
        """The user ids of the phones that this process has here."""
        return frozenset(connection.user_id for connection in self.connections)

    def submit(self, request: Request, facts: rules.Facts, answer: Answer) -> None:
        """Queue a command; `answer` is called with the seq it became, or with why not."""
        if len(self._queue) >= MAX_QUEUED:
            Ticket(request, facts, answer, asyncio.get_running_loop().time()).settle(errors.CartBusy())
            return
        self.touch()
        self._queue.append(Ticket(request, facts, answer, self.last_used))
        if self._in_flight is None:
            self._next()

    def _next(self) -> None:
        """Decide queued commands until one is on its way to the log, or none is left."""
        while self._queue and self._in_flight is None:
            ticket = self._queue.pop(0)
            now = self._clock.now()
            decision = rules.decide(self.state, ticket.request, ticket.facts, now)
            if isinstance(decision, rules.Accepted):
                self._append(ticket, decision, now)
            elif isinstance(decision, rules.Repeated):
                ticket.settle(decision.seq)
            elif not ticket.compared:
                self._compare_then_retry(ticket)
            elif isinstance(decision, rules.Settled):
                ticket.settle(decision.seq)
            else:
                ticket.settle(errors.BY_CODE[decision.code](decision.detail))

    def _append(self, ticket: Ticket, decision: rules.Accepted, now: datetime) -> None:
        entry = Entry(
            session_id=self.session_id,
            seq=self.seq + 1,
            at=now,
            by=ticket.request.by,
            command_id=ticket.request.command_id,
            digest=ticket.request.digest(),
            event=decision.event,
            totals=decision.totals,
            budget=decision.budget,
            allowances=decision.allowances,
            category_budgets=decision.category_budgets,
            v=SCHEMA_VERSION,
            w=random.getrandbits(62) | 1 << 62,
        )
        self._log.append(entry, lambda outcome: self._on_outcome(ticket, entry, outcome))
        self._in_flight = ticket

    def _on_outcome(self, ticket: Ticket, entry: Entry, outcome: Outcome) -> None:
        if outcome is Outcome.TAKEN:
            self._compare_then_retry(ticket)
            return
        self._in_flight = None
        if outcome is Outcome.APPENDED:
            ticket.settle(entry.seq)
            self.receive(entry)
            self._keeper.announce(entry)
        else:
            ticket.settle(errors.Unavailable())
        self._next()

    def _compare_then_retry(self, ticket: Ticket) -> None:
        """Read what the log has past our state, then decide this command again, before the others."""
        self._in_flight = ticket

        def again(task: asyncio.Task[None]) -> None:
            self._in_flight = None
            if task.cancelled() or task.exception() is not None:
                ticket.settle(errors.StorageUnavailable())
            else:
                ticket.compared = True
                self._queue.insert(0, ticket)
            self._next()

        self._read_tail().add_done_callback(again)

    async def catch_up(self) -> None:
        """Bring the state to what the log has now.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        try:
            await asyncio.shield(self._read_tail())
        except StorageError:
            raise errors.StorageUnavailable from None

    def look_again(self) -> None:
        """Read what came while nobody told this process; a failure is made good by the next head check."""
        self._read_tail().add_done_callback(_ignore_storage_error)

    def _read_tail(self) -> asyncio.Task[None]:
        """A reading of the log that begins now."""

        async def read() -> None:
            for entry in await self._log.tail(self.session_id, self.seq):
                self.receive(entry)

        task = self._reading = asyncio.create_task(read())

        def done(finished: asyncio.Task[None]) -> None:
            if self._reading is finished:
                self._reading = None

        task.add_done_callback(done)
        return task

    def receive(self, entry: Entry) -> None:
        """Apply and show an entry if it is the next; a known one is ignored, one past a gap brings the tail in."""
        if entry.seq <= self.seq:
            return
        if entry.seq > self.seq + 1:
            self.look_again()
            return
        self.state = rules.apply(self.state, entry)
        if self._in_flight is not None and self._in_flight.is_of(entry):
            self._in_flight.settle(
                entry.seq
            )  # read back before its outcome came: the answer goes first all the same
        if self.connections:
            frame = encode_entry(entry)
            for connection in self.connections:
                connection.send(frame)
        if isinstance(entry.event, MemberLeft | MemberRemoved):
            self._show_out(entry.event.user_id)

    def _show_out(self, user_id: str) -> None:
        """Close the sockets of one who is no longer a member."""
        self.presence.left(user_id)
        for connection in self.connections:
            if connection.user_id == user_id:
                connection.close(CloseCode.NOT_FOUND)

    def refuse_overdue(self, now: float) -> None:
        """Answer commands that wait for too long; what is on its way stays on its way."""
        if not (self._in_flight or self._queue):
            return
        in_flight = [self._in_flight] if self._in_flight else []
        for ticket in [*in_flight, *self._queue]:
            if now - ticket.arrived > ANSWER_WITHIN_S:
                ticket.settle(errors.CommitDelayed())
        self._queue = [ticket for ticket in self._queue if ticket.answer is not None]


def _ignore_storage_error(task: asyncio.Task[None]) -> None:
    """A failed reading is made good by the next head check."""
    if not task.cancelled() and task.exception() is not None:
        log.warning("tail not read", extra={"error": type(task.exception()).__name__})
