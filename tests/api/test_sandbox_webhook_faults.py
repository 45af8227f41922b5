"""The sandbox gateway's webhooks going wrong on request: late, repeated, held, false, stale, wrongly signed, never."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.sandbox_shop import (
    OLD_SECRET,
    SECRET,
    Delivery,
    Shop,
    age_s,
    assert_problem,
    assert_signed,
    captured,
    is_signed,
    make_paid,
    open_gateway,
    place,
    refund,
    serve_gateway,
)


@pytest.fixture
async def gateway(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with serve_gateway(shop) as client:
        yield client


async def break_it(gateway: httpx.AsyncClient, **faults: Any) -> None:
    assert (await gateway.put("/v1/faults", json=faults)).status_code == 200


async def log_of(gateway: httpx.AsyncClient) -> Any:
    return (await gateway.get("/v1/webhooks")).json()["webhooks"]


class TestDelivery:
    async def test_is_late(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, webhook_delay_s=1)
        began = time.monotonic()
        await make_paid(gateway)
        assert (await log_of(gateway))[0]["state"] == "waiting"
        [late] = await shop.received(1)
        assert time.monotonic() - began >= 1
        assert_signed(late)

    async def test_is_repeated(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, webhook_copies=4)
        await make_paid(gateway)
        copies = await shop.received(4)
        assert len({copy.body for copy in copies}) == 1
        assert len({copy.headers["x-sandbox-event-id"] for copy in copies}) == 1

    async def test_is_left_out(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, webhook_copies=0)
        await make_paid(gateway)
        await shop.received(0)
        [webhook] = await log_of(gateway)
        assert (webhook["event"], webhook["state"], webhook["tries"]) == (
            "payment.captured",
            "never_sent",
            [],
        )

    async def test_is_held_and_released_in_reverse_order(
        self, gateway: httpx.AsyncClient, shop: Shop
    ) -> None:
        await break_it(gateway, webhook_held=True)
        order_id = await place(gateway)
        await gateway.post(f"/pay/{order_id}/decline")
        payment_id = (await gateway.post(f"/pay/{order_id}/approve")).json()["payment_id"]
        await refund(gateway, payment_id)
        await shop.received(0)
        assert [webhook["state"] for webhook in await log_of(gateway)] == ["held"] * 3

        assert (await gateway.post("/v1/webhooks/release")).json() == {"released": 3}
        told = [sent.event["event"] for sent in await shop.received(3)]
        assert told == ["refund.processed", "payment.captured", "payment.failed"]
        assert (await gateway.post("/v1/webhooks/release")).json() == {"released": 0}
        assert [webhook["state"] for webhook in await log_of(gateway)] == ["delivered"] * 3

    async def test_released_is_repeated_like_any_other(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        shop.answers = [500]
        await break_it(gateway, webhook_held=True)
        order_id = await place(gateway)
        await gateway.post(f"/pay/{order_id}/decline")
        await gateway.post(f"/pay/{order_id}/approve")
        await gateway.post("/v1/webhooks/release")
        told = [sent.event["event"] for sent in await shop.received(3)]
        assert told[0] == "payment.captured"
        assert sorted(told) == ["payment.captured", "payment.captured", "payment.failed"]


class TestContents:
    @staticmethod
    def parts(delivery: Delivery) -> list[Any]:
        return [delivery.event[name] for name in ("order", "payment", "refund")]

    @staticmethod
    async def told_of_refund(gateway: httpx.AsyncClient, shop: Shop, wrong: str) -> Delivery:
        """A refund event gone wrong, which has all three parts; the capture before it was told truly."""
        payment_id = await captured(gateway)
        await break_it(gateway, webhook_wrong=wrong)
        await refund(gateway, payment_id, amount_minor=450)
        told = (await shop.received(2))[-1]
        assert_signed(told)
        return told

    async def test_has_a_wrong_amount(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        told = await self.told_of_refund(gateway, shop, "amount")
        assert [part["amount_minor"] for part in self.parts(told)] == [123550, 123550, 550]

    async def test_has_a_wrong_currency(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        told = await self.told_of_refund(gateway, shop, "currency")
        assert [part["currency"] for part in self.parts(told)] == ["USD"] * 3

    @pytest.mark.parametrize("wrong", ["order_id", "reference"])
    async def test_names_another_order(self, gateway: httpx.AsyncClient, shop: Shop, wrong: str) -> None:
        other = await place(gateway, reference="bill-other")
        order_id = await make_paid(gateway)
        [true] = await shop.received(1)
        await break_it(gateway, webhook_wrong=wrong)
        event_id = true.event["id"]
        await gateway.post(f"/v1/webhooks/{event_id}/resend")
        false = (await shop.received(2))[1].event
        stranger = {"order_id": other, "reference": "bill-other"}[wrong]
        assert true.event["order"]["order_id"] == order_id
        assert false["order"] == true.event["order"] | {wrong: stranger}
        assert false["payment"] == true.event["payment"]

    @pytest.mark.parametrize("wrong", ["order_id", "reference"])
    async def test_names_an_order_that_nobody_has(
        self, gateway: httpx.AsyncClient, shop: Shop, wrong: str
    ) -> None:
        await break_it(gateway, webhook_wrong=wrong)
        order_id = await make_paid(gateway)
        [told] = await shop.received(1)
        truth = {"order_id": order_id, "reference": "bill-0001"}
        assert {name for name in truth if told.event["order"][name] != truth[name]} == {wrong}

    async def test_of_an_order_event_can_be_wrong_too(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, webhook_wrong="amount")
        await gateway.post(f"/v1/orders/{await place(gateway)}/close")
        [told] = await shop.received(1)
        assert told.event["order"]["amount_minor"] == 123550
        assert "payment" not in told.event


class TestSignature:
    async def test_is_by_the_newest_secret(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await make_paid(gateway)
        [told] = await shop.received(1)
        assert (is_signed(told, SECRET), is_signed(told, OLD_SECRET)) == (True, False)

    async def test_is_by_the_older_secret(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, webhook_signature="older")
        await make_paid(gateway)
        [told] = await shop.received(1)
        assert (is_signed(told, SECRET), is_signed(told, OLD_SECRET)) == (False, True)

    async def test_is_by_no_secret(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, webhook_signature="wrong")
        await make_paid(gateway)
        [told] = await shop.received(1)
        assert (is_signed(told, SECRET), is_signed(told, OLD_SECRET)) == (False, False)
        assert len(told.headers["x-sandbox-signature"]) == 64

    async def test_needs_the_older_secret_to_be_there(self, shop: Shop) -> None:
        async with open_gateway(shop, old_webhook_secret="") as gateway:
            answer = await gateway.put("/v1/faults", json={"webhook_signature": "older"})
            assert_problem(answer, 400, "old_secret_missing")
            assert (await gateway.get("/v1/faults")).json()["webhook_signature"] == "newest"

    async def test_is_of_a_stale_time(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, webhook_stale_s=3600)
        await make_paid(gateway)
        [stale] = await shop.received(1)
        assert 3600 <= age_s(stale) < 3610
        assert is_signed(stale)


class TestLog:
    async def test_shows_each_try_as_it_was_sent(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        shop.answers = [500]
        await break_it(gateway, webhook_wrong="amount", webhook_signature="older")
        order_id = await make_paid(gateway)
        sent = await shop.received(2)
        [webhook] = await log_of(gateway)
        tries = webhook.pop("tries")
        assert webhook == {
            "id": sent[0].event["id"],
            "event": "payment.captured",
            "order_id": order_id,
            "reference": "bill-0001",
            "created_at": sent[0].event["created_at"],
            "state": "delivered",
        }
        for one, delivery, status in zip(tries, sent, [500, 200], strict=True):
            assert one.pop("at").endswith("Z")
            assert one == {
                "timestamp": int(delivery.headers["x-sandbox-timestamp"]),
                "signed": "older",
                "wrong": "amount",
                "body": delivery.event,
                "status": status,
                "failure": None,
            }

    async def test_tells_why_there_was_no_answer(self, shop: Shop) -> None:
        async with open_gateway(shop, webhook_url="http://127.0.0.1:9", retry_delays_s=()) as gateway:
            await make_paid(gateway)
            for _ in range(100):
                [webhook] = await log_of(gateway)
                if webhook["state"] != "waiting":
                    break
                await asyncio.sleep(0.05)
        assert webhook["state"] == "given_up"
        assert [(one["status"], one["failure"]) for one in webhook["tries"]] == [(None, "ConnectError")]

    async def test_is_newest_first_limited_and_by_order(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        first = await make_paid(gateway)
        await gateway.post(f"/pay/{await place(gateway, reference='bill-0002')}/decline")
        await shop.received(2)

        async def listed(query: str) -> list[str]:
            found = (await gateway.get(f"/v1/webhooks{query}")).json()["webhooks"]
            return [webhook["event"] for webhook in found]

        assert await listed("") == ["payment.failed", "payment.captured"]
        assert await listed("?limit=1") == ["payment.failed"]
        assert await listed(f"?order_id={first}") == ["payment.captured"]
        assert await listed("?order_id=order_0") == []
        for limit in ("0", "201", "-1", "x", ""):
            assert_problem(await gateway.get(f"/v1/webhooks?limit={limit}"), 400, "bad_request")

    async def test_sends_an_event_again(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        await break_it(gateway, webhook_copies=0, webhook_held=True, webhook_delay_s=60)
        await make_paid(gateway)
        [webhook] = await log_of(gateway)
        answer = await gateway.post(f"/v1/webhooks/{webhook['id']}/resend")
        assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
        [told] = await shop.received(1)
        assert_signed(told)
        assert told.event["event"] == "payment.captured"

    async def test_knows_no_other_event(self, gateway: httpx.AsyncClient) -> None:
        assert_problem(await gateway.post("/v1/webhooks/evt_0/resend"), 404, "webhook_not_found")
