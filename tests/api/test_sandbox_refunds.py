"""The sandbox gateway's refunds: each of one captured payment."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.sandbox_shop import (
    Shop,
    assert_problem,
    assert_signed,
    captured,
    order_of,
    place,
    refund,
)


class TestRefund:
    async def test_gives_back_and_tells(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        payment_id = await captured(gateway)
        answer = await refund(gateway, payment_id)
        made = answer.json()
        order = (await gateway.get("/v1/orders?reference=bill-0001")).json()
        assert answer.status_code == 201
        assert made == {
            "refund_id": made["refund_id"],
            "reference": "refund-0001",
            "order_id": order["order_id"],
            "payment_id": payment_id,
            "amount_minor": 450,
            "currency": "INR",
            "status": "processed",
        }
        assert (order["status"], order["refunds"]) == ("paid", [made])
        assert (await gateway.get("/v1/refunds?reference=refund-0001")).json() == made
        [told] = [sent for sent in await shop.received(2) if sent.event["event"] == "refund.processed"]
        assert_signed(told)
        assert (told.event["payment"], told.event["refund"]) == (order["payments"][0], made)

    async def test_happens_once_under_one_reference(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        payment_id = await captured(gateway)
        answers = await asyncio.gather(*(refund(gateway, payment_id, amount_minor=123450) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
        assert len({answer.json()["refund_id"] for answer in answers}) == 1
        assert_problem(await refund(gateway, payment_id, amount_minor=1), 409, "reference_reused")
        await shop.received(2)

    async def test_names_one_refund_among_all_payments(self, gateway: httpx.AsyncClient) -> None:
        await refund(gateway, await captured(gateway), amount_minor=1)
        other = await captured(gateway, reference="bill-0002")
        assert_problem(await refund(gateway, other, amount_minor=1), 409, "reference_reused")

    async def test_never_exceeds_the_payment(self, gateway: httpx.AsyncClient) -> None:
        payment_id = await captured(gateway)
        answers = await asyncio.gather(
            *(refund(gateway, payment_id, f"refund-000{n}", 50_000) for n in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
        assert_problem(
            await refund(gateway, payment_id, "refund-last", 23_451), 409, "refund_exceeds_payment"
        )
        assert (await refund(gateway, payment_id, "refund-last", 23_450)).status_code == 201

    async def test_is_counted_against_its_own_payment(self, gateway: httpx.AsyncClient) -> None:
        await gateway.put("/v1/faults", json={"approval": "captures_twice"})
        payment_id = await captured(gateway)
        order = (await gateway.get("/v1/orders?reference=bill-0001")).json()
        first, second = (payment["payment_id"] for payment in order["payments"])
        assert second == payment_id
        assert (await refund(gateway, first, "refund-0001", 123450)).status_code == 201
        assert_problem(await refund(gateway, first, "refund-0002", 1), 409, "refund_exceeds_payment")
        assert (await refund(gateway, second, "refund-0003", 123450)).status_code == 201

    async def test_needs_a_captured_payment(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await place(gateway)
        failed = (await gateway.post(f"/pay/{order_id}/decline")).json()["payment_id"]
        assert_problem(await refund(gateway, failed), 409, "refund_exceeds_payment")
        assert_problem(await refund(gateway, "pay_0"), 404, "payment_not_found")
        assert_problem(await gateway.get("/v1/refunds?reference=refund-0001"), 404, "refund_not_found")
        await shop.received(1)

    @pytest.mark.parametrize(
        ("reference", "amount"), [("short", 1), ("refund-0001", 0), ("refund-0001", "1")]
    )
    async def test_refuses_bad_fields(self, gateway: httpx.AsyncClient, reference: str, amount: Any) -> None:
        payment_id = await captured(gateway)
        assert_problem(await refund(gateway, payment_id, reference, amount), 400, "bad_request")
        assert (await gateway.get("/v1/orders?reference=bill-0001")).json()["refunds"] == []


class TestRefundFaults:
    async def test_fails_and_gives_its_amount_back(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await gateway.put("/v1/faults", json={"refund": "failed"})
        payment_id = await captured(gateway)
        failed = (await refund(gateway, payment_id, amount_minor=123450)).json()
        assert failed["status"] == "failed"
        told = {sent.event["event"]: sent.event for sent in await shop.received(2)}
        assert told["refund.failed"]["refund"] == failed
        again = await refund(gateway, payment_id, amount_minor=123450)
        assert (again.status_code, again.json()) == (200, failed)

        await gateway.put("/v1/faults", json={})
        anew = await refund(gateway, payment_id, "refund-0002", 123450)
        assert (anew.status_code, anew.json()["status"]) == (201, "processed")

    async def test_stays_pending_for_its_delay(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await gateway.put("/v1/faults", json={"refund_delay_s": 1})
        payment_id = await captured(gateway)
        assert (await refund(gateway, payment_id)).json()["status"] == "pending"
        await shop.received(1)
        assert (await gateway.get("/v1/refunds?reference=refund-0001")).json()["status"] == "pending"
        events = await shop.received(2)
        assert events[-1].event["event"] == "refund.processed"
        assert (await gateway.get("/v1/refunds?reference=refund-0001")).json()["status"] == "processed"

    @pytest.mark.parametrize("status", ["processed", "failed"])
    async def test_stays_pending_until_settled_by_hand(
        self, gateway: httpx.AsyncClient, shop: Shop, status: str
    ) -> None:
        await gateway.put("/v1/faults", json={"refund": "by_hand"})
        payment_id = await captured(gateway)
        pending = (await refund(gateway, payment_id)).json()
        assert pending["status"] == "pending"
        await shop.received(1)
        settle = f"/v1/refunds/{pending['refund_id']}/settle"
        assert_problem(await gateway.post(settle, json={"status": "pending"}), 400, "bad_request")
        settled = await gateway.post(settle, json={"status": status})
        assert (settled.status_code, settled.json()) == (200, pending | {"status": status})
        assert_problem(await gateway.post(settle, json={"status": status}), 409, "refund_settled")
        events = await shop.received(2)
        assert events[-1].event["event"] == f"refund.{status}"
        order = await order_of(gateway, pending["order_id"])
        assert order["refunds"] == [settled.json()]

    async def test_knows_no_other_refund(self, gateway: httpx.AsyncClient) -> None:
        answer = await gateway.post("/v1/refunds/rfnd_0/settle", json={"status": "failed"})
        assert_problem(answer, 404, "refund_not_found")
