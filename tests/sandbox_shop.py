"""A merchant of the sandbox gateway, as its tests play it: a webhook receiver, orders in every state."""

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import msgspec
from litestar import Litestar

from backend.sandbox.app import SandboxSettings, create_app
from tests.support import PLAIN_PROTOCOL, running, serving

API_KEY = "key-of-the-demo-store"
SECRET = "secret-of-the-webhooks"
OLD_SECRET = "older-secret-of-the-webhooks"


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


def make_app(shop: Shop, **changes: Any) -> Litestar:
    settings = SandboxSettings(
        api_key=API_KEY,
        webhook_url=shop.url,
        webhook_secret=SECRET,
        old_webhook_secret=OLD_SECRET,
        public_url="https://pay.example/",
        retry_delays_s=(0.01, 0.01),
    )
    return create_app(msgspec.structs.replace(settings, **changes))


@asynccontextmanager
async def open_gateway(shop: Shop, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway without a server, which takes a third of the time."""
    app = make_app(shop, **changes)
    async with running(app), client_of(app) as client:
        client.headers["authorization"] = f"Bearer {API_KEY}"
        yield client


@asynccontextmanager
async def serve_gateway(shop: Shop, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway on a real server, as faults of connections need it."""
    async with (
        serving(make_app(shop, **changes), ws=PLAIN_PROTOCOL) as url,
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {API_KEY}"}) as client,
    ):
        yield client


def client_of(app: Litestar) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://pay.example")  # type: ignore[arg-type]


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


async def order_of(gateway: httpx.AsyncClient, order_id: str) -> Any:
    return (await gateway.get(f"/v1/orders/{order_id}")).json()


async def make_paid(gateway: httpx.AsyncClient, **changes: Any) -> str:
    order_id = await place(gateway, **changes)
    assert (await gateway.post(f"/pay/{order_id}/approve")).status_code == 200
    return order_id


async def captured(gateway: httpx.AsyncClient, **changes: Any) -> str:
    """The id of a payment captured for a new order."""
    order = await order_of(gateway, await make_paid(gateway, **changes))
    return str(order["payments"][-1]["payment_id"])


async def refund(
    gateway: httpx.AsyncClient, payment_id: str, reference: str = "refund-0001", amount_minor: Any = 450
) -> httpx.Response:
    body = {"reference": reference, "amount_minor": amount_minor}
    return await gateway.post(f"/v1/payments/{payment_id}/refunds", json=body)


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


def is_signed(delivery: Delivery, secret: str = SECRET) -> bool:
    timestamp, event_id = (delivery.headers[f"x-sandbox-{name}"] for name in ("timestamp", "event-id"))
    message = timestamp.encode() + b"." + event_id.encode() + b"." + delivery.body
    signature = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return delivery.headers["x-sandbox-signature"] == signature


def age_s(delivery: Delivery) -> float:
    """How old the time is that was signed."""
    return datetime.now(UTC).timestamp() - int(delivery.headers["x-sandbox-timestamp"])


def assert_signed(delivery: Delivery) -> None:
    event_id = delivery.headers["x-sandbox-event-id"]
    assert abs(age_s(delivery)) < 10
    assert is_signed(delivery)
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.event["id"] == event_id
    assert event_id.startswith("evt_")
