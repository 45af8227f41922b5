"""The sandbox gateway as a process of its own, and the relay that hands its webhooks to the servers by turns."""

import asyncio
import itertools
import os
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from backend.kit.embedded import LOCALHOST
from tests.chaos.machines import Program

Json = dict[str, Any]

WEBHOOK_PATH = "/payment/webhook/sandbox"
ANSWERED_WITHIN_S = 15.0
"""Longer than the gateway waits: what a server says after that is judged all the same."""
NEWEST = 200
"""How many orders the gateway lists at once."""


class Relay:
    """The one address that the gateway knows. Notes what the servers answered."""

    def __init__(self) -> None:
        self.servers: Sequence[str] = ()
        self.taken: set[str] = set()
        """Ids of the events that a server answered with 2xx."""
        self.answers: Counter[str] = Counter()
        """How often which status was answered; `none` where there was no answer."""
        self._turns = itertools.count()
        self._web = httpx.AsyncClient(timeout=ANSWERED_WITHIN_S)

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one webhook on, and its answer back."""
        try:
            _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
            }
            body = await reader.readexactly(int(headers["content-length"]))
            status = await self._hand_on(headers, body)
            writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            self.answers["none"] += 1
        finally:
            writer.close()

    async def _hand_on(self, headers: Mapping[str, str], body: bytes) -> int:
        signed = {name: value for name, value in headers.items() if name.startswith("x-sandbox-")}
        server = self.servers[next(self._turns) % len(self.servers)]
        try:
            response = await self._web.post(server + WEBHOOK_PATH, content=body, headers=signed)
        except httpx.TransportError:
            self.answers["none"] += 1
            return 502
        self.answers[str(response.status_code)] += 1
        if response.is_success:
            self.taken.add(headers["x-sandbox-event-id"])
        return response.status_code

    async def close(self) -> None:
        await self._web.aclose()


class Simulator(Program):
    """It keeps its orders in memory, so that it is never killed."""

    def __init__(self, folder: Path, webhook_url: str) -> None:
        super().__init__("simulator", folder)
        self._key = secrets.token_urlsafe(24)
        self._webhook_secret = secrets.token_urlsafe(24)
        self._webhook_url = webhook_url
        headers = {"authorization": f"Bearer {self._key}"}
        self._web = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20)

    @property
    def url(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"

    @property
    def told(self) -> Mapping[str, str]:
        """What servers are told of it."""
        return {
            "QLESS_SANDBOX_URL": self.url,
            "QLESS_SANDBOX_API_KEY": self._key,
            "QLESS_SANDBOX_WEBHOOK_SECRETS": self._webhook_secret,
        }

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", "--factory", "backend.sandbox.app:from_environment"),
            *("--host", LOCALHOST, "--port", str(self.port), "--no-access-log", "--log-level", "warning"),
        ]

    def environment(self) -> Mapping[str, str]:
        return os.environ | {
            "SANDBOX_API_KEY": self._key,
            "SANDBOX_WEBHOOK_URL": self._webhook_url,
            "SANDBOX_WEBHOOK_SECRET": self._webhook_secret,
            "SANDBOX_PUBLIC_URL": self.url,
        }

    async def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """What it answers; with a `code` where it refused."""
        response = await self._web.request(method, path, json=body)
        assert response.status_code < 500, response.text
        answer: Json = response.json()
        return answer

    async def approve(self, payment: Json) -> bool:
        """Pay at the UPI app; False where the order takes no payment."""
        return "code" not in await self.call("POST", f"/pay/{order_of(payment)}/approve")

    async def decline(self, payment: Json) -> bool:
        return "code" not in await self.call("POST", f"/pay/{order_of(payment)}/decline")

    async def faults(self, payment: Json, **fields: object) -> None:
        """The faults of one order, all others of it healed."""
        await self.call("PUT", f"/v1/orders/{order_of(payment)}/faults", fields)

    async def all_faults(self, **fields: object) -> None:
        await self.call("PUT", "/v1/faults", fields)

    async def release(self) -> None:
        """Send the events that are held, the newest first."""
        await self.call("POST", "/v1/webhooks/release", {})

    async def newest_orders(self) -> list[Json]:
        """The orders placed last, with their payments and refunds; 200 at most."""
        found: list[Json] = (await self.call("GET", f"/v1/orders?limit={NEWEST}"))["orders"]
        return found

    async def close(self) -> None:
        await self._web.aclose()
        await super().close()


def order_of(payment: Json) -> str:
    """The gateway's order of a payment."""
    return str(payment["pay_url"]).rsplit("/", 1)[1]


@asynccontextmanager
async def simulating(folder: Path) -> AsyncIterator[tuple[Simulator, Relay]]:
    """The gateway and its relay, which has no servers yet."""
    relay = Relay()
    listener = await asyncio.start_server(relay.receive, LOCALHOST, 0)
    port = listener.sockets[0].getsockname()[1]
    simulator = Simulator(folder, f"http://{LOCALHOST}:{port}/")
    try:
        await simulator.start()
        yield simulator, relay
    finally:
        await simulator.close()
        listener.close()
        await relay.close()
