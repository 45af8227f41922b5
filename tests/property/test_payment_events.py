"""R5: whatever a gateway tells, in whatever order and however often, ends in the same state."""

import itertools
import secrets

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar

from backend.kit import mongo
from backend.payments.rules import ENDED_UNPAID, MOVES, WAITING, PaymentStatus
from tests.money import judge_money
from tests.world import deliver, gateway_event, ready_to_pay, settled

pytestmark = pytest.mark.usefixtures("reconciler_at_rest", "sandbox")

KINDS = {
    "created": "order.created",
    "authorized": "payment.authorized",
    "expired": "order.expired",
    "failed": "payment.failed",
    "captured": "payment.captured",
}
"""In the order of what they say: the highest that was told is the state."""


def expected_of(told: tuple[str, ...]) -> str:
    highest = max(told, key=list(KINDS).index, default="created")
    return "pending" if highest == "created" else highest


def test_every_sequence_of_six_moves_to_the_highest_that_was_told() -> None:
    for length in range(7):
        for told in itertools.product(KINDS, repeat=length):
            status = PaymentStatus.PENDING
            for kind in told:
                wanted = PaymentStatus(kind)
                if status in MOVES.get(wanted, ()):
                    status = wanted
            assert status == expected_of(told), told


def test_nothing_leads_out_of_captured_but_refunds() -> None:
    leads_out = {to for to, may_come_from in MOVES.items() if PaymentStatus.CAPTURED in may_come_from}
    assert leads_out == set()
    assert not WAITING & ENDED_UNPAID


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(told=st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=6).map(tuple))
async def test_the_server_ends_there_too(
    app: Litestar, api: httpx.AsyncClient, database: mongo.Database, told: tuple[str, ...]
) -> None:
    trip = await ready_to_pay(app, api, 1_000)
    payment = await trip.initiate()
    events = {kind: gateway_event(payment, name) for kind, name in KINDS.items()}
    for event in events.values():
        if event["event"].startswith("order."):
            del event["payment"]
    for kind in told:
        again = {**events[kind], "id": f"evt_{secrets.token_hex(8)}"}
        await deliver(app, api, again)
        await settled(app)
    seen = await trip.shopper.get(f"/payment/{payment['payment_id']}")
    assert seen["status"] == expected_of(told)
    paid = "captured" in told
    assert (seen["order_id"] is not None) == paid
    assert (await trip.session())["status"] == (
        "completed" if paid else "active" if seen["status"] in {"failed", "expired"} else "locked"
    )
    assert await judge_money(database) == []
