"""The client of `requests`: `python -m scripts.benchmarks.ask PLAN`, an `Asking` as JSON; prints what each request took.

It speaks HTTP/1.1 by itself, over so many connections that stay open: httpx alone takes longer than the servers do.
"""

import asyncio
import gc
import hashlib
import hmac
import json
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import Any, TypeVar

import msgspec
import uvloop

from scripts.benchmarks.figures import Asked, cpu_seconds, quantile
from scripts.benchmarks.plans import Asking

LINES = 16
CART_LINES = 5
QUOTES_A_CART = 4
LOOK_UPS_A_CART = 20

Json = dict[str, Any]
T = TypeVar("T")


class Refused(Exception):
    """An answer that is none of 200, 201."""


class Line:
    """One connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(
        self, method: str, path: str, body: Json | bytes | None = None, token: str = "", **headers: str
    ) -> Json:
        """The answer's JSON.

        Raises:
            Refused: the server says no.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        told = {"host": "bench", "content-length": f"{len(content)}", **headers}
        if content:
            told["content-type"] = "application/json"
        if token:
            told["authorization"] = f"Bearer {token}"
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode() + content)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = await self._reader.readexactly(size)
        if head.split(b" ")[1] not in {b"200", b"201"}:
            raise Refused(f"{method} {path}: {head[:20]!r} {answer[:300]!r}")
        found: Json = json.loads(answer)
        return found


class Trip(msgspec.Struct):
    """A shopper's way, as far as it went."""

    token: str
    session_id: str
    payment: Json = {}
    exit_pass: str = ""


class Client:
    """The lines to one server, and what is asked over them."""

    def __init__(self, asking: Asking, lines: Sequence[Line]) -> None:
        self._asking = asking
        self._lines = lines

    async def each(self, items: Sequence[T], work: Callable[[Line, T], Awaitable[None]]) -> list[float]:
        """Do the work on each item, on every line at once; the seconds each took."""
        waiting, took = iter(items), []

        async def on(line: Line) -> None:
            for item in waiting:
                began = time.perf_counter()
                await work(line, item)
                took.append(time.perf_counter() - began)

        await asyncio.gather(*(on(line) for line in self._lines))
        return took

    async def measure(self, items: Sequence[T], work: Callable[[Line, T], Awaitable[None]]) -> Asked:
        gc.collect()
        gc.disable()
        began, cpu = time.perf_counter(), cpu_seconds(self._asking.pid)
        took = sorted(await self.each(items, work))
        lasted, cpu = time.perf_counter() - began, cpu_seconds(self._asking.pid) - cpu
        gc.enable()
        p50, p99 = (quantile(took, share) * 1e3 for share in (0.5, 0.99))
        return Asked(len(took) / lasted, p50, p99, cpu / len(took) * 1e6)

    async def run(self) -> dict[str, Asked]:
        """Fill the carts, then ask; what is not measured is done between."""
        plan = self._asking
        trips: list[Trip] = []
        await self.each(range(plan.trips), lambda line, _: self._shop(line, trips))
        barcodes = list(islice(cycle(plan.barcodes), plan.trips * LOOK_UPS_A_CART))
        guard = (await self._lines[0].ask("POST", "/auth/login", plan.guard))["access_token"]
        found = {"product look-up": await self.measure(barcodes, self._look_up)}
        found["quote"] = await self.measure(trips * QUOTES_A_CART, self._quote)
        await self.each(trips, self._initiate)
        found["webhook"] = await self.measure(trips, self._pay)
        await self.each(trips, self._take_pass)
        found["pass verify"] = await self.measure(trips, lambda line, trip: self._leave(line, trip, guard))
        return found

    async def _shop(self, line: Line, trips: list[Trip]) -> None:
        token = (await line.ask("POST", "/auth/guest", {}))["access_token"]
        start = {"store_id": self._asking.store_id, "budget_limit_minor": 500_000}
        session_id = (await line.ask("POST", "/session/start", start, token))["session_id"]
        for barcode in self._asking.barcodes[:CART_LINES]:
            await line.ask("POST", "/cart/add", {"session_id": session_id, "barcode": barcode}, token)
        trips.append(Trip(token, session_id))

    async def _look_up(self, line: Line, barcode: str) -> None:
        await line.ask("GET", f"/products/{barcode}")

    async def _quote(self, line: Line, trip: Trip) -> None:
        await line.ask("POST", "/checkout/calculate", {"session_id": trip.session_id}, trip.token)

    async def _initiate(self, line: Line, trip: Trip) -> None:
        quote = await line.ask("POST", "/checkout/calculate", {"session_id": trip.session_id}, trip.token)
        to_pay = {"quote_id": quote["quote_id"], "signature": quote["signature"]}
        trip.payment = await line.ask("POST", "/payment/initiate", to_pay, trip.token)

    async def _pay(self, line: Line, trip: Trip) -> None:
        event, headers = captured(trip.payment, self._asking.webhook_secret)
        answer = await line.ask("POST", "/payment/webhook/sandbox", event, **headers)
        if answer["outcome"] != "paid":
            raise Refused(f"The webhook was {answer['outcome']}.")

    async def _take_pass(self, line: Line, trip: Trip) -> None:
        paid = await line.ask("GET", f"/payment/{trip.payment['payment_id']}", token=trip.token)
        order = {"order_id": paid["order_id"]}
        trip.exit_pass = (await line.ask("POST", "/exit-pass/generate", order, trip.token))["token"]

    async def _leave(self, line: Line, trip: Trip, guard: str) -> None:
        scan = {"store_id": self._asking.store_id, "gate_id": "gate-1", "nonce": secrets.token_hex(8)}
        answer = await line.ask("POST", "/gate/verify", {**scan, "token": trip.exit_pass}, guard)
        if answer["verdict"] != "open":
            raise Refused(f"The gate says {answer['verdict']}: {answer['code']}.")


def captured(payment: Json, secret: str) -> tuple[bytes, dict[str, str]]:
    """The sandbox's event of a payment that was made: its body and headers."""
    now = datetime.now(UTC)
    at, order_id = now.isoformat(), payment["pay_url"].rsplit("/", 1)[1]
    money = {"amount_minor": payment["amount_minor"], "currency": payment["currency"]}
    event_id = f"evt_{secrets.token_hex(8)}"
    order = {"order_id": order_id, "reference": payment["payment_id"], "status": "paid", **money}
    made = {"payment_id": f"upi_{order_id}", "status": "captured", "created_at": at, **money}
    event = {"id": event_id, "event": "payment.captured", "created_at": at, "order": order, "payment": made}
    body, sent_at = json.dumps(event).encode(), f"{int(now.timestamp())}"
    message = f"{sent_at}.{event_id}.".encode() + body
    return body, {
        "x-sandbox-event-id": event_id,
        "x-sandbox-timestamp": sent_at,
        "x-sandbox-signature": hmac.new(secret.encode(), message, hashlib.sha256).hexdigest(),
    }


async def run(asking: Asking) -> dict[str, Asked]:
    host, port = asking.url.removeprefix("http://").split(":")
    lines = [Line(*await asyncio.open_connection(host, int(port))) for _ in range(LINES)]
    return await Client(asking, lines).run()


def main() -> int:
    try:
        found = uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Asking)))
    except (Refused, OSError, asyncio.IncompleteReadError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
