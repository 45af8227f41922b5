"""Without any webhook: the gateway is asked, by one process at a time, until all is settled."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from litestar import Litestar

from backend.kit import mongo
from backend.payments import Reconciler
from backend.payments import store as payment_store
from backend.payments.reconcile import AT_ONCE
from tests.factories import FakeClock
from tests.till import Json, Till, ledger_of
from tests.world import Trip, ready_to_pay, services_of, settled

pytestmark = pytest.mark.usefixtures("sandbox")

Api = httpx.AsyncClient


@pytest.fixture(autouse=True)
async def nothing_else_is_due(reconciler_at_rest: None, database: mongo.Database) -> None:
    """What other tests left open would be asked about as well."""
    await database["payments"].update_many({}, {"$set": {"next_look_at": None}})


async def status_of(trip: Trip, payment: Json) -> str:
    stored = await payment_store.find(payment["payment_id"])
    assert stored is not None
    return stored.status


async def next_look(payment: Json, clock: FakeClock) -> timedelta | None:
    """How far away the next look is."""
    stored = await payment_store.find(payment["payment_id"])
    assert stored is not None
    return stored.next_look_at - clock.now() if stored.next_look_at else None


class TestLook:
    async def test_finds_what_no_webhook_told(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock
    ) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        await till.approve(payment)
        clock.advance(seconds=9.9)
        assert await till.look() == 0
        clock.advance(seconds=0.1)
        assert await till.look() == 1
        assert await status_of(trip, payment) == "captured"
        assert (await trip.session())["status"] == "completed"

    async def test_finds_a_decline_and_an_expiry(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock
    ) -> None:
        declined, expired = await ready_to_pay(app, api), await ready_to_pay(app, api)
        payments = [await declined.initiate(), await expired.initiate()]
        await till.decline(payments[0])
        await till.expire(payments[1])
        clock.advance(seconds=10)
        assert await till.look() == 2
        assert await status_of(declined, payments[0]) == "failed"
        assert await status_of(expired, payments[1]) == "expired"
        assert (await declined.session())["status"] == (await expired.session())["status"] == "active"

    async def test_and_the_webhook_at_once_make_one_order(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock, database: mongo.Database
    ) -> None:
        for _ in range(5):
            trip = await ready_to_pay(app, api, 700)
            payment = await trip.initiate()
            captured = await till.approve(payment)
            clock.advance(seconds=10)
            outcome, _ = await asyncio.gather(till.told(payment, captured), till.look())
            assert outcome in {"paid", "ignored"}
            assert (await trip.shopper.get("/orders/history"))["total"] == 1
            assert await ledger_of(database, payment) == [700]

    async def test_of_an_order_that_the_gateway_never_had_finds_nothing(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock
    ) -> None:
        trip = await ready_to_pay(app, api)
        await till.all_faults(api="unavailable")
        assert (await trip.shopper.refused("/payment/initiate", trip.to_pay))[0] == 503
        await till.all_faults()
        clock.advance(minutes=1)
        assert await till.look() == 1


class TestSchedule:
    async def test_is_denser_the_younger_the_payment(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock
    ) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        waits = []
        for minutes in (1, 29, 24 * 60):
            clock.advance(minutes=minutes)
            assert await till.look() == 1
            waits.append(await next_look(payment, clock))
        assert waits == [
            timedelta(seconds=10),
            timedelta(seconds=90),
            timedelta(hours=24.5) / 20,
        ]

    async def test_ends_after_three_days(self, app: Litestar, api: Api, till: Till, clock: FakeClock) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        clock.advance(hours=73, seconds=1)
        assert await till.look() == 1
        assert await next_look(payment, clock) is None
        clock.advance(hours=73)
        assert await till.look() == 0

    async def test_ends_with_one_last_look_at_what_is_paid(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock, database: mongo.Database
    ) -> None:
        """The webhook of a second capture was lost."""
        trip = await ready_to_pay(app, api, 900)
        payment = await trip.initiate()
        await till.faults(payment, approval="captures_twice", refund="by_hand")
        await till.approve(payment)
        first = (await till.order(payment))["payments"][0]["payment_id"]
        assert await till.told(payment, first) == "paid"
        clock.advance(minutes=59)
        assert await till.look() == 0
        clock.advance(minutes=1)
        assert await till.look() == 1
        (refund,) = await till.refunds(payment)
        assert refund["amount_minor"] == 900
        clock.advance(seconds=10)
        assert await till.look() == 1
        await till.settle_refund(refund, "processed")
        clock.advance(seconds=10)
        assert await till.look() == 1
        assert await ledger_of(database, payment) == [900, 900, -900]
        clock.advance(seconds=10)
        assert await till.look() == 1
        assert await next_look(payment, clock) is None


class TestProcesses:
    async def test_share_the_looks(
        self, app: Litestar, api: Api, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        services = services_of(app)
        gateway = services.payments._gateways["sandbox"]
        asked: list[str] = []
        report = gateway.report

        async def counted(reference: str) -> object:
            asked.append(reference)
            return await report(reference)

        monkeypatch.setattr(gateway, "report", counted)
        for _ in range(12):
            await (await ready_to_pay(app, api)).initiate()
        clock.advance(seconds=10)
        later = FakeClock()  # no two processes look at the same moment
        later.advance(seconds=11)
        ours, theirs = (
            Reconciler(at, services.settlement, services.payments._gateways) for at in (clock, later)
        )
        await asyncio.gather(ours.look_at_due(), theirs.look_at_due(), ours.look_at_due())
        assert len(asked) == len(set(asked)) == 12

    async def test_ask_about_eight_at_once(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gateway = services_of(app).payments._gateways["sandbox"]
        report, under_way, most = gateway.report, 0, 0

        async def counted(reference: str) -> object:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.05)
            under_way -= 1
            return await report(reference)

        monkeypatch.setattr(gateway, "report", counted)
        for _ in range(12):
            await (await ready_to_pay(app, api)).initiate()
        clock.advance(seconds=10)
        assert await till.look() == 12
        assert most == AT_ONCE == 8


class TestGatewayAway:
    @pytest.mark.parametrize("fault", [{"api": "unavailable"}, {"api": "drops"}], ids=str)
    async def test_for_half_an_hour_settles_everything_within_two_minutes_of_its_return(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock, fault: dict[str, object]
    ) -> None:
        """R6. The payments were made at different times; every webhook is lost."""
        trips = [await ready_to_pay(app, api) for _ in range(6)]
        payments = []
        for trip in trips:
            payments.append(await trip.initiate())
            await till.approve(payments[-1])
            clock.advance(seconds=50)
        await till.all_faults(**fault)
        for _ in range(25):
            clock.advance(minutes=1)
            await till.look()
        assert {await status_of(*pair) for pair in zip(trips, payments, strict=True)} <= {
            "pending",
            "expired",
        }
        await till.all_faults()
        for _ in range(12):
            clock.advance(seconds=10)
            await till.look()
        assert {await status_of(*pair) for pair in zip(trips, payments, strict=True)} <= {
            "captured",
            "refunding",
            "refunded",
        }

    async def test_or_slow_does_not_hold_up_the_others(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock
    ) -> None:
        slow, quick = await ready_to_pay(app, api), await ready_to_pay(app, api)
        payments = [await slow.initiate(), await quick.initiate()]
        for payment in payments:
            await till.approve(payment)
        await till.faults(payments[0], status_delay_s=20)
        clock.advance(seconds=10)
        looking = asyncio.create_task(till.look())
        await asyncio.wait([looking], timeout=1.5)
        assert not looking.done()
        assert await status_of(quick, payments[1]) == "captured"
        assert await looking == 2
        assert await status_of(slow, payments[0]) == "pending"


async def test_a_payment_of_a_gateway_that_is_no_more_holds_up_no_other(
    app: Litestar, api: Api, till: Till, clock: FakeClock, database: mongo.Database
) -> None:
    gone, fine = await ready_to_pay(app, api), await ready_to_pay(app, api)
    payments = [await gone.initiate(), await fine.initiate()]
    await till.approve(payments[1])
    await database["payments"].update_one({"_id": payments[0]["payment_id"]}, {"$set": {"gateway": "gone"}})
    clock.advance(seconds=10)
    assert await till.look() == 2
    assert await status_of(fine, payments[1]) == "captured"
    await database["payments"].update_one(
        {"_id": payments[0]["payment_id"]}, {"$set": {"gateway": "sandbox"}}
    )


async def test_what_was_found_is_carried_out_after_a_restart(
    app: Litestar, api: Api, till: Till, clock: FakeClock, database: mongo.Database
) -> None:
    """A look that was taken by a process that died is taken again, by schedule."""
    trip = await ready_to_pay(app, api)
    payment = await trip.initiate()
    await till.approve(payment)
    clock.advance(seconds=10)
    stored = await payment_store.find(payment["payment_id"])
    assert stored is not None
    assert await payment_store.claim_look(stored, clock.now() + timedelta(seconds=10))
    assert await till.look() == 0
    clock.advance(seconds=10)
    assert await till.look() == 1
    await settled(app)
    assert await status_of(trip, payment) == "captured"
