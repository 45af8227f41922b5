"""From the quote to the order: what locks, what settles, what is given back."""

import asyncio
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from litestar import Litestar

from backend.payments import store as payment_store
from backend.payments.documents import PaymentDocument, WebhookEventDocument
from tests.factories import FakeClock
from tests.world import (
    Trip,
    deliver,
    gateway_event,
    guest,
    pay,
    ready_to_pay,
    refusal,
    services_of,
    settled,
    signed,
)

pytestmark = pytest.mark.usefixtures("sandbox")

Api = httpx.AsyncClient


async def status_of(trip: Trip, payment: dict[str, Any]) -> str:
    answer = await trip.shopper.get(f"/payment/{payment['payment_id']}")
    status: str = answer["status"]
    return status


class TestQuote:
    async def test_says_what_each_line_costs_and_the_tax_in_it(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api, 10_500, 999)
        quote = trip.quote
        assert [(line["total_minor"], line["tax_minor"]) for line in quote["lines"]] == [
            (10_500, 500),
            (999, 48),
        ]
        assert quote["totals"]["total_minor"] == sum(line["total_minor"] for line in quote["lines"]) == 11_499
        assert quote["taxes"] == [{"tax_rate_bp": 500, "taxable_minor": 10_951, "tax_minor": 548}]

    async def test_locks_nothing(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        await trip.add(trip.products[0])

    async def test_of_an_empty_cart_is_refused(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api, 100)
        line_id = trip.quote["lines"][0]["line_id"]
        await trip.shopper.post("/cart/remove", {"session_id": trip.session_id, "line_id": line_id})
        assert await trip.shopper.refused("/checkout/calculate", {"session_id": trip.session_id}) == (
            409,
            "cart_empty",
        )

    async def test_is_for_members(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        stranger = await guest(api)
        body = {"session_id": trip.session_id}
        assert await stranger.refused("/checkout/calculate", body) == (404, "session_not_found")
        assert await stranger.refused("/payment/initiate", trip.to_pay) == (404, "quote_not_found")


class TestInitiate:
    async def test_answers_links_for_this_phone_and_for_another(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api, 12_345)
        payment = await trip.initiate()
        uri = urlsplit(payment["upi_uri"])
        assert (uri.scheme, uri.netloc) == ("upi", "pay")
        assert "+" not in uri.query
        fields = {name: values[0] for name, values in parse_qs(uri.query).items()}
        assert fields["am"] == "123.45"
        assert fields["tr"] == payment["payment_id"]
        assert (fields["cu"], fields["mode"], fields["pa"]) == ("INR", "04", "demo-store@sandbox")
        assert "tid" not in fields
        assert payment["qr_svg"].startswith("<?xml")
        assert payment["status"] == "pending"

    async def test_locks_the_cart(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        await trip.initiate()
        add = {"session_id": trip.session_id, "barcode": trip.products[0].barcode}
        assert (await trip.session())["status"] == "locked"
        assert await trip.shopper.refused("/cart/add", add) == (409, "cart_locked")

    async def test_a_repeat_gets_the_same_payment(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        answers = await asyncio.gather(*(trip.initiate() for _ in range(10)))
        assert len({answer["payment_id"] for answer in answers}) == 1

    async def test_a_stale_quote_is_refused_and_locks_nothing(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        await trip.add(trip.products[0])
        assert await trip.shopper.refused("/payment/initiate", trip.to_pay) == (409, "quote_stale")
        await settled(app)
        assert (await trip.session())["status"] == "active"

    async def test_a_changed_signature_is_refused(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        signature = trip.quote["signature"]
        forged = {**trip.to_pay, "signature": ("A" if signature[0] != "A" else "B") + signature[1:]}
        assert await trip.shopper.refused("/payment/initiate", forged) == (409, "quote_tampered")

    async def test_an_expired_quote_is_refused(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        trip = await ready_to_pay(app, api)
        clock.advance(minutes=10)
        assert await trip.shopper.refused("/payment/initiate", trip.to_pay) == (409, "quote_expired")

    async def test_a_second_payer_waits_for_the_first(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        start = await services_of(app).carts.renew_join_link(
            await services_of(app).accounts.authenticate(trip.shopper.token), trip.session_id
        )
        other = await guest(api)
        await other.post("/session/join", {"token": start.token})
        quotes = [
            await who.post("/checkout/calculate", {"session_id": trip.session_id})
            for who in (trip.shopper, other)
        ]
        mine, theirs = ({"quote_id": q["quote_id"], "signature": q["signature"]} for q in quotes)
        await trip.shopper.post("/payment/initiate", mine)
        assert await other.refused("/payment/initiate", theirs) == (409, "cart_locked")
        await settled(app)
        assert (await trip.session())["status"] == "locked"


class TestCapture:
    async def test_makes_one_order_one_pass_and_points(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api, 50_000, 12_345)
        order_id = await pay(app, api, trip)
        order = await trip.shopper.get(f"/orders/{order_id}")
        assert order["totals"] == trip.quote["totals"]
        assert order["lines"] == trip.quote["lines"]
        assert (await trip.session())["status"] == "completed"
        assert (await trip.shopper.get("/rewards/balance"))["points"] == 6 == order["points"]
        history = await trip.shopper.get("/orders/history")
        assert [item["order_id"] for item in history["items"]] == [order_id]
        assert (await trip.shopper.post("/exit-pass/generate", {"order_id": order_id}))["status"] == "issued"

    async def test_delivered_ten_times_at_once_changes_things_once(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api, 50_000)
        event = gateway_event(await trip.initiate())
        outcomes = await asyncio.gather(*(deliver(app, api, event) for _ in range(10)))
        assert sorted(outcomes) == ["duplicate"] * 9 + ["paid"]
        assert (await trip.shopper.get("/orders/history"))["total"] == 1
        assert len((await trip.shopper.get("/rewards/balance"))["entries"]) == 1

    async def test_the_same_capture_under_another_event_is_ignored(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        assert await deliver(app, api, gateway_event(payment)) == "paid"
        assert await deliver(app, api, gateway_event(payment)) == "ignored"
        assert await deliver(app, api, gateway_event(payment, "payment.failed")) == "ignored"
        assert await status_of(trip, payment) == "captured"

    async def test_a_second_capture_is_given_back(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        await deliver(app, api, gateway_event(payment))
        outcome = await deliver(app, api, gateway_event(payment, payment_id="upi_twice"))
        assert outcome == "refund_started"
        assert (await trip.shopper.get("/orders/history"))["total"] == 1

    async def test_an_order_is_the_payers_own(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        order_id = await pay(app, api, trip)
        stranger = await guest(api)
        assert refusal(await stranger.call("GET", f"/orders/{order_id}")) == (404, "order_not_found")
        assert await stranger.refused("/exit-pass/generate", {"order_id": order_id}) == (
            404,
            "order_not_found",
        )


class TestMismatch:
    @pytest.mark.parametrize(
        "wrong", [{"amount_minor": 1}, {"currency": "USD"}, {"order_id": "ord_of_another"}]
    )
    async def test_is_never_paid_and_frees_the_cart(
        self, app: Litestar, api: Api, wrong: dict[str, Any]
    ) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        assert await deliver(app, api, gateway_event(payment, **wrong)) == "integrity_failure"
        await settled(app)
        assert await status_of(trip, payment) == "integrity_failure"
        assert (await trip.session())["status"] == "active"
        assert await deliver(app, api, gateway_event(payment)) == "ignored"
        assert await status_of(trip, payment) == "integrity_failure"
        assert (await trip.shopper.get("/orders/history"))["total"] == 0

    async def test_an_unknown_payment_is_kept_and_answered(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        event = gateway_event(await trip.initiate(), reference="pay_unknown")
        assert await deliver(app, api, event) == "unknown_payment"
        assert await WebhookEventDocument.get(f"sandbox:{event['id']}") is not None


class TestFailure:
    async def test_a_declined_payment_frees_the_cart(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        assert await deliver(app, api, gateway_event(payment, "payment.failed")) == "failed"
        await settled(app)
        assert (await trip.session())["status"] == "active"
        await trip.add(trip.products[0])

    async def test_an_expired_payment_frees_the_cart(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        clock.advance(minutes=5)
        await services_of(app).payments.expire_overdue()
        await settled(app)
        assert await status_of(trip, payment) == "expired"
        assert (await trip.session())["status"] == "active"

    async def test_a_gateway_that_is_away_frees_the_cart(
        self, app: Litestar, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trip = await ready_to_pay(app, api)
        gateway = services_of(app).payments._gateways["sandbox"]
        monkeypatch.setattr(gateway, "_http", httpx.AsyncClient(base_url="http://127.0.0.1:9", timeout=1))
        assert await trip.shopper.refused("/payment/initiate", trip.to_pay) == (503, "gateway_unavailable")
        await settled(app)
        assert (await trip.session())["status"] == "active"


class TestLateSuccess:
    async def declined(self, app: Litestar, api: Api) -> tuple[Trip, dict[str, Any]]:
        trip = await ready_to_pay(app, api)
        payment = await trip.initiate()
        await deliver(app, api, gateway_event(payment, "payment.failed"))
        await settled(app)
        return trip, payment

    async def test_is_an_order_while_the_cart_is_as_it_was(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip, payment = await self.declined(app, api)
        clock.advance(minutes=11)
        assert await deliver(app, api, gateway_event(payment)) == "late_paid"
        await settled(app)
        assert (await trip.session())["status"] == "completed"
        clock.advance(minutes=2)
        await settled(app)
        assert (await trip.session())["status"] == "completed"

    async def test_is_given_back_when_the_cart_went_on(self, app: Litestar, api: Api) -> None:
        trip, payment = await self.declined(app, api)
        await trip.add(trip.products[0])
        assert await deliver(app, api, gateway_event(payment)) == "refund_started"
        assert await status_of(trip, payment) == "refunding"
        assert (await trip.session())["status"] == "active"

    async def test_is_given_back_days_later(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        _, payment = await self.declined(app, api)
        clock.advance(days=3)
        assert await deliver(app, api, gateway_event(payment)) == "refund_started"
        row = await PaymentDocument.get(payment["payment_id"])
        assert row is not None
        assert row.status == "refunding"

    async def test_that_came_to_nothing_frees_the_cart_again(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip, payment = await self.declined(app, api)
        stored = await payment_store.find(payment["payment_id"])
        assert stored is not None
        assert await services_of(app).payments.hold_again(stored)
        assert (await trip.session())["status"] == "locked"
        clock.advance(minutes=2)
        await settled(app)
        assert (await trip.session())["status"] == "active"


class TestWebhookSignature:
    async def test_any_changed_part_is_refused(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        trip = await ready_to_pay(app, api)
        good = signed(gateway_event(await trip.initiate()), clock.now())
        body, headers = good["content"], good["headers"]
        bad: list[dict[str, Any]] = [
            {"content": body.replace(b"INR", b"INS"), "headers": headers},
            {"content": body + b" ", "headers": headers},
            *({"content": body, "headers": {**headers, name: value}} for name, value in _spoiled(headers)),
            signed(gateway_event(await trip.initiate()), clock.now(), secret="another-secret-altogether"),
            signed(gateway_event(await trip.initiate()), clock.now() - timedelta(seconds=301)),
            signed(gateway_event(await trip.initiate()), clock.now() + timedelta(seconds=301)),
        ]
        for request in bad:
            assert refusal(await api.post("/payment/webhook", **request)) == (400, "webhook_unsigned")
        assert (await trip.shopper.get("/orders/history"))["total"] == 0
        assert (await api.post("/payment/webhook", **good)).json() == {"outcome": "paid"}

    async def test_of_another_gateway_is_not_found(self, api: Api) -> None:
        assert refusal(await api.post("/payment/webhook/nobody", content=b"{}")) == (404, "gateway_not_found")


def _spoiled(headers: dict[str, str]) -> list[tuple[str, str]]:
    """Each header with its last character changed, emptied, or of another form."""
    spoiled = [
        (name, re.sub(r".$", lambda last: "0" if last[0] != "0" else "1", value))
        for name, value in headers.items()
    ]
    return [
        *spoiled,
        *((name, "") for name in headers),
        ("x-sandbox-timestamp", "1e9"),
        ("x-sandbox-signature", "00"),
    ]


async def test_a_quoted_price_is_what_is_charged(app: Litestar, api: Api) -> None:
    trip = await ready_to_pay(app, api, 1000)
    await services_of(app).catalog.put(msgspec.structs.replace(trip.products[0], price_minor=5000))
    assert (await trip.initiate())["amount_minor"] == 1000


class TestIdempotencyKey:
    async def test_of_a_payment_answers_it_as_it_was(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        headers = {"idempotency-key": "pay-once"}
        first = await trip.shopper.post("/payment/initiate", trip.to_pay, headers=headers)
        assert await deliver(app, api, gateway_event(first)) == "paid"
        assert await trip.shopper.post("/payment/initiate", trip.to_pay, headers=headers) == first
        assert await status_of(trip, first) == "captured"
        other = {"quote_id": "quo_another", "signature": trip.to_pay["signature"]}
        assert await trip.shopper.refused("/payment/initiate", other, headers=headers) == (422, "id_reused")

    async def test_of_a_pass_answers_the_same_token(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        trip = await ready_to_pay(app, api)
        order_id = await pay(app, api, trip)
        headers = {"idempotency-key": "pass-once"}
        body = {"order_id": order_id}
        first = await trip.shopper.post("/exit-pass/generate", body, headers=headers)
        clock.advance(hours=1)
        await trip.shopper.refresh()
        assert await trip.shopper.post("/exit-pass/generate", body, headers=headers) == first
        assert (await trip.shopper.post("/exit-pass/generate", body))["token"] != first["token"]

    async def test_must_be_printable(self, app: Litestar, api: Api) -> None:
        trip = await ready_to_pay(app, api)
        headers = {"idempotency-key": "a" * 65}
        refused = await trip.shopper.refused("/payment/initiate", trip.to_pay, headers=headers)
        assert refused == (400, "invalid_request")
