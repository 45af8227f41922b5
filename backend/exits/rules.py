"""Who is checked at the gate, and what the gate may say."""

from enum import StrEnum


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
    EXPIRED = "pass_expired"
    NOT_YET = "pass_from_the_future"
    ALREADY_USED = "already_used"
    REVOKED = "pass_revoked"


WORDS: dict[Reason, str] = {
    Reason.OK: "All paid. Thank you, goodbye.",
    Reason.SPOT_CHECK: "All paid. This visit was drawn for a short check; it is chance, not suspicion.",
    Reason.NOT_A_PASS: "This is not an exit pass of ours. Please show the pass from the app.",
    Reason.WRONG_STORE: "This pass is for another store. Please open the order you just paid here.",
    Reason.EXPIRED: "This pass is too old. Please open the order in the app to get a new one.",
    Reason.NOT_YET: "This pass is dated in the future. Please ask a supervisor.",
    Reason.ALREADY_USED: "This pass was used before. Please ask a supervisor.",
    Reason.REVOKED: "This pass was withdrawn. Please ask a supervisor.",
}

CLOCK_GRACE_S = 60
"""How far in the future a pass may be dated: the clocks of two servers differ a little."""


def drawn_for_check(draw: bytes, percent: int) -> bool:
    """Whether an order is drawn: `draw` is a keyed digest of it, so that nobody can choose and anybody with the
    key can prove it."""
    return int.from_bytes(draw[:4]) % 100 < percent
