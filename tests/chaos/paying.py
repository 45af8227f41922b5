"""From a full cart through the gate, over HTTP. Webhooks are delivered here, signed as the sandbox gateway signs them."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

from tests.chaos.machines import Machines
from tests.chaos.phone import Failed
from tests.chaos.shopping import STORE, goods_of, new_family
from tests.world import Person, gateway_event, signed

Json = dict[str, Any]
Database = AsyncDatabase[Json]

DELIVERED_WITHIN_S = 30.0
BECOMES_WITHIN_S = 30.0


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=20)


async def start_to_pay(host: Person, session_id: str) -> Json | None:
    """Quote the cart and lock it as quoted; the payment, None if somebody scanned in between."""
    quote = await host.post("/checkout/calculate", {"session_id": session_id})
    to_pay = {"quote_id": quote["quote_id"], "signature": quote["signature"]}
    response = await host.call("POST", "/payment/initiate", json=to_pay)
    if response.status_code == 409 and response.json()["code"] == "quote_stale":
        return None
    assert response.status_code == 201, response.text
    payment: Json = response.json()
    assert payment["amount_minor"] == quote["totals"]["total_minor"]
    return payment


async def report(web: httpx.AsyncClient, payment: Json, kind: str) -> str:
    """Deliver the gateway's event until it is committed; what became of it."""
    event = gateway_event(payment, kind)
    async with asyncio.timeout(DELIVERED_WITHIN_S):
        while True:
            response = await web.post("/payment/webhook/sandbox", **signed(event, datetime.now(UTC)))
            if response.status_code == 200:
                outcome: str = response.json()["outcome"]
                return outcome
            assert response.status_code == 503, response.text
            await asyncio.sleep(0.2)


async def becomes(host: Person, session_id: str, status: str) -> None:
    """Wait until the cart has this status.

    Raises:
        Failed: it has not.
    """
    deadline = time.monotonic() + BECOMES_WITHIN_S
    while time.monotonic() < deadline:
        if (await host.get(f"/session/{session_id}"))["status"] == status:
            return
        await asyncio.sleep(0.05)
    raise Failed(f"{session_id} did not become {status}.")


async def shop_pay_and_leave(machines: Machines, barcodes: list[str], first: int) -> None:
    """One shopper's whole way, alternately at one server and the other; the pass opens the gate once."""
    one, other = machines.urls[first % 2], machines.urls[(first + 1) % 2]
    async with client_of(one) as here, client_of(other) as there:
        family = await new_family(here, 1)
        for barcode in barcodes:
            await family.host.post("/cart/add", {"session_id": family.session_id, "barcode": barcode})
        payment = await start_to_pay(family.host, family.session_id)
        assert payment
        assert await report(there, payment, "payment.captured") == "paid"
        await becomes(family.host, family.session_id, "completed")
        paid = await family.host.get(f"/payment/{payment['payment_id']}")
        issued = await family.host.post("/exit-pass/generate", {"order_id": paid["order_id"]})
        await _leave(there, issued["token"], machines.password)


async def _leave(web: httpx.AsyncClient, token: str, password: str) -> None:
    """Through the gate, checked first if the pass was drawn; a second scan is refused."""
    credentials = {"email": "gate@demo.qless.example", "password": password}
    guard = Person(web, (await web.post("/auth/login", json=credentials)).json())
    scan = {"store_id": STORE, "gate_id": "gate-1", "token": token, "nonce": secrets.token_hex(8)}
    verdict = await guard.post("/gate/verify", scan)
    if verdict["verdict"] == "check":
        verdict = await guard.post("/gate/release", scan)
    assert verdict["verdict"] == "open", verdict
    again = await guard.post("/gate/verify", {**scan, "nonce": secrets.token_hex(8)})
    assert (again["verdict"], again["code"]) == ("refuse", "already_used")


@asynccontextmanager
async def majority(machines: Machines) -> AsyncIterator[Database]:
    """What cannot be rolled back any more."""
    async with AsyncMongoClient[Json](machines.mongo.url, timeoutMS=30_000, tz_aware=True) as client:
        yield client.get_database(machines.database, read_concern=ReadConcern("majority"))


async def locked_carts(machines: Machines, number: int) -> list[Json]:
    """So many payments that wait to be made."""
    barcode = (await goods_of(machines.urls[0])).barcodes[0]
    turns = asyncio.Semaphore(8)

    async def one(n: int) -> Json:
        async with turns, client_of(machines.urls[n % 2]) as web:
            family = await new_family(web, 1)
            await family.host.post("/cart/add", {"session_id": family.session_id, "barcode": barcode})
            payment = await start_to_pay(family.host, family.session_id)
            assert payment
            return payment

    return await asyncio.gather(*(one(n) for n in range(number)))
