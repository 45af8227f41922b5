"""Judging passes at the gate, each scan once and for ever, and the audit trail of it.

A scan's answer is a row of the trail, with store, gate and nonce as its key: whoever writes it first has decided,
and everybody else who sends the same scan reads it. The row of an `open` is written in the transaction that uses the
pass up, so that neither is there without the other. Cancellation is safe: a scan that was cut off is sent again.
"""

import asyncio
import base64
import binascii
from datetime import UTC, datetime, timedelta

from backend import errors
from backend.accounts import Principal, Role
from backend.exits import store, store_events, tokens
from backend.exits.keys import ExitKeys, public_key
from backend.exits.rules import WORDS, EventKind, Pass, Reason, Use, Verdict, judge
from backend.exits.schemas import GateEventOut, GateEventsOut, GateOrder, ScanIn, VerdictOut
from backend.exits.store_events import GateEvent
from backend.kit.clock import Clock
from backend.kit.mongo import Client, DuplicateKeyError, Session, in_transaction
from backend.kit.secrets import digest

TRIES = 5
_EPOCH = datetime.fromtimestamp(0, UTC)


class _Moved(Exception):
    """The pass is no longer in the state it was judged in."""


class Gate:
    """The gates of all stores."""

    def __init__(self, clock: Clock, client: Client, keys: ExitKeys) -> None:
        self._clock = clock
        self._client = client
        self._keys = keys

    async def verify(self, principal: Principal, scan: ScanIn) -> VerdictOut:
        """Judge a pass; `open` uses it up. For gate staff of the store.

        Raises:
            IdReused: the nonce stands for another scan at this gate.
        """
        return await self._answer(principal, scan, EventKind.VERIFY)

    async def release(self, principal: Principal, scan: ScanIn) -> VerdictOut:
        """The guard has looked: let a pass out to which a gate of the store said `check`. It is judged again in full.

        Raises:
            IdReused: the nonce stands for another scan at this gate.
        """
        return await self._answer(principal, scan, EventKind.RELEASE)

    async def events(
        self, principal: Principal, store_id: str, order_id: str | None, cursor: str | None, at_most: int
    ) -> GateEventsOut:
        """A page of a store's audit trail, newest first. For its supervisors."""
        if not principal.works_at(store_id, Role.SUPERVISOR):
            raise errors.Forbidden
        before = None if cursor is None else _read_cursor(cursor)
        found = await store_events.page(store_id, order_id, before, at_most + 1)
        return GateEventsOut(
            items=[_event_out(event) for event in found[:at_most]],
            next=_cursor_after(found[at_most - 1]) if len(found) > at_most else None,
        )

    async def _answer(self, principal: Principal, scan: ScanIn, kind: EventKind) -> VerdictOut:
        if not _may_scan(principal, scan):
            raise errors.Forbidden
        for _ in range(TRIES):
            judged = await self._judge(principal, scan, kind)
            try:
                return _told(await self._write(judged))
            except DuplicateKeyError:
                return _told(await _first_answer(judged))
            except _Moved:
                continue
        raise errors.Unavailable("The pass kept changing; send the scan again.")

    async def _judge(self, principal: Principal, scan: ScanIn, kind: EventKind) -> GateEvent:
        """The row that this scan would make; nothing is changed yet."""
        now = self._clock.now()
        verdict, code, found = await self._look(scan, kind, now)
        used = found.used if found else None
        if verdict is Verdict.OPEN:
            used = Use(scan.gate_id, principal.user_id, now)
        return GateEvent(
            event_id=store_events.scan_id(scan.store_id, scan.gate_id, scan.nonce),
            kind=kind,
            at=now,
            store_id=scan.store_id,
            by=principal.user_id,
            by_name=principal.name,
            gate_id=scan.gate_id,
            nonce=scan.nonce,
            order_id=found.order_id if found else None,
            pass_id=found.pass_id if found else None,
            verdict=verdict,
            code=code,
            order=_order(found, used) if found else None,
            digest=digest(f"{kind} {scan.token}"),
        )

    async def _look(
        self, scan: ScanIn, kind: EventKind, now: datetime
    ) -> tuple[Verdict, Reason, Pass | None]:
        claims, refused = await self._read(scan)
        if claims is None:
            return Verdict.REFUSE, refused, None
        found = await store.find_pass(claims.order_id)
        if found is None or found.store_id != scan.store_id:
            return Verdict.REFUSE, Reason.NOT_A_PASS, None
        checked = None
        if kind is EventKind.RELEASE:
            checked = await store_events.was_checked(found.order_id, found.pass_id)
        return *judge(found, claims.issued_at, claims.expires_at, now, checked=checked), found

    async def _read(self, scan: ScanIn) -> tuple[tokens.Claims | None, Reason]:
        """What a token of this store claims; else why it is refused."""
        try:
            key = await self._keys.find(tokens.key_id(scan.token))
            if key is None:
                return None, Reason.NOT_A_PASS
            claims = tokens.read(scan.token, public_key(key.public))
        except tokens.NotAPass:
            return None, Reason.NOT_A_PASS
        if claims.store_id != key.store_id:
            return None, Reason.NOT_A_PASS
        if claims.store_id != scan.store_id:
            return None, Reason.WRONG_STORE
        return (None, Reason.KEY_WITHDRAWN) if key.withdrawn_at else (claims, Reason.OK)

    async def _write(self, judged: GateEvent) -> GateEvent:
        """Make it so. A `DuplicateKeyError` says that the scan was answered before."""
        if judged.verdict is not Verdict.OPEN or judged.order_id is None:
            await store_events.add(judged)
            return judged
        order_id, use = judged.order_id, Use(judged.gate_id or "", judged.by, judged.at)

        async def work(session: Session) -> None:
            await store_events.add(judged, session)
            if await store.use_once(session, order_id, use) is None:
                raise _Moved

        await in_transaction(self._client, work)
        return judged


def _may_scan(principal: Principal, scan: ScanIn) -> bool:
    """Gate staff at every gate of their store; a device at its own gate alone."""
    own_gate = getattr(principal, "gate_id", None)
    return principal.works_at(scan.store_id, Role.GATE) and own_gate in {None, scan.gate_id}


async def _first_answer(judged: GateEvent) -> GateEvent:
    """The answer that this scan got when it came first."""
    for wait_s in (0, 0.02, 0.1, 0.5):  # what is being written is seen once the majority has it
        await asyncio.sleep(wait_s)
        if first := await store_events.find(judged.event_id):
            if first.digest != judged.digest:
                raise errors.IdReused("This nonce was used for another scan at this gate.")
            return first
    raise errors.StorageUnavailable


def _order(found: Pass, used: Use | None) -> GateOrder:
    return GateOrder(
        order_id=found.order_id,
        item_count=found.item_count,
        total_minor=found.total_minor,
        currency=found.currency,
        used_at=used.at if used else None,
        used_gate=used.gate_id if used else None,
    )


def _told(event: GateEvent) -> VerdictOut:
    verdict, code = event.verdict or Verdict.REFUSE, event.code or Reason.NOT_A_PASS
    return VerdictOut(verdict=verdict, code=code, reason=WORDS[code], order=event.order)


def _event_out(event: GateEvent) -> GateEventOut:
    return GateEventOut(
        kind=event.kind,
        at=event.at,
        by=event.by,
        by_name=event.by_name,
        gate_id=event.gate_id,
        nonce=event.nonce,
        order_id=event.order_id,
        pass_id=event.pass_id,
        verdict=event.verdict,
        code=event.code,
        kid=event.kid,
        note=event.note,
    )


def _cursor_after(event: GateEvent) -> str:
    at_ms = (event.at - _EPOCH) // timedelta(milliseconds=1)
    return base64.urlsafe_b64encode(f"{at_ms} {event.event_id}".encode()).rstrip(b"=").decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        at_ms, event_id = base64.urlsafe_b64decode(cursor + "==").decode().split(" ", 1)
        return _EPOCH + timedelta(milliseconds=int(at_ms)), event_id
    except (binascii.Error, ValueError, OverflowError):
        message = "`cursor` is not one that an answer gave."
        raise errors.InvalidField(message, [{"field": "cursor", "message": message}]) from None
