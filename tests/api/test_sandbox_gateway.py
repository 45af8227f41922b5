"""The sandbox payment gateway's orders, payments and refunds, as a merchant and a shopper see them."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.sandbox_shop import (
    API_KEY,
    FINAL,
    Shop,
    assert_problem,
    assert_signed,
    make_expired,
    make_order,
    make_paid,
    place,
    status_of,
)


class TestPlaceOrder:
    async def test_answers_the_order(self, gateway: httpx.AsyncClient) -> None:
        body = make_order(note="Groceries")
        answer = await gateway.post("/v1/orders", json=body)
        order = answer.json()
        assert answer.status_code == 201
        assert len(order["order_id"].removeprefix("order_")) == 32
        assert datetime.fromisoformat(order.pop("expires_at")) == datetime.fromisoformat(body["expires_at"])
        assert order == {
            "order_id": order["order_id"],
            "reference": "bill-0001",
            "amount_minor": 123450,
            "currency": "INR",
            "note": "Groceries",
            "status": "created",
            "payee_vpa": "demo-store@sandbox",
            "payee_name": "Q-Less Demo Store",
            "merchant_code": "5411",
            "pay_url": f"https://pay.example/pay/{order['order_id']}",
            "payments": [],
            "refunds": [],
        }

    async def test_gives_the_same_order_for_the_same_body(self, gateway: httpx.AsyncClient) -> None:
        body = make_order()
        answers = await asyncio.gather(*(gateway.post("/v1/orders", json=body) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
        assert len({answer.json()["order_id"] for answer in answers}) == 1

    async def test_gives_an_expired_order_for_the_same_body(self, gateway: httpx.AsyncClient) -> None:
        body = make_order(expires_in_s=0.05)
        await gateway.post("/v1/orders", json=body)
        await asyncio.sleep(0.06)
        again = await gateway.post("/v1/orders", json=body)
        assert (again.status_code, again.json()["status"]) == (200, "expired")

    @pytest.mark.parametrize(
        "change", [{"amount_minor": 1}, {"note": "other"}, {"expires_at": "2099-01-01T00:00:00Z"}]
    )
    async def test_refuses_another_body_under_one_reference(
        self, gateway: httpx.AsyncClient, change: dict[str, Any]
    ) -> None:
        body = make_order()
        await gateway.post("/v1/orders", json=body)
        assert_problem(await gateway.post("/v1/orders", json=body | change), 409, "reference_reused")

    @pytest.mark.parametrize(
        "change",
        [
            *({"reference": bad} for bad in ("short", "x" * 65, "bill 0001", "bill-0001\n", 12345678)),
            *({"amount_minor": bad} for bad in (0, -1, 100_000_001, 2**70, "100", 100.0, True, None)),
            *(
                {"expires_at": bad}
                for bad in ("2099-01-01T00:00:00", "2099-01-01T00:00:00+05:30", 4070908800, "soon")
            ),
            {"currency": "USD"},
            {"note": "x" * 81},
            {"colour": "red"},
        ],
    )
    async def test_refuses_bad_fields(self, gateway: httpx.AsyncClient, change: dict[str, Any]) -> None:
        assert_problem(await gateway.post("/v1/orders", json=make_order() | change), 400, "bad_request")
        assert_problem(await gateway.get("/v1/orders?reference=bill-0001"), 404, "order_not_found")

    @pytest.mark.parametrize("missing", ["reference", "amount_minor", "currency", "expires_at"])
    async def test_refuses_missing_fields(self, gateway: httpx.AsyncClient, missing: str) -> None:
        body = make_order()
        del body[missing]
        assert_problem(await gateway.post("/v1/orders", json=body), 400, "bad_request")

    @pytest.mark.parametrize(
        "body", [b"", b"null", b"[]", b"{", b'{"reference":"\xff"}', b'{"note":"\\ud800"}', b"\x00"]
    )
    async def test_refuses_what_is_no_json_object(self, gateway: httpx.AsyncClient, body: bytes) -> None:
        assert_problem(await gateway.post("/v1/orders", content=body), 400, "bad_request")

    async def test_refuses_a_large_body(self, gateway: httpx.AsyncClient) -> None:
        answer = await gateway.post("/v1/orders", json=make_order(note="x" * 5000))
        assert_problem(answer, 413, "request_entity_too_large")

    async def test_refuses_an_expiry_that_has_passed(self, gateway: httpx.AsyncClient) -> None:
        assert_problem(
            await gateway.post("/v1/orders", json=make_order(expires_in_s=-1)), 400, "expiry_passed"
        )


class TestApiKey:
    @pytest.mark.parametrize(
        "key", ["", "Bearer", "Bearer wrong", f"Basic {API_KEY}", f"Bearer {API_KEY}x", "Bearer é"]
    )
    async def test_is_required_of_the_merchant(self, gateway: httpx.AsyncClient, key: str) -> None:
        answer = await gateway.get("/v1/orders/x", headers={b"authorization": key.encode()})
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_is_not_asked_of_the_shopper(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway)
        del gateway.headers["authorization"]
        assert (await gateway.get(f"/pay/{order_id}")).status_code == 200
        assert (await gateway.post(f"/pay/{order_id}/decline")).status_code == 200
        assert (await gateway.post(f"/pay/{order_id}/approve")).status_code == 200


class TestGetOrder:
    async def test_finds_by_id_and_by_reference(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway)
        by_id = (await gateway.get(f"/v1/orders/{order_id}")).json()
        by_reference = (await gateway.get("/v1/orders?reference=bill-0001")).json()
        assert by_id == by_reference
        assert by_id["order_id"] == order_id

    async def test_wants_a_reference_to_search(self, gateway: httpx.AsyncClient) -> None:
        assert_problem(await gateway.get("/v1/orders"), 400, "bad_request")

    async def test_says_expired_when_the_time_is_over(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway, expires_in_s=0.2)
        assert await status_of(gateway, order_id) == "created"
        await asyncio.sleep(0.2)
        assert await status_of(gateway, order_id) == "expired"

    @pytest.mark.parametrize(
        "call",
        [
            "GET /v1/orders/order_0",
            "GET /v1/orders/%00",
            "GET /v1/orders?reference=nobody-knows",
            "POST /v1/orders/order_0/close",
            "GET /pay/order_0",
            "POST /pay/order_0/approve",
            "POST /pay/order_0/decline",
        ],
    )
    async def test_knows_no_other_order(self, gateway: httpx.AsyncClient, call: str) -> None:
        assert_problem(await gateway.request(*call.split()), 404, "order_not_found")

    async def test_answers_unknown_paths_and_methods_with_problems(self, gateway: httpx.AsyncClient) -> None:
        assert_problem(await gateway.get("/v2/orders"), 404, "not_found")
        assert_problem(await gateway.put("/v1/orders"), 405, "method_not_allowed")


class TestCloseOrder:
    async def test_stops_taking_payments(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway)
        for _ in range(2):
            answer = await gateway.post(f"/v1/orders/{order_id}/close")
            assert (answer.status_code, answer.json()["status"]) == (200, "closed")

    @pytest.mark.parametrize(("make", "status"), [(make_paid, "paid"), (make_expired, "expired")])
    async def test_leaves_a_final_order_as_it_is(
        self, gateway: httpx.AsyncClient, make: Callable[..., Any], status: str
    ) -> None:
        order_id = await make(gateway)
        assert (await gateway.post(f"/v1/orders/{order_id}/close")).json()["status"] == status

    async def test_refuses_a_body_with_fields(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway)
        assert_problem(
            await gateway.post(f"/v1/orders/{order_id}/close", json={"why": ""}), 400, "bad_request"
        )
        assert await status_of(gateway, order_id) == "created"


class TestApprove:
    async def test_captures_the_whole_amount(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway)
        answer = await gateway.post(f"/pay/{order_id}/approve", json={"vpa": "asha.k-1@okbank"})
        payment = answer.json()
        assert answer.status_code == 200
        assert datetime.fromisoformat(payment["created_at"]).utcoffset() == timedelta(0)
        assert {name: payment[name] for name in payment if name not in ("payment_id", "created_at")} == {
            "status": "captured",
            "amount_minor": 123450,
            "currency": "INR",
            "vpa": "asha.k-1@okbank",
        }
        order = (await gateway.get(f"/v1/orders/{order_id}")).json()
        assert (order["status"], order["payments"]) == ("paid", [payment])

    async def test_sends_one_signed_webhook(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await place(gateway)
        payment = (await gateway.post(f"/pay/{order_id}/approve")).json()
        [delivery] = await shop.received(1)
        assert_signed(delivery)
        event = delivery.event
        assert datetime.fromisoformat(event["created_at"]).utcoffset() == timedelta(0)
        assert event == {
            "id": event["id"],
            "event": "payment.captured",
            "created_at": event["created_at"],
            "order": {
                "order_id": order_id,
                "reference": "bill-0001",
                "amount_minor": 123450,
                "currency": "INR",
                "status": "paid",
            },
            "payment": payment,
        }

    async def test_captures_once_of_twenty_at_once(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await place(gateway)
        answers = await asyncio.gather(*(gateway.post(f"/pay/{order_id}/approve") for _ in range(20)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) == 19
        for answer in refused:
            assert_problem(answer, 409, "already_paid")
        assert len((await gateway.get(f"/v1/orders/{order_id}")).json()["payments"]) == 1
        await shop.received(1)

    @pytest.mark.parametrize("answer", ["approve", "decline"])
    @pytest.mark.parametrize(("make", "code"), FINAL)
    async def test_refuses_a_final_order(
        self, gateway: httpx.AsyncClient, shop: Shop, make: Callable[..., Any], code: str, answer: str
    ) -> None:
        order_id = await make(gateway)
        before = (await gateway.get(f"/v1/orders/{order_id}")).json()
        assert_problem(await gateway.post(f"/pay/{order_id}/{answer}"), 409, code)
        assert (await gateway.get(f"/v1/orders/{order_id}")).json() == before
        await shop.received(1)  # that the order ended

    @pytest.mark.parametrize(
        "vpa", ["", "a@b", "asha", "asha@", "a b@bank", "asha@bank\n", "x" * 65 + "@bank", None, 7]
    )
    async def test_refuses_a_bad_vpa(self, gateway: httpx.AsyncClient, vpa: Any) -> None:
        order_id = await place(gateway)
        assert_problem(await gateway.post(f"/pay/{order_id}/approve", json={"vpa": vpa}), 400, "bad_request")
        assert await status_of(gateway, order_id) == "created"


class TestDecline:
    async def test_fails_the_payment_and_leaves_the_order_open(
        self, gateway: httpx.AsyncClient, shop: Shop
    ) -> None:
        order_id = await place(gateway)
        payment = (await gateway.post(f"/pay/{order_id}/decline")).json()
        assert payment["status"] == "failed"
        [failed] = await shop.received(1)
        assert_signed(failed)
        assert failed.event["event"] == "payment.failed"
        assert failed.event["payment"] == payment
        assert failed.event["order"]["status"] == await status_of(gateway, order_id) == "attempted"

        await gateway.post(f"/pay/{order_id}/approve")
        order = (await gateway.get(f"/v1/orders/{order_id}")).json()
        assert order["status"] == "paid"
        assert [payment["status"] for payment in order["payments"]] == ["failed", "captured"]
