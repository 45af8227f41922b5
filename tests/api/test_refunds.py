"""Money back, against the real simulator: in part and whole, once, within what came in, and what else goes with it."""

import asyncio
from typing import Any

import httpx
import pytest
from litestar import Litestar

from backend.accounts import Role
from backend.kit import mongo
from tests.factories import FakeClock
from tests.till import Json, Till, ledger_of
from tests.world import Person, Trip, guest, open_store, ready_to_pay, services_of, settled, staff_member

pytestmark = pytest.mark.usefixtures("reconciler_at_rest", "sandbox")

Api = httpx.AsyncClient
_keys = (f"key-{n}" for n in range(10**6))


async def ask(who: Person, payment: Json, key: str | None = None, **body: Any) -> httpx.Response:
    """Ask for a refund, under a new key unless one is given."""
    headers = {"idempotency-key": key or next(_keys)}
    path = f"/payment/refund/{payment['payment_id']}"
    return await who.call("POST", path, json={"reason": "Broken", **body}, headers=headers)


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


class Paid:
    """A paid trip of 1,000 rupees, and a supervisor of its store."""

    def __init__(self, trip: Trip, payment: Json, supervisor: Person) -> None:
        self.trip = trip
        self.payment = payment
        self.supervisor = supervisor

    async def now(self) -> Json:
        """The payment as its payer sees it."""
        seen: Json = await self.trip.shopper.get(f"/payment/{self.payment['payment_id']}")
        return seen

    async def status(self) -> str:
        return str((await self.now())["status"])

    async def order(self) -> Json:
        order: Json = await self.trip.shopper.get(f"/orders/{(await self.now())['order_id']}")
        return order

    async def points(self) -> int:
        return int((await self.trip.shopper.get("/rewards/balance"))["points"])


@pytest.fixture
async def paid(app: Litestar, api: Api, till: Till) -> Paid:
    trip = await ready_to_pay(app, api, 100_000)
    payment = await till.pay(trip)
    supervisor = await staff_member(services_of(app), api, trip.store.store_id, Role.SUPERVISOR)
    return Paid(trip, payment, supervisor)


class TestParts:
    async def test_add_up_to_the_whole(
        self, app: Litestar, paid: Paid, till: Till, database: mongo.Database
    ) -> None:
        first = await ask(paid.supervisor, paid.payment, amount_minor=30_000)
        assert first.status_code == 201, first.text
        assert (first.json()["status"], first.json()["amount_minor"]) == ("requested", 30_000)
        assert await paid.status() == "refunding"
        await settled(app)
        (at_gateway,) = await till.refunds(paid.payment)
        assert at_gateway["reference"] == first.json()["refund_id"]
        assert await till.told_of_refund(paid.payment, at_gateway, "refund.processed") == "refunded"
        assert await paid.status() == "partially_refunded"
        assert (await paid.order())["status"] == "partially_refunded"
        assert await paid.points() == 7

        rest = await ask(paid.supervisor, paid.payment)
        assert rest.json()["amount_minor"] == 70_000
        await settled(app)
        at_gateway = (await till.refunds(paid.payment))[1]
        assert await till.told_of_refund(paid.payment, at_gateway, "refund.processed") == "refunded"
        seen = await paid.now()
        assert (seen["status"], seen["refunded_minor"]) == ("refunded", 100_000)
        assert [refund["status"] for refund in seen["refunds"]] == ["processed", "processed"]
        order = await paid.order()
        assert [step["status"] for step in order["history"]] == ["paid", "partially_refunded", "refunded"]
        assert order["refunded_minor"] == order["totals"]["total_minor"] == 100_000
        assert await paid.points() == 0
        assert await ledger_of(database, paid.payment) == [100_000, -30_000, -70_000]

    async def test_never_exceed_what_is_left(self, paid: Paid) -> None:
        assert (await ask(paid.supervisor, paid.payment, amount_minor=70_000)).status_code == 201
        too_much = await ask(paid.supervisor, paid.payment, amount_minor=30_001)
        assert code(too_much) == (409, "refund_exceeds_payment")
        assert (await ask(paid.supervisor, paid.payment, amount_minor=30_000)).status_code == 201
        assert code(await ask(paid.supervisor, paid.payment)) == (409, "refund_exceeds_payment")

    async def test_asked_at_once_never_exceed_it_either(self, app: Litestar, paid: Paid, till: Till) -> None:
        answers = await asyncio.gather(
            *(ask(paid.supervisor, paid.payment, amount_minor=30_000) for _ in range(10))
        )
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 7
        await settled(app)
        assert [refund["amount_minor"] for refund in await till.refunds(paid.payment)] == [30_000] * 3


class TestWhole:
    async def test_revokes_a_pass_that_was_not_used(self, paid: Paid) -> None:
        order_id = (await paid.now())["order_id"]
        await ask(paid.supervisor, paid.payment, amount_minor=1)
        await paid.trip.shopper.post("/exit-pass/generate", {"order_id": order_id})
        await ask(paid.supervisor, paid.payment)
        assert await paid.trip.shopper.refused("/exit-pass/generate", {"order_id": order_id}) == (
            409,
            "pass_revoked",
        )

    async def test_takes_goods_back_that_have_left(self, app: Litestar, api: Api, paid: Paid) -> None:
        order_id = (await paid.now())["order_id"]
        issued = await paid.trip.shopper.post("/exit-pass/generate", {"order_id": order_id})
        store_id = paid.trip.store.store_id
        guard = await staff_member(services_of(app), api, store_id, Role.GATE)
        scan = {"store_id": store_id, "gate_id": "gate-1", "token": issued["token"], "nonce": "n" * 16}
        assert (await guard.post("/gate/verify", scan))["verdict"] == "open"
        assert (await ask(paid.supervisor, paid.payment)).status_code == 201


class TestEnd:
    async def test_that_failed_may_be_asked_again(
        self, app: Litestar, paid: Paid, till: Till, database: mongo.Database
    ) -> None:
        await till.faults(paid.payment, refund="failed")
        await ask(paid.supervisor, paid.payment)
        await settled(app)
        (failed,) = await till.refunds(paid.payment)
        assert await till.told_of_refund(paid.payment, failed, "refund.failed") == "refund_failed"
        assert await paid.status() == "captured"
        assert (await paid.now())["refunds"][0]["status"] == "failed"
        assert await till.told_of_refund(paid.payment, failed, "refund.failed") == "ignored"

        await till.faults(paid.payment)
        assert (await ask(paid.supervisor, paid.payment)).status_code == 201
        await settled(app)
        done = (await till.refunds(paid.payment))[1]
        assert await till.told_of_refund(paid.payment, done, "refund.processed") == "refunded"
        assert await paid.status() == "refunded"
        assert await ledger_of(database, paid.payment) == [100_000, -100_000]

    async def test_that_left_after_it_was_told_to_have_failed_is_counted(
        self, app: Litestar, paid: Paid, till: Till, database: mongo.Database
    ) -> None:
        await ask(paid.supervisor, paid.payment, amount_minor=400)
        await settled(app)
        (refund,) = await till.refunds(paid.payment)
        assert await till.told_of_refund(paid.payment, refund, "refund.failed") == "refund_failed"
        assert await till.told_of_refund(paid.payment, refund, "refund.processed") == "refunded"
        seen = await paid.now()
        assert (seen["status"], seen["refunded_minor"]) == ("partially_refunded", 400)
        assert await ledger_of(database, paid.payment) == [100_000, -400]

    async def test_is_found_by_the_reconciler(
        self, app: Litestar, paid: Paid, till: Till, clock: FakeClock
    ) -> None:
        await till.faults(paid.payment, refund="by_hand")
        await ask(paid.supervisor, paid.payment)
        await settled(app)
        assert (await paid.now())["refunds"][0]["status"] == "pending"
        (refund,) = await till.refunds(paid.payment)
        await till.settle_refund(refund, "processed")
        clock.advance(seconds=10)
        await till.look()
        assert await paid.status() == "refunded"

    async def test_of_what_the_gateway_refuses_is_a_failure(
        self, app: Litestar, api: Api, till: Till, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It knows no such capture: the event was made here."""
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        assert await till.told(payment, "pay_nobody_knows") == "paid"
        await settled(app)
        boss = await staff_member(services_of(app), api, trip.store.store_id, Role.MANAGER)
        assert (await ask(boss, payment)).status_code == 201
        await settled(app)
        seen = await trip.shopper.get(f"/payment/{payment['payment_id']}")
        assert (seen["status"], seen["refunds"][0]["status"]) == ("captured", "failed")
        assert "refund failed" in caplog.text

    async def test_waits_for_a_gateway_that_is_away(
        self, app: Litestar, paid: Paid, till: Till, clock: FakeClock
    ) -> None:
        await till.faults(paid.payment, api="unavailable")
        await ask(paid.supervisor, paid.payment)
        await settled(app)
        assert (await paid.now())["refunds"][0]["status"] == "requested"
        await till.faults(paid.payment)
        clock.advance(minutes=1)
        await settled(app)
        assert (await paid.now())["refunds"][0]["status"] == "pending"

    @pytest.mark.parametrize(
        "wrong",
        [{"amount_minor": 1}, {"currency": "USD"}, {"reference": "rfd_of_nobody"}, {"payment_id": "p"}],
    )
    async def test_of_another_refund_changes_nothing(
        self, app: Litestar, paid: Paid, till: Till, wrong: Json, caplog: pytest.LogCaptureFixture
    ) -> None:
        await ask(paid.supervisor, paid.payment, amount_minor=500)
        await settled(app)
        (refund,) = await till.refunds(paid.payment)
        assert await till.told_of_refund(paid.payment, refund, "refund.processed", **wrong) == (
            "integrity_failure"
        )
        assert await paid.status() == "refunding"
        assert "refund does not match" in caplog.text

    async def test_of_a_late_success_that_failed_waits_for_a_person(
        self, app: Litestar, api: Api, till: Till, database: mongo.Database
    ) -> None:
        """The money bought nothing and is still here."""
        trip = await ready_to_pay(app, api, 2_000)
        payment = await trip.initiate()
        await till.faults(payment, accept_late=True, refund="failed")
        await trip.shopper.post(f"/payment/{payment['payment_id']}/cancel")
        await trip.add(trip.products[0])
        captured = await till.approve(payment)
        assert await till.told(payment, captured) == "refund_started"
        await settled(app)
        (refund,) = await till.refunds(payment)
        assert await till.told_of_refund(payment, refund, "refund.failed") == "refund_failed"
        path = f"/payment/{payment['payment_id']}"
        assert (await trip.shopper.get(path))["status"] == "integrity_failure"
        await till.faults(payment)
        boss = await staff_member(services_of(app), api, trip.store.store_id, Role.MANAGER)
        assert (await ask(boss, payment)).status_code == 201
        await settled(app)
        refund = (await till.refunds(payment))[1]
        assert await till.told_of_refund(payment, refund, "refund.processed") == "refunded"
        assert (await trip.shopper.get(path))["status"] == "refunded"
        assert await ledger_of(database, payment) == [2_000, -2_000]


class TestSecondCapture:
    async def test_goes_back_once_and_leaves_the_payment_alone(
        self, app: Litestar, api: Api, till: Till, database: mongo.Database
    ) -> None:
        trip = await ready_to_pay(app, api, 5_000)
        payment = await trip.initiate()
        await till.faults(payment, approval="captures_twice")
        await till.approve(payment)
        first, second = (made["payment_id"] for made in (await till.order(payment))["payments"])
        assert await till.told(payment, first) == "paid"
        outcomes = await asyncio.gather(*(till.told(payment, second) for _ in range(5)))
        assert sorted(outcomes) == ["ignored"] * 4 + ["refund_started"]
        await settled(app)
        (refund,) = await till.refunds(payment)
        assert (refund["payment_id"], refund["amount_minor"]) == (second, 5_000)
        assert await till.told_of_refund(payment, refund, "refund.processed") == "refunded"
        seen = await trip.shopper.get(f"/payment/{payment['payment_id']}")
        assert (seen["status"], seen["refunded_minor"]) == ("captured", 0)
        assert [(each["cause"], each["status"]) for each in seen["refunds"]] == [
            ("second_capture", "processed")
        ]
        assert await ledger_of(database, payment) == [5_000, 5_000, -5_000]


class TestMismatch:
    async def test_is_refunded_by_the_shop(
        self, app: Litestar, api: Api, till: Till, database: mongo.Database
    ) -> None:
        trip = await ready_to_pay(app, api, 5_000)
        payment = await trip.initiate()
        captured = await till.approve(payment)
        assert await till.told(payment, captured, amount_minor=4_000) == "integrity_failure"
        boss = await staff_member(services_of(app), api, trip.store.store_id, Role.MANAGER)
        assert (await ask(boss, payment)).json()["amount_minor"] == 4_000
        await settled(app)
        (refund,) = await till.refunds(payment)
        assert await till.told_of_refund(payment, refund, "refund.processed") == "refunded"
        assert (await trip.shopper.get(f"/payment/{payment['payment_id']}"))["status"] == "refunded"
        assert await ledger_of(database, payment) == [4_000, -4_000]


class TestWhoMay:
    async def test_supervisors_of_the_store(self, app: Litestar, api: Api, paid: Paid) -> None:
        services = services_of(app)
        store_id = paid.trip.store.store_id
        elsewhere = (await open_store(services)).store_id
        cashier = await staff_member(services, api, store_id, Role.CASHIER)
        stranger = await staff_member(services, api, elsewhere, Role.MANAGER)
        assert code(await ask(cashier, paid.payment)) == (403, "forbidden")
        assert code(await ask(stranger, paid.payment)) == (404, "payment_not_found")
        assert code(await ask(paid.trip.shopper, paid.payment)) == (403, "forbidden")
        assert code(await ask(paid.supervisor, {"payment_id": "pay_none"})) == (404, "payment_not_found")
        assert (await paid.supervisor.get(f"/payment/{paid.payment['payment_id']}"))["refunds"] == []

    async def test_of_an_unpaid_payment_nothing(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        boss = await staff_member(services_of(app), api, trip.store.store_id, Role.MANAGER)
        assert code(await ask(boss, payment)) == (409, "refund_exceeds_payment")

    @pytest.mark.parametrize(
        "body",
        [
            {"amount_minor": 0},
            {"amount_minor": -1},
            {"amount_minor": 1.5},
            {"amount_minor": "5"},
            {"reason": ""},
            {"reason": "a\nb"},
            {"status": "processed"},
        ],
    )
    async def test_bad_input_changes_nothing(self, paid: Paid, body: Json) -> None:
        assert code(await ask(paid.supervisor, paid.payment, **body)) == (400, "invalid_field")
        assert await paid.status() == "captured"


class TestIdempotencyKey:
    async def test_is_required(self, paid: Paid) -> None:
        path = f"/payment/refund/{paid.payment['payment_id']}"
        response = await paid.supervisor.call("POST", path, json={"reason": "Broken"})
        assert code(response) == (400, "invalid_request")
        (fault,) = response.json()["errors"]
        assert (fault["field"], fault["message"]) == ("Idempotency-Key", "This header is required.")

    async def test_twenty_at_once_are_one_refund(self, app: Litestar, paid: Paid, till: Till) -> None:
        answers = await asyncio.gather(
            *(ask(paid.supervisor, paid.payment, "the-key", amount_minor=100) for _ in range(20))
        )
        made = [answer.json() for answer in answers if answer.status_code == 201]
        in_flight = [code(answer) for answer in answers if answer.status_code != 201]
        assert made
        assert set(in_flight) <= {(409, "in_progress")}
        again = await ask(paid.supervisor, paid.payment, "the-key", amount_minor=100)
        assert all(answer == again.json() for answer in made)
        await settled(app)
        assert len(await till.refunds(paid.payment)) == 1

    async def test_with_another_body_is_refused(self, app: Litestar, api: Api, paid: Paid) -> None:
        await ask(paid.supervisor, paid.payment, "the-key-2", amount_minor=100)
        other = await ask(paid.supervisor, paid.payment, "the-key-2", amount_minor=101)
        assert code(other) == (422, "id_reused")
        elsewhere = await ask(paid.supervisor, {"payment_id": "pay_2"}, "the-key-2", amount_minor=100)
        assert code(elsewhere) == (422, "id_reused")

    async def test_is_the_callers_own(self, app: Litestar, api: Api, paid: Paid) -> None:
        boss = await staff_member(services_of(app), api, paid.trip.store.store_id, Role.MANAGER)
        assert (await ask(paid.supervisor, paid.payment, "ours", amount_minor=100)).status_code == 201
        assert (await ask(boss, paid.payment, "ours", amount_minor=200)).json()["amount_minor"] == 200

    async def test_of_a_process_that_died_before_it_answered_makes_no_second_refund(
        self, app: Litestar, paid: Paid, database: mongo.Database, clock: FakeClock, till: Till
    ) -> None:
        first = await ask(paid.supervisor, paid.payment, "died", amount_minor=100)
        await database["idempotency_keys"].update_many({}, {"$set": {"answer": None}})
        assert code(await ask(paid.supervisor, paid.payment, "died", amount_minor=100)) == (
            409,
            "in_progress",
        )
        clock.advance(seconds=31)
        await paid.supervisor.refresh()
        second = await ask(paid.supervisor, paid.payment, "died", amount_minor=100)
        assert second.json()["refund_id"] == first.json()["refund_id"]
        await settled(app)
        assert len(await till.refunds(paid.payment)) == 1

    async def test_a_refusal_frees_it(self, app: Litestar, paid: Paid) -> None:
        too_much = await ask(paid.supervisor, paid.payment, "freed", amount_minor=100_001)
        assert code(too_much) == (409, "refund_exceeds_payment")
        assert (await ask(paid.supervisor, paid.payment, "freed", amount_minor=1)).status_code == 201


async def test_a_stranger_sees_no_payment(api: Api, paid: Paid) -> None:
    stranger = await guest(api)
    response = await stranger.call("GET", f"/payment/{paid.payment['payment_id']}")
    assert code(response) == (404, "payment_not_found")
