"""One checkout, several attempts: cancelled, tried again, succeeded late; the money buys once or goes back."""

import asyncio

import httpx
import pytest
from litestar import Litestar

from backend.carts import UnlockCheckout
from backend.carts.commands import LeaveSession
from backend.kit import mongo
from backend.payments import store as payment_store
from tests.factories import FakeClock
from tests.till import Json, Till, ledger_of
from tests.world import Trip, deliver, gateway_event, guest, pay, ready_to_pay, services_of, settled

pytestmark = pytest.mark.usefixtures("reconciler_at_rest", "sandbox")

Api = httpx.AsyncClient


async def seen(trip: Trip, payment: Json) -> Json:
    """The payment as its payer sees it."""
    answer: Json = await trip.shopper.get(f"/payment/{payment['payment_id']}")
    return answer


async def status_of(trip: Trip, payment: Json) -> str:
    return str((await seen(trip, payment))["status"])


async def declined(app: Litestar, api: Api) -> tuple[Trip, Json]:
    trip = await ready_to_pay(app, api)
    payment = await trip.initiate()
    assert await deliver(app, api, gateway_event(payment, "payment.failed")) == "failed"
    return trip, payment


async def gateway_refuses(payment: Json) -> str:
    """What the UPI app says when it is too late."""
    async with httpx.AsyncClient() as phone:
        response = await phone.post(payment["pay_url"] + "/approve")
    return str(response.json()["code"])


class TestCancel:
    async def test_gives_the_cart_back_with_the_answer(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        path = f"/payment/{payment['payment_id']}/cancel"
        answer = await trip.shopper.post(path)
        assert (answer["status"], answer["upi_uri"], answer["qr_svg"]) == ("cancelled", "", "")
        await trip.add(trip.products[0])
        assert (await trip.shopper.post(path))["status"] == "cancelled"
        await settled(app)
        assert (await trip.session())["status"] == "active"

    async def test_has_the_gateway_take_no_money(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        await trip.shopper.post(f"/payment/{payment['payment_id']}/cancel")
        await settled(app)
        assert await gateway_refuses(payment) == "order_closed"

    async def test_is_the_payers(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        stranger = await guest(api)
        path = f"/payment/{payment['payment_id']}/cancel"
        assert await stranger.refused(path) == (404, "payment_not_found")
        assert await status_of(trip, payment) == "pending"

    @pytest.mark.parametrize("kind", ["payment.captured", "payment.authorized"])
    async def test_comes_too_late_for_money_on_its_way(self, app: Litestar, api: Api, kind: str) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        await deliver(app, api, gateway_event(payment, kind))
        path = f"/payment/{payment['payment_id']}/cancel"
        assert await trip.shopper.refused(path) == (409, "payment_not_cancellable")
        assert (await trip.session())["status"] != "active"

    async def test_and_a_capture_at_once_end_in_an_order(self, app: Litestar, api: Api) -> None:
        """Whichever is first: money that came in buys the cart, which is as it was."""
        for _ in range(5):
            trip = await ready_to_pay(app, api)
            payment = await trip.initiate()
            cancel = trip.shopper.call("POST", f"/payment/{payment['payment_id']}/cancel")
            await asyncio.gather(cancel, deliver(app, api, gateway_event(payment)))
            await settled(app)
            assert await status_of(trip, payment) == "captured"
            assert (await trip.session())["status"] == "completed"


class TestAnotherAttempt:
    async def test_pays_the_same_quote(self, app: Litestar, api: Api) -> None:
        trip, first = await declined(app, api)
        second = await trip.initiate()
        assert second["payment_id"] != first["payment_id"]
        assert second["amount_minor"] == first["amount_minor"]
        assert await deliver(app, api, gateway_event(second)) == "paid"
        await settled(app)
        order = await trip.shopper.get(f"/orders/{(await seen(trip, second))['order_id']}")
        assert order["lines"] == trip.quote["lines"]
        assert (await trip.session())["status"] == "completed"
        assert await status_of(trip, first) == "failed"

    async def test_does_not_wait_for_the_first_to_be_cleared_up(
        self, app: Litestar, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def never(*_: object) -> bool:
            await asyncio.sleep(0.01)
            return False

        monkeypatch.setattr(type(services_of(app).outbox), "work_one", never)
        trip, _ = await declined(app, api)
        assert (await trip.session())["status"] == "locked"
        assert (await trip.initiate())["status"] == "pending"
        monkeypatch.undo()
        await settled(app)
        assert (await trip.session())["status"] == "locked"

    async def test_of_ten_at_once_is_one(self, app: Litestar, api: Api) -> None:
        trip, first = await declined(app, api)
        answers = await asyncio.gather(
            *(trip.shopper.call("POST", "/payment/initiate", json=trip.to_pay) for _ in range(10))
        )
        made = {answer.json()["payment_id"] for answer in answers if answer.status_code == 201}
        assert len(made) == 1
        assert first["payment_id"] not in made
        assert {answer.json()["code"] for answer in answers if answer.status_code != 201} <= {"cart_locked"}

    async def test_of_a_cart_that_went_on_is_refused(self, app: Litestar, api: Api) -> None:
        trip, _ = await declined(app, api)
        await settled(app)
        await trip.add(trip.products[0])
        assert await trip.shopper.refused("/payment/initiate", trip.to_pay) == (409, "quote_stale")
        assert (await trip.session())["status"] == "active"

    async def test_may_follow_what_changes_no_line(self, app: Litestar, api: Api) -> None:
        """The quote is as true as before."""
        trip, _ = await declined(app, api)
        await settled(app)
        services = services_of(app)
        principal = await services.accounts.authenticate(trip.shopper.token)
        await services.carts.renew_join_link(principal, trip.session_id)
        assert (await trip.initiate())["status"] == "pending"

    async def test_of_a_paid_quote_answers_its_payment(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        order_id = await pay(app, api, trip)
        again = await trip.initiate()
        assert (again["status"], again["order_id"]) == ("captured", order_id)


class TestLateSuccess:
    async def test_of_the_first_ends_the_second(self, app: Litestar, api: Api, till: Till) -> None:
        """The shopper has paid, and is not asked to pay again."""
        trip, first = await declined(app, api)
        second = await trip.initiate()
        assert await deliver(app, api, gateway_event(first)) == "late_paid"
        await settled(app)
        assert (await trip.session())["status"] == "completed"
        assert await status_of(trip, second) == "cancelled"
        assert await gateway_refuses(second) == "order_closed"

    async def test_of_both_buys_once(
        self, app: Litestar, api: Api, till: Till, database: mongo.Database
    ) -> None:
        trip, first = await declined(app, api)
        second = await trip.initiate()
        outcomes = await asyncio.gather(
            deliver(app, api, gateway_event(first)), deliver(app, api, gateway_event(second))
        )
        await settled(app)
        assert sorted(outcomes) in (["late_paid", "refund_started"], ["paid", "refund_started"])
        assert (await trip.shopper.get("/orders/history"))["total"] == 1
        assert (await trip.session())["status"] == "completed"

    async def test_survives_what_was_to_undo_the_first_lock(self, app: Litestar, api: Api) -> None:
        """An unlocking that is carried out late, as its process died, must not open a cart that is being paid for."""
        trip, payment = await declined(app, api)
        await settled(app)
        before = await payment_store.find(payment["payment_id"])
        assert before is not None
        services = services_of(app)
        assert await services.payments.hold_again(before)
        old = UnlockCheckout(before.payment_id, before.lock_seq - 1, "expired")
        await services.carts.till(trip.session_id, old)
        await services.payments.unlock_cart(
            {"payment_id": before.payment_id, "lock_seq": before.lock_seq, "reason": "expired"}
        )
        assert (await trip.session())["status"] == "locked"

    async def test_is_not_disturbed_by_another_try(self, app: Litestar, api: Api) -> None:
        trip, payment = await declined(app, api)
        await settled(app)
        stored = await payment_store.find(payment["payment_id"])
        assert stored is not None
        assert await services_of(app).payments.hold_again(stored)
        assert await trip.shopper.refused("/payment/initiate", trip.to_pay) == (409, "cart_locked")
        assert await deliver(app, api, gateway_event(payment)) == "late_paid"

    async def test_of_somebody_who_left_the_cart_is_given_back(
        self, app: Litestar, api: Api, till: Till, database: mongo.Database
    ) -> None:
        trip = await ready_to_pay(app, api)
        services = services_of(app)
        host = await services.accounts.authenticate(trip.shopper.token)
        link = await services.carts.renew_join_link(host, trip.session_id)
        other = await guest(api)
        await other.post("/session/join", {"token": link.token})
        quote = await other.post("/checkout/calculate", {"session_id": trip.session_id})
        theirs = {"quote_id": quote["quote_id"], "signature": quote["signature"]}
        payment = await other.post("/payment/initiate", theirs)
        await other.post(f"/payment/{payment['payment_id']}/cancel")
        await services.carts.command(other.user_id, trip.session_id, "bye", LeaveSession())
        assert await deliver(app, api, gateway_event(payment)) == "refund_started"
        assert await ledger_of(database, payment) == [payment["amount_minor"]]

    @pytest.mark.parametrize("late", [{"minutes": 11}, {"hours": 24}, {"days": 3}], ids=str)
    async def test_ends_in_a_pass_or_a_refund(
        self, app: Litestar, api: Api, till: Till, clock: FakeClock, late: dict[str, float]
    ) -> None:
        """The webhook is lost, and the shopper's bank says yes after the payment's time."""
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        await till.faults(payment, accept_late=True)
        clock.advance(minutes=5)
        await services_of(app).payments.expire_overdue()
        await settled(app)
        await till.approve(payment)
        clock.advance(**late)
        await till.look()
        await trip.shopper.refresh()
        after = await seen(trip, payment)
        if "minutes" in late:
            assert (after["status"], bool(after["order_id"])) == ("captured", True)
            await trip.shopper.post("/exit-pass/generate", {"order_id": after["order_id"]})
            return
        assert (after["status"], after["order_id"]) == ("refunding", None)
        (refund,) = await till.refunds(payment)
        assert (refund["status"], refund["amount_minor"]) == ("processed", payment["amount_minor"])
        clock.advance(seconds=10)
        await till.look()
        assert await status_of(trip, payment) == "refunded"


async def test_an_order_at_the_gateway_whose_answer_was_lost_is_closed(
    app: Litestar, api: Api, till: Till, sandbox: str
) -> None:
    trip = await ready_to_pay(app, api)
    await till.all_faults(create_answer_lost=True)
    assert await trip.shopper.refused("/payment/initiate", trip.to_pay) == (503, "gateway_unavailable")
    await till.all_faults()
    lost = await payment_store.latest_attempt(trip.quote["quote_id"], trip.shopper.user_id)
    assert lost is not None
    assert lost.order_ref is None
    await settled(app)
    assert (await till.order_under(lost.payment_id))["status"] == "closed"
    assert (await trip.initiate())["status"] == "pending"
