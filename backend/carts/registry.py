"""The carts that this process holds in memory, and how they hear of each other's processes.

A room is loaded when somebody needs it (snapshot, then the log's tail), packed when nobody did anything for 2 s, and
forgotten when nobody looked for a minute; housekeeping sees only those that are awake. While a phone looks at it, the
process listens on the cart's channel, and asks MongoDB every 1.5 s, always, whether the log went on without it: a lost
message has no successor that would show the gap.
"""

import asyncio
import logging
import secrets
from contextlib import suppress
from enum import IntEnum

import msgspec

from backend import errors
from backend.carts import metrics, store
from backend.carts.events import Entry
from backend.carts.frames import Notice, encode
from backend.carts.frames import Presence as PresenceFrame
from backend.carts.log import CartLog
from backend.carts.presence import REPEAT_EVERY_S
from backend.carts.rooms import Room
from backend.kit.clock import Clock
from backend.kit.mongo import StorageError
from backend.live import Bus, Connection, Frame, SocketsOfUser

log = logging.getLogger(__name__)

HEAD_CHECK_S = 1.5
"""A screen without its messages may be 2 s late; asking, reading and sending take their part of that."""
HOUSEKEEPING_S = 0.5
PACK_AFTER_S = 2.0
FORGET_AFTER_S = 60.0
CLOSE_WITHIN_S = 5.0
SNAPSHOT_AFTER_EVENTS = 64
SNAPSHOT_AFTER_S = 3.0
AT_ONCE = 16
"""Carts that are packed, saved or told of before anything else gets its turn: about a millisecond."""


class _Message(IntEnum):
    """The first byte of what travels on a cart's channel."""

    ENTRY = 1
    PRESENCE = 2
    WHO_IS_THERE = 3
    NOTICE = 4


class _PresenceMessage(msgspec.Struct, array_like=True):
    process: str
    members: list[str]


class _NoticeMessage(msgspec.Struct, array_like=True):
    user_id: str
    frame: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_entry = msgspec.msgpack.Decoder(Entry).decode
_decode_presence = msgspec.msgpack.Decoder(_PresenceMessage).decode
_decode_notice = msgspec.msgpack.Decoder(_NoticeMessage).decode


def _channel(session_id: str) -> str:
    return f"cart:{session_id}"


class Rooms:
    """Every room of one process."""

    def __init__(self, cart_log: CartLog, bus: Bus, clock: Clock) -> None:
        self.process = secrets.token_hex(4)
        self._log = cart_log
        self._bus = bus
        self._clock = clock
        self._rooms: dict[str, Room] = {}
        self._awake: set[Room] = set()
        self._loading: dict[str, asyncio.Task[Room]] = {}
        self._sockets = SocketsOfUser()
        self._check_now = asyncio.Event()
        bus.on_resync.append(self._check_now.set)

    @property
    def size(self) -> tuple[int, int]:
        """How many rooms this process has in memory, and how many phones look at them."""
        return len(self._rooms), sum(len(room.connections) for room in self._rooms.values())

    def new(self, session_id: str) -> Room:
        """A room for a cart that is about to begin; `drop` it when it does not."""
        room = self._rooms[session_id] = Room(session_id, self._log, self._clock, self)
        return room

    def drop(self, room: Room) -> None:
        if self._rooms.get(room.session_id) is room:
            del self._rooms[room.session_id]
        self._awake.discard(room)

    def used(self, room: Room) -> None:
        """Housekeeping has an eye on the room until it is at rest again."""
        self._awake.add(room)

    async def get(self, session_id: str) -> Room:
        """The room of a cart, from memory or loaded.

        Raises:
            SessionNotFound: the log has nothing of it.
            StorageUnavailable: MongoDB does not answer.
        """
        room = self._rooms.get(session_id)
        if room is not None and room.seq:
            room.touch()
            return room
        task = self._loading.get(session_id)
        if task is None:
            task = self._loading[session_id] = asyncio.create_task(self._load(session_id))
            task.add_done_callback(lambda _: self._loading.pop(session_id, None))
        try:
            return await asyncio.shield(task)
        except StorageError:
            raise errors.StorageUnavailable from None

    async def _load(self, session_id: str) -> Room:
        room = Room(session_id, self._log, self._clock, self)
        room.state = await store.load_snapshot(session_id)
        room.saved_seq, room.saved_at = room.seq, room.last_used
        for entry in await self._log.tail(session_id, room.seq):
            room.receive(entry)
        if not room.seq:
            raise errors.SessionNotFound
        return self._rooms.setdefault(session_id, room)

    def enter(self, room: Room, connection: Connection) -> None:
        """A phone looks at the cart from now on."""
        if not room.connections:
            self._rooms[room.session_id] = room
            self._bus.subscribe(
                _channel(room.session_id),
                lambda payload: self._hear(room, payload),
                lambda: self._heard(room),
            )
        room.connections.add(connection)
        self._sockets.enter(connection)
        self._presence_changed(room)

    def _heard(self, room: Room) -> None:
        """The channel is open from now on: ask for what came before, and say who is here.

        Messages of before are lost, so that another process may not know of this one, and tells it nothing.
        """
        self._bus.publish(_channel(room.session_id), bytes([_Message.WHO_IS_THERE]))
        self._tell_presence(room)
        room.look_again()

    def leave(self, room: Room, connection: Connection) -> None:
        """A phone is gone."""
        room.connections.discard(connection)
        self._sockets.leave(connection)
        room.touch()
        if room.state and connection.user_id in room.state.members:
            room.presence.lost(connection.user_id, room.last_used)
        self._presence_changed(room)
        if not room.connections:
            self._bus.unsubscribe(_channel(room.session_id))

    def end_logins(self, ended: frozenset[str]) -> None:
        """Close the phones that came by one of these logins."""
        self._sockets.end_logins(ended)

    def notify(self, session_id: str, user_id: str, notice: Notice) -> None:
        """Show something to one person, on whichever process their phones are."""
        frame = encode(notice)
        self._show(self._rooms.get(session_id), user_id, frame)
        message = bytes([_Message.NOTICE]) + _encode(_NoticeMessage(user_id, frame))
        self._bus.publish(_channel(session_id), message)

    def _show(self, room: Room | None, user_id: str, frame: Frame) -> None:
        for connection in room.connections if room else ():
            if connection.user_id == user_id:
                connection.send(frame)

    def announce(self, entry: Entry) -> None:
        """Tell the other processes; not, where phones look at the cart here and none elsewhere.

        A process that arrives says so before it reads the log; what slips between is found by its head check.
        """
        room = self._rooms.get(entry.session_id)
        if room and room.connections and not room.presence.is_elsewhere(asyncio.get_running_loop().time()):
            return
        self._bus.publish(_channel(entry.session_id), bytes([_Message.ENTRY]) + _encode(entry))

    def _hear(self, room: Room, payload: bytes) -> None:
        body = payload[1:]
        match payload[0]:
            case _Message.ENTRY:
                room.receive(_decode_entry(body))
            case _Message.PRESENCE:
                said = _decode_presence(body)
                now = asyncio.get_running_loop().time()
                before = self._present(room)
                room.presence.heard(said.process, frozenset(said.members), now)
                if self._present(room) != before:
                    self._show_presence(room)
            case _Message.WHO_IS_THERE:
                self._tell_presence(room)
            case _Message.NOTICE:
                notice = _decode_notice(body)
                self._show(room, notice.user_id, Frame(notice.frame))

    def _present(self, room: Room) -> list[str]:
        return room.presence.all(room.connected, asyncio.get_running_loop().time())

    def _presence_changed(self, room: Room) -> None:
        self._show_presence(room)
        self._tell_presence(room)

    def _show_presence(self, room: Room) -> None:
        frame = encode(PresenceFrame(members=self._present(room)))
        for connection in room.connections:
            connection.send(frame)

    def _tell_presence(self, room: Room) -> None:
        here = _PresenceMessage(self.process, room.presence.here(room.connected))
        message = bytes([_Message.PRESENCE]) + _encode(here)
        self._bus.publish(_channel(room.session_id), message)

    async def run_head_check(self) -> None:
        """Every `HEAD_CHECK_S`, and at once after the bus was cut off: did any log go on without us?"""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEAD_CHECK_S):
                    await self._check_now.wait()
            self._check_now.clear()
            try:
                await self._check_heads()
            except StorageError as error:
                log.warning("heads not checked", extra={"error": type(error).__name__})

    async def _check_heads(self) -> None:
        heads = [
            (room.session_id, room.seq) for room in self._rooms.values() if room.connections and room.seq
        ]
        for start in range(0, len(heads), 1_000):
            for session_id in await self._log.ahead(heads[start : start + 1_000]):
                metrics.HEADS_FOUND.inc()
                if room := self._rooms.get(session_id):
                    room.look_again()

    async def run_housekeeping(self) -> None:
        """Answer overdue commands, let presence fade and repeat it, put carts to rest; never waits for a server."""
        loop = asyncio.get_running_loop()
        told = loop.time()
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            now = loop.time()
            for number, room in enumerate(list(self._awake), start=1):
                room.refuse_overdue(now)
                if room.presence.fade(now):
                    self._presence_changed(room)
                self._put_to_rest(room, now)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            if now - told > REPEAT_EVERY_S:
                told = now
                await self._repeat_presence(now)

    def _put_to_rest(self, room: Room, now: float) -> None:
        """Pack a room that nobody used for 2 s; forget one that nobody used, or looked at, for a minute."""
        unused_s = now - room.last_used
        if room.is_busy or room.presence.lingers or room.saved_seq < room.seq or unused_s < PACK_AFTER_S:
            return
        room.pack()
        if room.connections:
            self._awake.discard(room)
        elif unused_s > FORGET_AFTER_S:
            self.drop(room)

    async def _repeat_presence(self, now: float) -> None:
        """Tell other processes again, of carts that they look at too."""
        shared = [r for r in self._rooms.values() if r.connections and r.presence.is_elsewhere(now)]
        for number, room in enumerate(shared, start=1):
            self._presence_changed(room)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def run_snapshots(self) -> None:
        """Save the snapshots that are due, until cancelled."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            await self.save_snapshots(asyncio.get_running_loop().time())

    async def save_snapshots(self, now: float, *, all_dirty: bool = False) -> None:
        """Write the snapshots that are due, in groups: 64 events past the last, or 3 s after it."""
        due = [
            room for room in self._awake if _is_due(room, now) or (all_dirty and room.saved_seq < room.seq)
        ]
        for start in range(0, len(due), AT_ONCE):
            rooms = due[start : start + AT_ONCE]
            group = [(room, store.encode_snapshot(room.state)) for room in rooms if room.state]
            await store.save_snapshots_forward([(room.session_id, document) for room, document in group])
            for room, document in group:
                room.saved_seq, room.saved_at = document["seq"], now

    async def close(self) -> None:
        """Leave nothing behind: every commit has its outcome, every snapshot is written; in 5 s, or not at all.

        What does not get there in time is not lost: the clients have no ack, and the log needs no snapshot.
        """
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._log.drained()
                await self.save_snapshots(asyncio.get_running_loop().time(), all_dirty=True)
        except (TimeoutError, StorageError) as error:
            log.warning("closed before all was written", extra={"error": type(error).__name__})


def _is_due(room: Room, now: float) -> bool:
    ahead = room.seq - room.saved_seq
    return ahead > 0 and (
        not room.saved_seq or ahead >= SNAPSHOT_AFTER_EVENTS or now - room.saved_at > SNAPSHOT_AFTER_S
    )
