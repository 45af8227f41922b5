"""The sandbox payment gateway as its two sides see it: HTTP calls in, webhooks out to a real socket."""

import asyncio
import hashlib
import hmac
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from litestar import Litestar

from backend.sandbox import webhooks
from backend.sandbox.app import SandboxSettings, create_app, from_environment
from backend.sandbox.page import rupees
from tests.support import running

API_KEY = "key-of-the-demo-store"
SECRET = "secret-of-the-webhooks"


class Delivery(NamedTuple):
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)


class Shop:
    """A merchant's webhook receiver; ``answers`` are the statuses to give first, None for no answer, 200 after them."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[int | None] = []
        self.deliveries: list[Delivery] = []
        self.arrival = asyncio.Condition()

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        self.deliveries.append(Delivery(headers, await reader.readexactly(int(headers["content-length"]))))
        async with self.arrival:
            self.arrival.notify_all()
        status = self.answers.pop(0) if self.answers else 200
        if status is None:
            await reader.read()  # ends when the gateway hangs up
        else:
            writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()

    async def received(self, count: int) -> list[Delivery]:
        """The deliveries once there are ``count``; fails on more, looking a little longer for them."""
        async with asyncio.timeout(10), self.arrival:
            await self.arrival.wait_for(lambda: len(self.deliveries) >= count)
        await asyncio.sleep(0.1)
        assert len(self.deliveries) == count
        return self.deliveries


@asynccontextmanager
async def open_shop(tls: ssl.SSLContext | None = None) -> AsyncIterator[Shop]:
    shop = Shop()
    server = await asyncio.start_server(shop.receive, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    shop.url = f"http{'s' if tls else ''}://127.0.0.1:{port}/payment/webhook/sandbox"
    async with server:
        yield shop


@asynccontextmanager
async def open_gateway(shop: Shop, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = SandboxSettings(
        api_key=API_KEY,
        webhook_url=shop.url,
        webhook_secret=SECRET,
        public_url="https://pay.example/",
        retry_delays_s=(0.01, 0.01),
    )
    app = create_app(msgspec.structs.replace(settings, **changes))
    async with running(app), client_of(app) as client:
        client.headers["authorization"] = f"Bearer {API_KEY}"
        yield client


def client_of(app: Litestar) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://pay.example")  # type: ignore[arg-type]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as shop:
        yield shop


@pytest.fixture
async def gateway(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with open_gateway(shop) as client:
        yield client


def make_order(expires_in_s: float = 600, **changes: Any) -> dict[str, Any]:
    expires_at = (datetime.now(UTC) + timedelta(seconds=expires_in_s)).isoformat()
    return {
        "reference": "bill-0001",
        "amount_minor": 123450,
        "currency": "INR",
        "expires_at": expires_at,
    } | changes


async def place(gateway: httpx.AsyncClient, **changes: Any) -> str:
    """The id of a new order."""
    answer = await gateway.post("/v1/orders", json=make_order(**changes))
    assert answer.status_code == 201
    return str(answer.json()["order_id"])


async def status_of(gateway: httpx.AsyncClient, order_id: str) -> str:
    return str((await gateway.get(f"/v1/orders/{order_id}")).json()["status"])


async def make_paid(gateway: httpx.AsyncClient) -> str:
    order_id = await place(gateway)
    await gateway.post(f"/pay/{order_id}/approve")
    return order_id


async def make_closed(gateway: httpx.AsyncClient) -> str:
    order_id = await place(gateway)
    await gateway.post(f"/v1/orders/{order_id}/close")
    return order_id


async def make_expired(gateway: httpx.AsyncClient) -> str:
    order_id = await place(gateway, expires_in_s=0.05)
    await asyncio.sleep(0.06)
    return order_id


FINAL = [(make_paid, "already_paid"), (make_closed, "order_closed"), (make_expired, "order_expired")]


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code"}
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)


def assert_signed(delivery: Delivery) -> None:
    timestamp, event_id = (delivery.headers[f"x-sandbox-{name}"] for name in ("timestamp", "event-id"))
    assert abs(int(timestamp) - datetime.now(UTC).timestamp()) < 10
    message = timestamp.encode() + b"." + event_id.encode() + b"." + delivery.body
    assert (
        delivery.headers["x-sandbox-signature"]
        == hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
    )
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.event["id"] == event_id
    assert event_id.startswith("evt_")


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
    @pytest.mark.parametrize(
        "call",
        [
            "POST /v1/orders",
            "GET /v1/orders?reference=bill-0001",
            "GET /v1/orders/x",
            "POST /v1/orders/x/close",
            "POST /v1/orders/x/refunds",
        ],
    )
    async def test_is_required_of_the_merchant(self, gateway: httpx.AsyncClient, call: str, key: str) -> None:
        answer = await gateway.request(*call.split(), headers={b"authorization": key.encode()})
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
        await shop.received(len(before["payments"]))

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


class TestRefund:
    @staticmethod
    async def refund(
        gateway: httpx.AsyncClient, order_id: str, reference: str, amount_minor: int
    ) -> httpx.Response:
        body = {"reference": reference, "amount_minor": amount_minor}
        return await gateway.post(f"/v1/orders/{order_id}/refunds", json=body)

    async def test_gives_back_and_tells(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await make_paid(gateway)
        answer = await self.refund(gateway, order_id, "refund-0001", 450)
        refund = answer.json()
        order = (await gateway.get(f"/v1/orders/{order_id}")).json()
        assert answer.status_code == 201
        assert refund == {
            "refund_id": refund["refund_id"],
            "reference": "refund-0001",
            "order_id": order_id,
            "payment_id": order["payments"][0]["payment_id"],
            "amount_minor": 450,
            "status": "processed",
        }
        assert (order["status"], order["refunds"]) == ("paid", [refund])
        [told] = [sent for sent in await shop.received(2) if sent.event["event"] == "refund.processed"]
        assert_signed(told)
        assert (told.event["payment"], told.event["refund"]) == (order["payments"][0], refund)

    async def test_happens_once_under_one_reference(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await make_paid(gateway)
        answers = await asyncio.gather(
            *(self.refund(gateway, order_id, "refund-0001", 123450) for _ in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
        assert len({answer.json()["refund_id"] for answer in answers}) == 1
        assert_problem(await self.refund(gateway, order_id, "refund-0001", 1), 409, "reference_reused")
        await shop.received(2)

    async def test_names_one_refund_among_all_orders(self, gateway: httpx.AsyncClient) -> None:
        await self.refund(gateway, await make_paid(gateway), "refund-0001", 1)
        other = await place(gateway, reference="bill-0002")
        await gateway.post(f"/pay/{other}/approve")
        assert_problem(await self.refund(gateway, other, "refund-0001", 1), 409, "reference_reused")

    async def test_never_exceeds_the_payment(self, gateway: httpx.AsyncClient) -> None:
        order_id = await make_paid(gateway)
        answers = await asyncio.gather(
            *(self.refund(gateway, order_id, f"refund-000{n}", 50_000) for n in range(5))
        )
        assert [answer.status_code for answer in answers] == [201, 201, 409, 409, 409]
        assert_problem(
            await self.refund(gateway, order_id, "refund-last", 23_451), 409, "refund_exceeds_payment"
        )
        assert (await self.refund(gateway, order_id, "refund-last", 23_450)).status_code == 201

    async def test_needs_a_captured_payment(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        order_id = await place(gateway)
        await gateway.post(f"/pay/{order_id}/decline")
        assert_problem(await self.refund(gateway, order_id, "refund-0001", 1), 409, "refund_exceeds_payment")
        assert_problem(await self.refund(gateway, "order_0", "refund-0001", 1), 404, "order_not_found")
        await shop.received(1)

    @pytest.mark.parametrize(
        ("reference", "amount"), [("short", 1), ("refund-0001", 0), ("refund-0001", "1")]
    )
    async def test_refuses_bad_fields(self, gateway: httpx.AsyncClient, reference: str, amount: Any) -> None:
        order_id = await make_paid(gateway)
        assert_problem(await self.refund(gateway, order_id, reference, amount), 400, "bad_request")


class TestWebhooks:
    def test_signature_is_hmac_sha256_of_time_id_and_body(self) -> None:
        expected = hmac.new(b"s", b"1700000000.evt_1.{}", "sha256").hexdigest()
        assert webhooks.sign("s", 1700000000, "evt_1", b"{}") == expected

    async def test_are_retried_until_a_2xx_and_signed_anew(self, shop: Shop) -> None:
        shop.answers = [500, 302, 204]
        async with open_gateway(shop, retry_delays_s=(0.01, 1.0, 0.01)) as gateway:
            await make_paid(gateway)
            tries = await shop.received(3)
        for delivery in tries:
            assert_signed(delivery)
        assert len({delivery.body for delivery in tries}) == 1
        assert len({delivery.headers["x-sandbox-event-id"] for delivery in tries}) == 1
        assert tries[0].headers["x-sandbox-timestamp"] != tries[2].headers["x-sandbox-timestamp"]
        assert tries[0].headers["x-sandbox-signature"] != tries[2].headers["x-sandbox-signature"]

    async def test_are_given_up_after_the_last_delay(
        self, gateway: httpx.AsyncClient, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop.answers = [500, 404, 503]
        await make_paid(gateway)
        event_id = (await shop.received(3))[0].event["id"]
        [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert error.getMessage() == f"webhook {event_id}: given up after 3 tries"

    async def test_are_retried_without_an_answer(
        self, gateway: httpx.AsyncClient, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhooks, "ANSWER_WITHIN_S", 0.1)
        shop.answers = [None]
        await make_paid(gateway)
        await shop.received(2)

    async def test_hold_up_no_other(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        shop.answers = [None]
        await gateway.post(f"/pay/{await place(gateway)}/decline")
        await shop.received(1)
        await gateway.post(f"/pay/{await place(gateway, reference='bill-0002')}/approve")
        await shop.received(2)

    async def test_end_at_shutdown(self, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
        shop.answers = [500]
        async with open_gateway(shop, retry_delays_s=(600,)) as gateway:
            await make_paid(gateway)
            [delivery] = await shop.received(1)
        assert f"webhook {delivery.event['id']}: ended by shutdown" in caplog.messages
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("evt_")]

    async def test_log_neither_secret_nor_vpa(
        self, gateway: httpx.AsyncClient, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "backend")
        shop.answers = [500]
        await gateway.post(f"/pay/{await place(gateway)}/approve", json={"vpa": "asha@okbank"})
        event_id = (await shop.received(2))[0].event["id"]
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("backend")]
        assert lines == [
            f"webhook {event_id}: try 1 of 3 failed: status 500",
            f"webhook {event_id}: delivered at try 2",
        ]

    async def test_reach_a_self_signed_shop_only_when_it_is_trusted(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        certificate, tls = self_signed(tmp_path)
        async with open_shop(tls) as shop:
            async with open_gateway(shop, webhook_ca=str(certificate)) as trusting:
                await make_paid(trusting)
                assert_signed((await shop.received(1))[0])
            async with open_gateway(shop) as doubting:
                await make_paid(doubting)
                await asyncio.sleep(0.3)
                assert len(shop.deliveries) == 1
        assert caplog.messages[-1].endswith("given up after 3 tries")


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 in a file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(minutes=5))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "shop.pem", folder / "shop.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate_file, key_file)
    return certificate_file, tls


class TestPage:
    @pytest.mark.parametrize(
        ("amount_minor", "text"),
        [
            (1, "₹0.01"),
            (99_900, "₹999.00"),
            (10_000_005, "₹1,00,000.05"),
            (12_345_678_950, "₹12,34,56,789.50"),
        ],
    )
    def test_groups_rupees_as_india_does(self, amount_minor: int, text: str) -> None:
        assert rupees(amount_minor) == text

    async def test_asks_for_an_answer(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway, note='<script>alert("1")</script>$title')
        answer = await gateway.get(f"/pay/{order_id}")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        for text in (
            "Q-Less Demo Store",
            "₹1,234.50",
            "bill-0001",
            "Simulator: no real money",
            ">Approve<",
            ">Decline<",
        ):
            assert text in answer.text
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;$title" in answer.text
        assert '<div class="actions" >' in answer.text

    @pytest.mark.parametrize(
        ("make", "heading"),
        [
            (make_paid, "Payment successful"),
            (make_closed, "Request closed"),
            (make_expired, "Request expired"),
        ],
    )
    async def test_shows_a_final_state_without_buttons(
        self, gateway: httpx.AsyncClient, make: Callable[..., Any], heading: str
    ) -> None:
        page = (await gateway.get(f"/pay/{await make(gateway)}")).text
        assert f"autofocus>{heading}</h1>" in page
        assert '<div class="actions" hidden>' in page

    async def test_keeps_the_buttons_after_a_decline(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway)
        await gateway.post(f"/pay/{order_id}/decline")
        page = (await gateway.get(f"/pay/{order_id}")).text
        assert "Payment declined</h1>" in page
        assert '<div class="actions" >' in page

    async def test_runs_only_its_own_files(self, gateway: httpx.AsyncClient) -> None:
        answer = await gateway.get(f"/pay/{await place(gateway)}")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        for inline in (" style=", " onclick=", "<style", "<script>"):
            assert inline not in answer.text
        for name, media_type in (
            ("pay.js", "text/javascript"),
            ("pay.css", "text/css"),
            ("pay.svg", "image/svg+xml"),
        ):
            assert f'"../assets/{name}"' in answer.text
            asset = await gateway.get(f"/assets/{name}")
            assert (asset.status_code, asset.headers["content-type"].split(";")[0]) == (200, media_type)

    @pytest.mark.parametrize("name", ["page.html", "%00", "%2e%2e%2fapp.py", "x" * 5000])
    async def test_serves_no_other_file(self, gateway: httpx.AsyncClient, name: str) -> None:
        assert_problem(await gateway.get(f"/assets/{name}"), 404, "not_found")


class TestFromEnvironment:
    ENVIRONMENT = {
        "SANDBOX_API_KEY": API_KEY,
        "SANDBOX_WEBHOOK_URL": "http://127.0.0.1:8000/payment/webhook/sandbox",
        "SANDBOX_WEBHOOK_SECRET": SECRET,
        "SANDBOX_PUBLIC_URL": "http://127.0.0.1:8001",
    }

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in self.ENVIRONMENT.items():
            monkeypatch.setenv(name, value)

    async def test_makes_a_gateway_that_lives(self) -> None:
        app = from_environment()
        async with running(app), client_of(app) as client:
            assert (await client.get("/health/live")).status_code == 200

    @pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
    def test_names_a_missing_variable(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        monkeypatch.delenv(missing)
        with pytest.raises(msgspec.ValidationError, match=missing):
            from_environment()

    @pytest.mark.parametrize(
        ("name", "value"),
        [("SANDBOX_API_KEY", ""), ("SANDBOX_WEBHOOK_URL", "shop.example"), ("SANDBOX_PUBLIC_URL", "ftp://x")],
    )
    def test_names_a_malformed_variable(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(msgspec.ValidationError, match=name):
            from_environment()
