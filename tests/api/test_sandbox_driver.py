"""Driving the sandbox gateway: its faults as data, its lists, its key, and how much it remembers."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from backend.sandbox import book
from backend.sandbox.app import KEYED
from backend.sandbox.faults import Faults
from tests.sandbox_shop import (
    API_KEY,
    Shop,
    assert_problem,
    captured,
    make_closed,
    make_paid,
    open_gateway,
    place,
    refund,
    status_of,
)

HARMLESS = msgspec.to_builtins(Faults())


class TestFaults:
    async def test_do_no_harm_at_the_start_and_after_healing(self, gateway: httpx.AsyncClient) -> None:
        assert (await gateway.get("/v1/faults")).json() == HARMLESS
        answer = await gateway.put("/v1/faults", json={"webhook_copies": 3, "api_hang_s": 0.5})
        assert answer.json() == HARMLESS | {"webhook_copies": 3, "api_hang_s": 0.5}
        assert (await gateway.put("/v1/faults", json={"accept_late": True})).json() == HARMLESS | {
            "accept_late": True
        }
        assert (await gateway.put("/v1/faults", json={})).json() == HARMLESS
        assert (await gateway.get("/v1/faults")).json() == HARMLESS

    @pytest.mark.parametrize("scope", ["process", "order"])
    @pytest.mark.parametrize(
        "bad",
        [
            {"unknown": 1},
            *({"webhook_copies": bad} for bad in (-1, 21, 1.0, "1", True, None, 2**70)),
            *({"webhook_stale_s": bad} for bad in (-1, 864_001, 0.5)),
            *({"webhook_delay_s": bad} for bad in (-0.1, 86_401, "1")),
            *({"webhook_wrong": bad} for bad in ("everything", "", None, True)),
            *({"webhook_signature": bad} for bad in ("old", 1)),
            *({"api": bad} for bad in ("down", True)),
            *({name: 60.1} for name in ("api_hang_s", "status_delay_s", "create_delay_s")),
            *({"webhook_held": bad} for bad in ("true", 1, None)),
            {"approval": "captures_thrice"},
            {"refund": "pending"},
        ],
        ids=str,
    )
    async def test_refuse_bad_fields_and_stay_as_they_are(
        self, gateway: httpx.AsyncClient, bad: dict[str, Any], scope: str
    ) -> None:
        path = "/v1/faults" if scope == "process" else f"/v1/orders/{await place(gateway)}/faults"
        before = (await gateway.put(path, json={"accept_late": True})).json()
        assert_problem(await gateway.put(path, json={"webhook_copies": 2} | bad), 400, "bad_request")
        assert (await gateway.get(path)).json() == before

    @pytest.mark.parametrize("call", ["GET", "PUT", "DELETE"])
    async def test_are_of_no_order_that_is_unknown(self, gateway: httpx.AsyncClient, call: str) -> None:
        answer = await gateway.request(call, "/v1/orders/order_0/faults")
        assert_problem(answer, 404, "order_not_found")


class TestKey:
    CALLS = [
        (method, f"/v1{path}".replace(":str", ""))
        for handler in KEYED
        for path in handler.paths
        for method in sorted(handler.http_methods)
    ]

    def test_guards_each_call(self) -> None:
        assert len(self.CALLS) >= 17

    @pytest.mark.parametrize(("method", "path"), CALLS)
    async def test_is_required(self, gateway: httpx.AsyncClient, method: str, path: str) -> None:
        for key in ("", f"Bearer {API_KEY}x"):
            answer = await gateway.request(method, path, headers={"authorization": key})
            assert_problem(answer, 401, "unauthorized")


class TestNewestOrders:
    async def test_come_first_and_no_more_than_asked_for(self, gateway: httpx.AsyncClient) -> None:
        ids = [await place(gateway, reference=f"bill-000{n}") for n in range(3)]
        await gateway.post(f"/pay/{ids[0]}/approve")
        orders = (await gateway.get("/v1/orders?limit=2")).json()["orders"]
        assert [order["order_id"] for order in orders] == [ids[2], ids[1]]
        orders = (await gateway.get("/v1/orders?limit=200")).json()["orders"]
        assert [order["status"] for order in orders] == ["created", "created", "paid"]

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=1&reference=bill-0001"]
    )
    async def test_refuse_bad_limits(self, gateway: httpx.AsyncClient, query: str) -> None:
        assert_problem(await gateway.get(f"/v1/orders?{query}"), 400, "bad_request")


class TestMemory:
    async def test_keeps_open_orders_and_the_newest_final_ones(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(book, "KEPT_FINAL_ORDERS", 2)
        async with open_gateway(shop) as gateway:
            still_open = await place(gateway, reference="bill-open")
            paid = await make_paid(gateway)
            payment_id = (await gateway.get("/v1/orders?reference=bill-0001")).json()["payments"][0][
                "payment_id"
            ]
            await refund(gateway, payment_id)
            await gateway.put(f"/v1/orders/{paid}/faults", json={"api": "unavailable"})
            kept = [await captured(gateway, reference=f"bill-{n:04}") for n in (2, 3)]

            assert_problem(await gateway.get(f"/v1/orders/{paid}"), 404, "order_not_found")
            assert_problem(await gateway.get("/v1/orders?reference=bill-0001"), 404, "order_not_found")
            assert_problem(await refund(gateway, payment_id), 404, "payment_not_found")
            assert_problem(await gateway.get("/v1/refunds?reference=refund-0001"), 404, "refund_not_found")
            assert (await gateway.get(f"/v1/webhooks?order_id={paid}")).json() == {"webhooks": []}
            assert await status_of(gateway, still_open) == "created"
            assert len((await gateway.get("/v1/orders?limit=9")).json()["orders"]) == 3
            told = (await gateway.get("/v1/webhooks")).json()["webhooks"]
            assert {webhook["reference"] for webhook in told} == {"bill-0002", "bill-0003"}
            for n, other in enumerate(kept):
                assert (await refund(gateway, other, f"refund-001{n}")).status_code == 201
            assert await make_closed(gateway) != paid

    async def test_forgets_an_order_with_what_was_due(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(book, "KEPT_FINAL_ORDERS", 1)
        async with open_gateway(shop) as gateway:
            await gateway.put("/v1/faults", json={"refund_delay_s": 1})
            await refund(gateway, await captured(gateway, expires_in_s=1))
            await make_paid(gateway, reference="bill-0002")
            await asyncio.sleep(1.2)
            told = [sent.event["event"] for sent in await shop.received(2)]
        assert told == ["payment.captured"] * 2
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    def test_is_of_ten_thousand_orders(self) -> None:
        assert book.KEPT_FINAL_ORDERS == 10_000
