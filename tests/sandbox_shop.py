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
