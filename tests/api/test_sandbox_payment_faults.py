"""The sandbox gateway's payments and API going wrong on request, and its orders' ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.sandbox_shop import (
    Shop,
    assert_problem,
    assert_signed,
    captured,
    make_closed,
    make_expired,
    make_order,
    make_paid,
    order_of,
    place,
    refund,
    serve_gateway,
    status_of,
)


@pytest.fixture
async def gateway(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with serve_gateway(shop) as client:
        yield client


async def break_it(gateway: httpx.AsyncClient, order_id: str = "", **faults: Any) -> None:
    path = f"/v1/orders/{order_id}/faults" if order_id else "/v1/faults"
    assert (await gateway.put(path, json=faults)).status_code == 200


async def told_by(shop: Shop, count: int) -> list[str]:
    return [sent.event["event"] for sent in await shop.received(count)]


class TestEnd:
    async def test_by_close_is_told_once(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await place(gateway)
        for _ in range(2):
            await gateway.post(f"/v1/orders/{order_id}/close")
        [told] = await shop.received(1)
        assert_signed(told)
        event = told.event
        assert event == {
            "id": event["id"],
            "event": "order.closed",
            "created_at": event["created_at"],
            "order": {
                "order_id": order_id,
                "reference": "bill-0001",
                "amount_minor": 123450,
                "currency": "INR",
                "status": "closed",
            },
        }

    async def test_by_time_is_told_though_nobody_looks(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await place(gateway, expires_in_s=0.2)
        [told] = await shop.received(1)
        assert (told.event["event"], told.event["order"]["status"]) == ("order.expired", "expired")
        assert not {"payment", "refund"} & set(told.event)

    async def test_by_time_is_told_once_though_many_look(
        self, gateway: httpx.AsyncClient, shop: Shop
    ) -> None:
        order_id = await place(gateway, expires_in_s=0.2)
        for _ in range(30):
            await asyncio.gather(*(status_of(gateway, order_id) for _ in range(5)))
        await asyncio.sleep(0.2)
        assert await status_of(gateway, order_id) == "expired"
        assert await told_by(shop, 1) == ["order.expired"]

    async def test_by_hand_comes_before_the_time(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await place(gateway)
        answer = await gateway.post(f"/v1/orders/{order_id}/expire")
        assert (answer.status_code, answer.json()["status"]) == (200, "expired")
        assert_problem(await gateway.post(f"/pay/{order_id}/approve"), 409, "order_expired")
        assert await told_by(shop, 1) == ["order.expired"]

    async def test_leaves_a_paid_order_paid(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await make_paid(gateway, expires_in_s=1)
        assert (await gateway.post(f"/v1/orders/{order_id}/expire")).json()["status"] == "paid"
        await asyncio.sleep(1.1)
        assert await status_of(gateway, order_id) == "paid"
        assert await told_by(shop, 1) == ["payment.captured"]


class TestLatePayment:
    @pytest.mark.parametrize(("make", "ended"), [(make_closed, "closed"), (make_expired, "expired")])
    async def test_is_taken(
        self, gateway: httpx.AsyncClient, shop: Shop, make: Callable[..., Any], ended: str
    ) -> None:
        order_id = await make(gateway)
        assert_problem(await gateway.post(f"/pay/{order_id}/approve"), 409, f"order_{ended}")
        await break_it(gateway, accept_late=True)
        assert '<div class="actions" >' in (await gateway.get(f"/pay/{order_id}")).text
        assert (await gateway.post(f"/pay/{order_id}/decline")).json()["status"] == "failed"
        assert await status_of(gateway, order_id) == ended
        assert (await gateway.post(f"/pay/{order_id}/approve")).json()["status"] == "captured"
        assert await status_of(gateway, order_id) == "paid"
        events = [sent.event for sent in await shop.received(3)]
        told = {event["event"]: event["order"]["status"] for event in events}
        assert told == {f"order.{ended}": ended, "payment.failed": ended, "payment.captured": "paid"}

    async def test_is_taken_once(self, gateway: httpx.AsyncClient) -> None:
        await break_it(gateway, accept_late=True)
        order_id = await make_paid(gateway)
        assert_problem(await gateway.post(f"/pay/{order_id}/approve"), 409, "already_paid")


class TestApproval:
    async def test_captures_twice(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, approval="captures_twice")
        order = await order_of(gateway, await make_paid(gateway))
        assert [payment["status"] for payment in order["payments"]] == ["captured", "captured"]
        ids = {payment["payment_id"] for payment in order["payments"]}
        events = [sent.event for sent in await shop.received(2)]
        assert [event["event"] for event in events] == ["payment.captured"] * 2
        assert {event["payment"]["payment_id"] for event in events} == ids
        assert len(ids) == 2

    async def test_fails(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, approval="fails")
        order_id = await place(gateway)
        assert (await gateway.post(f"/pay/{order_id}/approve")).json()["status"] == "failed"
        assert await status_of(gateway, order_id) == "attempted"
        assert await told_by(shop, 1) == ["payment.failed"]

    @pytest.mark.parametrize(
        ("approval", "outcome", "status"),
        [("captures", "captured", "paid"), ("fails", "failed", "attempted")],
    )
    async def test_authorizes_first(
        self, gateway: httpx.AsyncClient, shop: Shop, approval: str, outcome: str, status: str
    ) -> None:
        await break_it(gateway, authorize_first=True, capture_delay_s=1.5, approval=approval)
        order_id = await place(gateway)
        payment = (await gateway.post(f"/pay/{order_id}/approve")).json()
        assert payment["status"] == "authorized"
        assert await told_by(shop, 1) == ["payment.authorized"]
        order = await order_of(gateway, order_id)
        assert (order["status"], order["payments"]) == ("attempted", [payment])
        assert_problem(await gateway.post(f"/pay/{order_id}/approve"), 409, "payment_under_way")
        page = (await gateway.get(f"/pay/{order_id}")).text
        assert "Payment under way</h1>" in page
        assert '<div class="actions" hidden>' in page

        assert await told_by(shop, 2) == ["payment.authorized", f"payment.{outcome}"]
        order = await order_of(gateway, order_id)
        assert (order["status"], order["payments"]) == (status, [payment | {"status": outcome}])

    async def test_is_captured_though_the_order_ended_meanwhile(
        self, gateway: httpx.AsyncClient, shop: Shop
    ) -> None:
        await break_it(gateway, authorize_first=True, capture_delay_s=1)
        order_id = await place(gateway)
        await gateway.post(f"/pay/{order_id}/approve")
        await gateway.post(f"/v1/orders/{order_id}/close")
        told = await told_by(shop, 3)
        assert told[2] == "payment.captured"
        assert sorted(told[:2]) == ["order.closed", "payment.authorized"]
        assert await status_of(gateway, order_id) == "paid"


class TestSettlePayment:
    async def test_captures_a_failed_one_after_all(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await place(gateway)
        failed = (await gateway.post(f"/pay/{order_id}/decline")).json()
        settle = f"/v1/payments/{failed['payment_id']}/settle"
        assert_problem(await gateway.post(settle, json={"status": "failed"}), 409, "payment_settled")
        await gateway.post(f"/v1/orders/{order_id}/close")
        answer = await gateway.post(settle, json={"status": "captured"})
        assert (answer.status_code, answer.json()) == (200, failed | {"status": "captured"})
        order = await order_of(gateway, order_id)
        assert (order["status"], order["payments"]) == ("paid", [answer.json()])
        assert_problem(await gateway.post(settle, json={"status": "failed"}), 409, "payment_settled")
        told = await told_by(shop, 3)
        assert sorted(told) == ["order.closed", "payment.captured", "payment.failed"]

    async def test_ends_an_authorized_one_before_its_time(
        self, gateway: httpx.AsyncClient, shop: Shop
    ) -> None:
        await break_it(gateway, authorize_first=True, capture_delay_s=1)
        order_id = await place(gateway)
        payment_id = (await gateway.post(f"/pay/{order_id}/approve")).json()["payment_id"]
        await gateway.post(f"/v1/payments/{payment_id}/settle", json={"status": "captured"})
        assert await status_of(gateway, order_id) == "paid"
        await asyncio.sleep(1.1)
        assert sorted(await told_by(shop, 2)) == ["payment.authorized", "payment.captured"]

    async def test_knows_no_other_payment(self, gateway: httpx.AsyncClient) -> None:
        answer = await gateway.post("/v1/payments/pay_0/settle", json={"status": "captured"})
        assert_problem(answer, 404, "payment_not_found")


async def call_all(gateway: httpx.AsyncClient, order_id: str, payment_id: str) -> list[httpx.Response]:
    """Every call of the merchant's API."""
    return [
        await gateway.post("/v1/orders", json=make_order(reference="bill-0002")),
        await gateway.get(f"/v1/orders/{order_id}"),
        await gateway.get("/v1/orders?reference=bill-0001"),
        await gateway.post(f"/v1/orders/{order_id}/close"),
        await refund(gateway, payment_id),
        await gateway.get("/v1/refunds?reference=refund-0000"),
    ]


class TestApi:
    async def test_is_unavailable_and_does_nothing(self, gateway: httpx.AsyncClient) -> None:
        order_id = await make_paid(gateway)
        before = await order_of(gateway, order_id)
        payment_id = before["payments"][0]["payment_id"]
        await break_it(gateway, api="unavailable")
        for answer in await call_all(gateway, order_id, payment_id):
            assert_problem(answer, 503, "gateway_unavailable")
        await break_it(gateway)
        assert (await gateway.get("/v1/orders?limit=10")).json() == {"orders": [before]}

    async def test_drops_connections_and_does_nothing(self, gateway: httpx.AsyncClient) -> None:
        order_id = await make_paid(gateway)
        before = await order_of(gateway, order_id)
        await break_it(gateway, api="drops")
        for call in (
            gateway.post("/v1/orders", json=make_order(reference="bill-0002")),
            gateway.get(f"/v1/orders/{order_id}"),
            refund(gateway, before["payments"][0]["payment_id"]),
        ):
            with pytest.raises(httpx.RemoteProtocolError):
                await call
        await break_it(gateway)
        assert (await gateway.get("/v1/orders?limit=10")).json() == {"orders": [before]}

    async def test_hangs_before_it_drops(self, gateway: httpx.AsyncClient) -> None:
        await break_it(gateway, api="drops", api_hang_s=0.4)
        began = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError):
            await gateway.get("/v1/orders/order_0")
        assert time.monotonic() - began >= 0.4

    async def test_is_down_for_the_merchant_alone(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await place(gateway)
        await break_it(gateway, api="drops")
        assert (await gateway.get("/health/live")).status_code == 200
        assert (await gateway.get("/v1/orders?limit=1")).status_code == 200
        await gateway.post(f"/pay/{order_id}/approve")
        await shop.received(1)
        assert (await gateway.get("/v1/webhooks")).json()["webhooks"][0]["state"] == "delivered"

    async def test_is_slow_to_tell_a_status(self, gateway: httpx.AsyncClient) -> None:
        await refund(gateway, await captured(gateway))
        await break_it(gateway, status_delay_s=0.6)
        order_id = (await gateway.get("/v1/orders?limit=1")).json()["orders"][0]["order_id"]
        for path in (f"orders/{order_id}", "orders?reference=bill-0001", "refunds?reference=refund-0001"):
            began = time.monotonic()
            assert (await gateway.get(f"/v1/{path}")).status_code == 200
            assert time.monotonic() - began >= 0.6
        began = time.monotonic()
        await place(gateway, reference="bill-0002")
        assert time.monotonic() - began < 0.6

    async def test_is_slow_to_answer_what_it_made(self, gateway: httpx.AsyncClient) -> None:
        payment_id = await captured(gateway)
        await break_it(gateway, create_delay_s=1.2)
        with pytest.raises(httpx.ReadTimeout):
            await gateway.post("/v1/orders", json=make_order(reference="bill-0002"), timeout=0.6)
        assert (await gateway.get("/v1/orders?reference=bill-0002")).json()["status"] == "created"
        began = time.monotonic()
        assert (await refund(gateway, payment_id)).status_code == 201
        assert time.monotonic() - began >= 1.2

    async def test_loses_the_answer_to_what_it_made(self, gateway: httpx.AsyncClient) -> None:
        payment_id = await captured(gateway)
        await break_it(gateway, create_answer_lost=True)
        body = make_order(reference="bill-0002")
        with pytest.raises(httpx.RemoteProtocolError):
            await gateway.post("/v1/orders", json=body)
        with pytest.raises(httpx.RemoteProtocolError):
            await refund(gateway, payment_id)
        order = (await gateway.get("/v1/orders?reference=bill-0002")).json()
        given_back = (await gateway.get("/v1/refunds?reference=refund-0001")).json()
        await break_it(gateway)
        again = await gateway.post("/v1/orders", json=body)
        assert (again.status_code, again.json()) == (200, order)
        again = await refund(gateway, payment_id)
        assert (again.status_code, again.json()) == (200, given_back)


class TestOrderFaults:
    async def test_win_over_those_of_the_process(self, gateway: httpx.AsyncClient) -> None:
        broken, sound = await place(gateway), await place(gateway, reference="bill-0002")
        await break_it(gateway, broken, approval="fails")
        assert (await gateway.post(f"/pay/{broken}/approve")).json()["status"] == "failed"
        assert (await gateway.post(f"/pay/{sound}/approve")).json()["status"] == "captured"

        await break_it(gateway, api="unavailable")
        await break_it(gateway, broken)
        assert (await gateway.get(f"/v1/orders/{broken}")).status_code == 200
        assert (await gateway.get("/v1/orders?reference=bill-0001")).status_code == 200
        assert (await gateway.get(f"/v1/orders/{sound}")).status_code == 503
        assert (await gateway.get("/v1/orders?reference=bill-0002")).status_code == 503

        assert (await gateway.delete(f"/v1/orders/{broken}/faults")).status_code == 204
        assert (await gateway.get(f"/v1/orders/{broken}")).status_code == 503

    async def test_reach_the_order_of_a_payment_and_of_a_refund(self, gateway: httpx.AsyncClient) -> None:
        payment_id = await captured(gateway)
        await refund(gateway, payment_id)
        order_id = (await gateway.get("/v1/orders?reference=bill-0001")).json()["order_id"]
        await break_it(gateway, order_id, api="unavailable")
        assert_problem(await refund(gateway, payment_id), 503, "gateway_unavailable")
        answer = await gateway.get("/v1/refunds?reference=refund-0001")
        assert_problem(answer, 503, "gateway_unavailable")

    async def test_are_those_in_force(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway)
        await break_it(gateway, accept_late=True)
        path = f"/v1/orders/{order_id}/faults"
        assert (await gateway.get(path)).json()["accept_late"] is True
        await break_it(gateway, order_id, webhook_copies=2)
        assert (await gateway.get(path)).json()["accept_late"] is False
        assert (await gateway.get("/v1/faults")).json()["webhook_copies"] == 1
