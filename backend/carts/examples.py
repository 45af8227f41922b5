"""One of each frame and of each event, as the socket's description shows them.

They are made by the types that make the real ones: a mother starts a session at the demo store and her daughter
scans with her. A test misses whatever frame or event has no example here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from backend.carts import events, frames
from backend.carts.budget import measure
from backend.carts.commands import TILL
from backend.carts.events import AnyEvent, Entry
from backend.carts.frames import FromClient, ToClient
from backend.carts.schemas import SessionOut
from backend.carts.state import Budget, BudgetRule, CartStatus, Line, Member, MemberRole
from backend.kit.money import Totals

_MOTHER, _DAUGHTER = "usr_06gznf5b2q8m4t7w0x3z", "usr_06gznf6e9r1k5v8y2a4c"
_SESSION, _STORE = "ses_06gznf69d7p1h8psm4pr", "store_demo_blr"
_PAYMENT, _QUOTE = "pay_06gzng1s4t7w0x3z6b9d", "quo_06gzng0h2k5m8p1q4r7t"
_ORDER = "ord_06gzng3w7x0y3z6a9b2c"
_LIMIT = 100_000
_AT = datetime(2026, 1, 10, 9, 30, tzinfo=UTC)

_HOST = Member(_MOTHER, "Mother", MemberRole.HOST, _AT)
_MEMBER = Member(_DAUGHTER, "Daughter", MemberRole.ADULT, _AT)
_TWO = Line(
    line_id="l3",
    product_id="prd_06gzn8v1c4e7g0j3m6p9",
    barcode="8901233018362",
    name="Bournvita",
    qty=2,
    unit_price_minor=24_500,
    total_minor=49_000,
    tax_minor=2_333,
    tax_rate_bp=500,
    added_by=_DAUGHTER,
)
_ONE = msgspec.structs.replace(_TWO, qty=1, total_minor=24_500, tax_minor=1_167)


def _bill(*lines: Line) -> Totals:
    total, tax = sum(line.total_minor for line in lines), sum(line.tax_minor for line in lines)
    return Totals(subtotal_minor=total, discount_minor=0, tax_minor=tax, total_minor=total, currency="INR")


def _budget(bill: Totals) -> Budget | None:
    return measure(_LIMIT, bill.total_minor, BudgetRule(), None)


def _frames() -> Iterator[FromClient | ToClient]:
    yield frames.Hello("the access_token of POST /auth/guest", since=41)
    yield frames.Add(id="scan-1", barcode="8901233018362", qty=2)
    yield frames.SetQuantityFrame(id="set-2", line_id="l3", qty=1)
    yield frames.Remove(id="remove-3", line_id="l3")
    yield frames.SetBudgetFrame(id="budget-4", limit_minor=_LIMIT)
    yield frames.Leave(id="leave-5")
    yield frames.Ping()
    yield frames.Snapshot(
        seq=3,
        session=SessionOut(
            session_id=_SESSION,
            store_id=_STORE,
            status=CartStatus.ACTIVE,
            seq=3,
            host_user_id=_MOTHER,
            participants=[_HOST, _MEMBER],
            items=[_TWO],
            totals=_bill(_TWO),
            budget=_budget(_bill(_TWO)),
            started_at=_AT,
            changed_at=_AT,
        ),
    )
    yield frames.Ack(id="scan-1", seq=3)
    yield frames.ErrorFrame(
        id="scan-1", code="product_not_found", detail="No product carries this barcode.", retryable=False
    )
    yield frames.Presence(members=[_MOTHER, _DAUGHTER])
    yield frames.Notice(kind="payment_captured", data={"payment_id": _PAYMENT, "order_id": _ORDER})
    yield frames.Pong()


def _log() -> Iterator[tuple[str, str, AnyEvent, Totals]]:
    """Who did it, by which command, what it was, and the bill after it."""
    yield (
        _MOTHER,
        "cmd_06gznf69dbx2",
        events.SessionStarted(_STORE, "IN", BudgetRule(), _HOST, _LIMIT),
        _bill(),
    )
    yield _DAUGHTER, "cmd_06gznf6f0k3t", events.MemberJoined(_MEMBER), _bill()
    yield _DAUGHTER, "scan-1", events.ItemAdded(_TWO), _bill(_TWO)
    yield _MOTHER, "set-2", events.QuantitySet(_ONE), _bill(_ONE)
    yield TILL, "cmd_06gzng1t2m8c", events.CheckoutLocked(_QUOTE, _PAYMENT, _MOTHER, 5), _bill(_ONE)
    yield TILL, "cmd_06gzng2n5r1v", events.CheckoutUnlocked(_PAYMENT, "expired"), _bill(_ONE)
    yield _MOTHER, "remove-3", events.ItemRemoved(_ONE), _bill()
    yield _MOTHER, "budget-4", events.BudgetSet(_LIMIT), _bill()
    yield _DAUGHTER, "leave-5", events.MemberLeft(_DAUGHTER, _MOTHER), _bill()
    yield TILL, "cmd_06gzng4y9d6h", events.CartPaid(_PAYMENT, _ORDER), _bill(_ONE)


def examples() -> list[dict[str, Any]]:
    """All of them as they look on the wire."""
    shown = [msgspec.json.decode(msgspec.json.encode(frame)) for frame in _frames()]
    for seq, (by, command_id, event, bill) in enumerate(_log(), 1):
        entry = Entry(_SESSION, seq, _AT, by, command_id, b"", event, bill, _budget(bill), w=0)
        shown.append(msgspec.json.decode(frames.encode_entry(entry)))
    return shown
