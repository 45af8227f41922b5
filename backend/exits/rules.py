"""Which key signs, what a pass is, who is checked at the gate, and what the gate says. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

CLOCK_GRACE_S = 60
"""How far in the future a pass may be dated: the clocks of two servers differ a little."""
PUBLISHED_BEFORE = timedelta(hours=24)
"""How long a key is published before it signs, so that a gate without a network has it by then."""
PUBLISHED_AFTER = timedelta(minutes=5)
"""How long a key stays published after its last pass ran out: the servers' clocks (60 s), a gate's without a network
(120 s), a process that has not noticed the next key (5 s), a set of keys kept by whoever fetched it (60 s)."""


class PassStatus(StrEnum):
    ISSUED = "issued"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Verdict(StrEnum):
    OPEN = "open"
    CHECK = "check"
    REFUSE = "refuse"


class Reason(StrEnum):
    """Why, as a code; `WORDS` has the sentence a guard can read aloud."""

    OK = "ok"
    SPOT_CHECK = "spot_check"
    NOT_A_PASS = "not_a_pass"  # noqa: S105 - the name of a reason
    WRONG_STORE = "wrong_store"
    KEY_WITHDRAWN = "key_withdrawn"
    EXPIRED = "pass_expired"
    NOT_YET = "pass_from_the_future"
    ALREADY_USED = "already_used"
    REVOKED = "pass_revoked"
    NOT_CHECKED = "not_checked"


WORDS: dict[Reason, str] = {
    Reason.OK: "All paid. Thank you, goodbye.",
    Reason.SPOT_CHECK: "All paid. This visit was drawn for a short check; it is chance, not suspicion.",
    Reason.NOT_A_PASS: "This is not an exit pass of ours. Please show the pass from the app.",
    Reason.WRONG_STORE: "This pass is for another store. Please open the order you just paid here.",
    Reason.KEY_WITHDRAWN: "This pass was replaced for safety. Please open the order in the app to get a new one.",
    Reason.EXPIRED: "This pass is too old. Please open the order in the app to get a new one.",
    Reason.NOT_YET: "This pass is dated in the future. Please ask a supervisor.",
    Reason.ALREADY_USED: "This pass was used before. Please ask a supervisor.",
    Reason.REVOKED: "This pass was withdrawn. Please ask a supervisor.",
    Reason.NOT_CHECKED: "This pass has not been scanned for a check yet. Please scan it first.",
}


class EventKind(StrEnum):
    """What a row of the audit trail tells of."""

    VERIFY = "verify"
    RELEASE = "release"
    REVOKE = "revoke"
    KEY_MADE = "key_made"
    KEY_WITHDRAWN = "key_withdrawn"


class Use(msgspec.Struct, frozen=True):
    """When and where a pass was used, who stood there, and by which scan: its row in the audit trail."""

    gate_id: str
    by: str
    at: datetime
    scan: str = ""


class Pass(msgspec.Struct, frozen=True):
    order_id: str
    pass_id: str
    store_id: str
    user_id: str
    kid: str
    item_count: int
    total_minor: int
    currency: str
    check: bool
    status: PassStatus
    issued_at: datetime
    expires_at: datetime
    used: Use | None = None


def drawn_for_check(draw: bytes, percent: int) -> bool:
    """Whether an order is drawn: `draw` is a keyed digest of it, so that nobody can choose and anybody with the
    key can prove it."""
    return int.from_bytes(draw[:4]) % 100 < percent


def judge(
    found: Pass, scan: str, issued_at: datetime, expires_at: datetime, now: datetime, *, checked: bool | None
) -> tuple[Verdict, Reason]:
    """What the gate does with a pass of its store whose signature is right.

    Args:
        scan: which scan asks; the one that used the pass up has opened, however often it asks.
        issued_at, expires_at: of the token in front of the gate, which a renewal may have left behind.
        now: when the scan first came.
        checked: for a release, whether a gate said `check` to this pass; None for a scan.
    """
    if found.used is not None and found.used.scan == scan:
        return Verdict.OPEN, Reason.OK
    if issued_at > now + timedelta(seconds=CLOCK_GRACE_S):
        return Verdict.REFUSE, Reason.NOT_YET
    if found.status is PassStatus.REVOKED:
        return Verdict.REFUSE, Reason.REVOKED
    if found.status is PassStatus.USED:
        return Verdict.REFUSE, Reason.ALREADY_USED
    if expires_at <= now:
        return Verdict.REFUSE, Reason.EXPIRED
    if checked is False:
        return Verdict.REFUSE, Reason.NOT_CHECKED
    if checked is None and found.check:
        return Verdict.CHECK, Reason.SPOT_CHECK
    return Verdict.OPEN, Reason.OK


class Key(msgspec.Struct, frozen=True):
    """A store's signing key by its public half; `public` is the `x` of its JSON Web Key.

    The keys of a store are numbered, and one signs until one with a higher number does: nothing in a key changes
    when the next is made. Only withdrawing it is written into it.
    """

    kid: str
    store_id: str
    number: int
    public: str
    created_at: datetime
    signs_from: datetime
    withdrawn_at: datetime | None = None


def signers(keys: Iterable[Key], now: datetime) -> list[Key]:
    """A store's keys that may sign now, the one that should first."""
    may = [key for key in keys if key.withdrawn_at is None and key.signs_from <= now]
    return sorted(may, key=lambda key: key.number, reverse=True)


def next_signs_from(keys: Iterable[Key], now: datetime, every: timedelta) -> datetime | None:
    """When a store's next key would begin to sign, if it is time to publish that key; None while it is not.

    A store that slept over the date goes on with the key it has until the next was published long enough.
    """
    latest = max(keys, key=lambda key: key.number)
    due = latest.signs_from + every
    return max(due, now + PUBLISHED_BEFORE) if due - PUBLISHED_BEFORE <= now else None


def published_until(key: Key, keys: Iterable[Key], pass_ttl: timedelta) -> datetime | None:
    """When the last pass of a key has run out at every gate; None while no next key is known."""
    later = [other.signs_from for other in keys if other.number > key.number]
    return min(later) + pass_ttl + PUBLISHED_AFTER if later else None
