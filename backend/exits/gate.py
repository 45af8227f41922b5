"""Judging passes at the gate, each scan once and for ever, and the audit trail of it.

A scan is a row of the trail, with store, gate, kind and nonce as its key. The row is there before a pass is used up for it,
which is one update of the pass that names the scan, and gets its answer once, afterwards. Whoever sends the same
scan again, or at the same time, reads that answer; a row that was left without one is answered then, as of the time
when it was written. So a scan may be cut off anywhere and sent again.

Why no transaction: one whose process was killed holds the pass for MongoDB's 60 s, and the shopper stands there.
"""

import asyncio
import base64
import binascii
import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec import structs
from prometheus_client import Counter

from backend import errors
from backend.accounts import Principal, Role
from backend.exits import store, store_events, tokens
from backend.exits.keys import ExitKeys, public_key
from backend.exits.rules import WORDS, EventKind, Pass, Reason, Use, Verdict, judge
from backend.exits.schemas import GateEventOut, GateEventsOut, GateOrder, ScanIn, VerdictOut
from backend.exits.store_events import GateEvent
from backend.kit.clock import Clock
from backend.kit.mongo import DuplicateKeyError
from backend.kit.secrets import digest

log = logging.getLogger(__name__)

VERDICTS = Counter(
    "qless_gate_verdicts",
    "Answers at gates; a scan that is repeated counts again",
    ["kind", "verdict", "code"],
)

_EPOCH = datetime.fromtimestamp(0, UTC)


class Gate:
    """The gates of all stores."""

    def __init__(self, clock: Clock, keys: ExitKeys) -> None:
        self._clock = clock
        self._keys = keys

    async def verify(self, principal: Principal, scan: ScanIn) -> VerdictOut:
        """Judge a pass; `open` uses it up. For gate staff of the store.

        Raises:
            IdReused: the nonce stands for another scan at this gate.
        """
        return _told_of(EventKind.VERIFY, scan, await self._answer(principal, scan, EventKind.VERIFY))

    async def release(self, principal: Principal, scan: ScanIn) -> VerdictOut:
        """The guard has looked: let a pass out to which a gate of the store said `check`. It is judged again in full.

        Raises:
            IdReused: the nonce stands for another scan at this gate.
        """
        return _told_of(EventKind.RELEASE, scan, await self._answer(principal, scan, EventKind.RELEASE))

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
        row = GateEvent(
            event_id=store_events.scan_id(scan.store_id, scan.gate_id, kind, scan.nonce),
            kind=kind,
            at=self._clock.now(),
            store_id=scan.store_id,
            by=principal.user_id,
            by_name=principal.name,
            gate_id=scan.gate_id,
            nonce=scan.nonce,
            digest=digest(scan.token),
        )
        seen = await self._look(scan, row)
        told = _judged(row, seen)
        try:
            if told.verdict is not Verdict.OPEN:
                await store_events.add(told)
                return _told(told)
            await store_events.add(row)
        except DuplicateKeyError:
            row = await _first(row)
            if row.verdict is not None:
                return _told(row)
            seen = await self._look(scan, row)
        return _told(await _settle(row, seen))

    async def _look(self, scan: ScanIn, row: GateEvent) -> "_Seen":
        """What stands in front of the gate; nothing is changed yet."""
        claims, refused = await self._read(scan)
        if claims is None:
            return _Seen(refused)
        found = await store.find_pass(claims.order_id)
        if found is None or found.store_id != scan.store_id:
            return _Seen(Reason.NOT_A_PASS)
        checked = None
        if row.kind is EventKind.RELEASE:
            checked = await store_events.was_checked(found.order_id, found.pass_id)
        return _Seen(Reason.OK, claims, found, checked)

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


class _Seen(NamedTuple):
    """A token with its pass; or why it is none."""

    refused: Reason
    claims: tokens.Claims | None = None
    found: Pass | None = None
    checked: bool | None = None


def _judged(row: GateEvent, seen: _Seen) -> GateEvent:
    """The row with its answer, as of when it was written."""
    if seen.claims is None or seen.found is None:
        return structs.replace(row, verdict=Verdict.REFUSE, code=seen.refused)
    issued_at, expires_at = seen.claims.issued_at, seen.claims.expires_at
    verdict, code = judge(seen.found, row.event_id, issued_at, expires_at, row.at, checked=seen.checked)
    return structs.replace(
        row,
        verdict=verdict,
        code=code,
        order_id=seen.found.order_id,
        pass_id=seen.found.pass_id,
        order=_order(seen.found),
    )


async def _settle(row: GateEvent, seen: _Seen) -> GateEvent:
    """Use the pass up for a scan whose row is written, if it may open, and write its answer."""
    if seen.found and _judged(row, seen).verdict is Verdict.OPEN:
        use = Use(row.gate_id or "", row.by, row.at, row.event_id)
        seen = seen._replace(found=await store.use_once(seen.found.order_id, use))
    settled = await store_events.settle(_judged(row, seen))
    if settled is None or settled.verdict is None:
        raise errors.StorageUnavailable
    return settled


def _may_scan(principal: Principal, scan: ScanIn) -> bool:
    """Gate staff at every gate of their store; a device at its own gate alone."""
    return principal.works_at(scan.store_id, Role.GATE) and principal.gate_id in {None, scan.gate_id}


async def _first(row: GateEvent) -> GateEvent:
    """The row that this scan got when it came first."""
    for wait_s in (0, 0.02, 0.1, 0.5):  # what is being written is seen once the majority has it
        await asyncio.sleep(wait_s)
        if first := await store_events.find(row.event_id):
            if first.digest != row.digest:
                raise errors.IdReused("This nonce was used for another scan at this gate.")
            return first
    raise errors.StorageUnavailable


def _order(found: Pass) -> GateOrder:
    return GateOrder(
        order_id=found.order_id,
        item_count=found.item_count,
        total_minor=found.total_minor,
        currency=found.currency,
        used_at=found.used.at if found.used else None,
        used_gate=found.used.gate_id if found.used else None,
    )


def _told_of(kind: EventKind, scan: ScanIn, told: VerdictOut) -> VerdictOut:
    VERDICTS.labels(kind, told.verdict, told.code).inc()
    order_id = told.order.order_id if told.order else None
    found = {"kind": str(kind), "verdict": str(told.verdict), "code": str(told.code), "order_id": order_id}
    log.info("pass judged", extra={"store_id": scan.store_id, "gate_id": scan.gate_id, **found})
    return told


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
