"""One of each frame and of each event, as the socket's description shows them.

They are made by the types that make the real ones: a mother starts a session at the demo store, her daughter scans
with her, and a little brother whose scans wait. A test misses whatever frame or event has no example here.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from backend.carts import events, frames
from backend.carts.budget import measure
from backend.carts.commands import TILL
from backend.carts.events import AnyEvent, Entry
from backend.carts.frames import FromClient, ToClient
from backend.carts.schemas import SessionOut
from backend.carts.state import Budget, BudgetRule, BudgetStatus, CartStatus, Line, Member, MemberRole
from backend.kit.money import Totals
from backend.live.frames import text_of

_MOTHER, _DAUGHTER = "usr_06gznf5b2q8m4t7w0x3z", "usr_06gznf6e9r1k5v8y2a4c"
_BROTHER = "usr_06gznf7h3t6m0q9x5b8e"
_SESSION, _STORE = "ses_06gznf69d7p1h8psm4pr", "store_demo_blr"
_PAYMENT, _QUOTE = "pay_06gzng1s4t7w0x3z6b9d", "quo_06gzng0h2k5m8p1q4r7t"
_ORDER = "ord_06gzng3w7x0y3z6a9b2c"
_LIMIT = 100_000
_AT = datetime(2026, 1, 10, 9, 30, tzinfo=UTC)

_HOST = Member(_MOTHER, "Mother", MemberRole.HOST, _AT)
_MEMBER = Member(_DAUGHTER, "Daughter", MemberRole.ADULT, _AT)
_CHILD = Member(_BROTHER, "Brother", MemberRole.CHILD, _AT)
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
    category="beverages",
)
_ONE = msgspec.structs.replace(_TWO, qty=1, total_minor=24_500, tax_minor=1_167)
_WISH = msgspec.structs.replace(_ONE, line_id="l5", added_by=_BROTHER, waiting=True)
_GRANTED = msgspec.structs.replace(_WISH, waiting=False)
_CATEGORY = Budget(limit_minor=30_000, spent_minor=24_500, remaining_minor=5_500, status=BudgetStatus.WARNING)
_ALLOWANCE = Budget(limit_minor=20_000, spent_minor=0, remaining_minor=20_000, status=BudgetStatus.SAFE)


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
    yield frames.ApproveFrame(id="approve-4", line_id="l5")
    yield frames.DeclineFrame(id="decline-5", line_id="l5")
    yield frames.UndoFrame(id="undo-6")
    yield frames.SetBudgetFrame(id="budget-7", limit_minor=20_000, member=_BROTHER)
    yield frames.SetRoleFrame(id="role-8", member=_BROTHER, role="child")
    yield frames.RemoveMemberFrame(id="removal-9", member=_BROTHER)
    yield frames.HandOverFrame(id="host-10", member=_DAUGHTER)
    yield frames.Leave(id="leave-11")
    yield frames.Ping()
    yield frames.Snapshot(
        seq=3,
        session=SessionOut(
            session_id=_SESSION,
            store_id=_STORE,
            status=CartStatus.ACTIVE,
            seq=3,
            host_user_id=_MOTHER,
            participants=[_HOST, _MEMBER, _CHILD],
            items=[_TWO],
            totals=_bill(_TWO),
            budget=_budget(_bill(_TWO)),
            allowances={_BROTHER: _ALLOWANCE},
            category_budgets={},
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


class _Told(NamedTuple):
    """Who did it, by which command, what it was, the bill and the budgets after it."""

    by: str
    command_id: str
    event: AnyEvent
    bill: Totals
    allowances: Mapping[str, Budget | None] = {}
    category_budgets: Mapping[str, Budget | None] = {}


def _log() -> Iterator[_Told]:
    """Every event, and again where it may carry more."""
    both = {_BROTHER: _ALLOWANCE}, {"beverages": _CATEGORY}
    yield _Told(
        _MOTHER,
        "cmd_06gznf69dbx2",
        events.SessionStarted(_STORE, "IN", BudgetRule(), _HOST, _LIMIT),
        _bill(),
    )
    yield _Told(_DAUGHTER, "cmd_06gznf6f0k3t", events.MemberJoined(_MEMBER), _bill())
    yield _Told(_DAUGHTER, "scan-1", events.ItemAdded(_TWO), _bill(_TWO))
    yield _Told(_MOTHER, "set-2", events.QuantitySet(_ONE), _bill(_ONE))
    yield _Told(_MOTHER, "role-8", events.RoleSet(_CHILD), _bill(_ONE))
    yield _Told(_MOTHER, "approve-4", events.ItemApproved(_GRANTED), _bill(_ONE, _GRANTED))
    yield _Told(_MOTHER, "decline-5", events.ItemDeclined(_WISH), _bill(_ONE))
    yield _Told(_MOTHER, "budget-12", events.BudgetSet(_LIMIT), _bill(_ONE))
    yield _Told(_MOTHER, "budget-7", events.BudgetSet(20_000, member=_BROTHER), _bill(_ONE), both[0])
    yield _Told(
        _MOTHER, "budget-13", events.BudgetSet(30_000, category="beverages"), _bill(_ONE), {}, both[1]
    )
    yield _Told(_BROTHER, "scan-14", events.ItemAdded(_GRANTED), _bill(_ONE, _GRANTED), *both)
    yield _Told(_BROTHER, "undo-15", events.ItemRemoved(_GRANTED, undoes=11), _bill(_ONE), *both)
    yield _Told(_BROTHER, "remove-16", events.ItemRemoved(_GRANTED), _bill(_ONE), *both)
    yield _Told(_BROTHER, "undo-17", events.ItemAdded(_GRANTED, undoes=13), _bill(_ONE), *both)
    yield _Told(_MOTHER, "undo-18", events.QuantitySet(_WISH, undoes=6), _bill(_ONE), *both)
    yield _Told(_MOTHER, "approve-19", events.ItemApproved(_GRANTED), _bill(_ONE, _GRANTED), *both)
    yield _Told(_MOTHER, "remove-20", events.ItemRemoved(_GRANTED), _bill(_ONE))
    yield _Told(_MOTHER, "removal-9", events.MemberRemoved(_BROTHER, 2), _bill(_ONE))
    yield _Told(_MOTHER, "cmd_06gznf8k5x2v", events.JoinLinkRenewed(3), _bill(_ONE))
    yield _Told(_MOTHER, "host-10", events.HostHandedOver(_DAUGHTER), _bill(_ONE))
    yield _Told(TILL, "cmd_06gznf9m8b4y", events.SessionAbandoned(), _bill(_ONE))
    yield _Told(_DAUGHTER, "cmd_06gzng0p1e7b", events.SessionRestored(), _bill(_ONE))
    yield _Told(TILL, "cmd_06gzng1t2m8c", events.CheckoutLocked(_QUOTE, _PAYMENT, _MOTHER, 5), _bill(_ONE))
    yield _Told(TILL, "cmd_06gzng2n5r1v", events.CheckoutUnlocked(_PAYMENT, "expired"), _bill(_ONE))
    yield _Told(_MOTHER, "leave-11", events.MemberLeft(_MOTHER, _DAUGHTER), _bill(_ONE))
    yield _Told(_DAUGHTER, "leave-21", events.MemberLeft(_DAUGHTER, None), _bill(_ONE))
    yield _Told(TILL, "cmd_06gzng4y9d6h", events.CartPaid(_PAYMENT, _ORDER), _bill(_ONE))


def examples() -> list[dict[str, Any]]:
    """All of them as they look on the wire."""
    shown = [msgspec.json.decode(msgspec.json.encode(frame)) for frame in _frames()]
    for seq, told in enumerate(_log(), 1):
        entry = Entry(
            session_id=_SESSION,
            seq=seq,
            at=_AT,
            digest=b"",
            budget=_budget(told.bill),
            w=0,
            v=events.SCHEMA_VERSION,
            by=told.by,
            command_id=told.command_id,
            event=told.event,
            totals=told.bill,
            allowances=told.allowances,
            category_budgets=told.category_budgets,
        )
        shown.append(msgspec.json.decode(text_of(frames.encode_entry(entry))))
    return shown
