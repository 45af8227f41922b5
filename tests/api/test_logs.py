"""What the log lines say of a whole shopping trip, and what they never say."""

import io
import json
import logging
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar, get

from backend import documents
from backend.app import create_app
from backend.kit import logs, mongo
from backend.kit.logs import request_id
from backend.kit.outbox import Outbox
from backend.settings import Settings
from tests.factories import NOW, FakeClock
from tests.phones import pick_up
from tests.support import serving
from tests.world import (
    PASSWORD,
    Person,
    Trip,
    deliver,
    gateway_event,
    guest,
    open_store,
    pay,
    services_of,
    signed,
    staff_member,
    start_session,
    stock,
)

pytestmark = pytest.mark.usefixtures("sandbox")

SECRET_FIELDS = {
    *("access_token", "refresh_token", "token", "password", "phone", "email"),
    *("signature", "vpa", "upi_uri", "url"),
}
SECRET_HEADERS = {"authorization", "x-sandbox-signature"}


UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")


class Secrets:
    """Whatever passed between the clients and the server that no line may hold."""

    def __init__(self, *known: str) -> None:
        self.found: dict[str, set[str]] = {"configured": set(known)}

    def client(self, address: str) -> httpx.AsyncClient:
        """A client that is listened to."""
        hooks: dict[str, list[Any]] = {"request": [self._sent], "response": [self._came]}
        return httpx.AsyncClient(base_url=address, event_hooks=hooks)

    async def _sent(self, request: httpx.Request) -> None:
        for header in SECRET_HEADERS & request.headers.keys():
            self._keep(header, request.headers[header].removeprefix("Bearer "))
        self._look_into(request.content)

    async def _came(self, response: httpx.Response) -> None:
        self._look_into(await response.aread())

    def _look_into(self, body: bytes) -> None:
        try:
            self._walk(json.loads(body))
        except ValueError:
            return

    def _walk(self, value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                self._walk(one)
        elif isinstance(value, dict):
            for field, inner in value.items():
                if field in SECRET_FIELDS and isinstance(inner, str) and inner:
                    self._keep(field, inner)
                self._walk(inner)

    def _keep(self, name: str, value: str) -> None:
        self.found.setdefault(name, set()).add(value)

    def in_line(self, line: str) -> list[str]:
        return [name for name, values in self.found.items() if any(value in line for value in values)]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Every line that is written, with our own loggers at their most talkative."""
    loggers = [logging.getLogger(name) for name in (None, "backend", "qless", *UVICORN)]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    logs.configure("DEBUG")
    stream, handler = io.StringIO(), logs.json_handler()
    handler.setStream(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


@pytest.fixture
async def shop(
    settings: Settings, database: mongo.Database, clock: FakeClock
) -> AsyncIterator[tuple[Litestar, str]]:
    """An application behind a real uvicorn, and its address."""
    app = create_app(settings, clock)

    @get("/failing", opt={"exclude_from_auth": True})
    async def failing() -> None:
        raise RuntimeError("a defect")

    app.register(failing)
    async with serving(app) as address:
        yield app, address
    await documents.bind(database)


async def register(api: httpx.AsyncClient, visitor: Person) -> Person:
    """Make a customer of a guest, with phone, e-mail and password."""
    body = {
        "name": "Asha",
        "password": "Qx7 blue mangoes " + secrets.token_hex(4),
        "phone": f"+9198{secrets.randbelow(10**8):08d}",
        "email": f"asha.{secrets.token_hex(4)}@example.com",
    }
    customer = Person(api, await visitor.post("/auth/register", body))
    login = {"phone": body["phone"], "password": body["password"]}
    assert (await api.post("/auth/login", json=login)).status_code == 200
    assert (await api.post("/auth/login", json={**login, "password": "not " + PASSWORD})).status_code == 401
    assert (await api.post("/auth/register", json=body)).status_code == 409
    await customer.refresh()
    return customer


async def go_shopping(app: Litestar, api: httpx.AsyncClient, address: str) -> tuple[Trip, dict[str, Any]]:
    """From the guest to the open gate; the paid trip and its pass."""
    services = services_of(app)
    store = await open_store(services)
    products = await stock(services, 1_000, 2_500)
    host, friend = await register(api, await guest(api)), await guest(api)
    session = await start_session(host, store, limit_minor=3_000)
    await friend.post("/session/join", {"token": session["join"]["token"]})
    phone = await pick_up(address, session["session_id"], friend.token)
    await phone.scan(products[0].barcode)
    trip = Trip(host, store, products, session["session_id"], {})
    await trip.add(products[1])
    quote = await host.post("/checkout/calculate", {"session_id": trip.session_id})
    trip = trip._replace(quote=quote)
    order_id = await pay(app, api, trip)
    await phone.hang_up()
    issued = await host.post("/exit-pass/generate", {"order_id": order_id})
    guard = await staff_member(services, api, store.store_id)
    scan = {"store_id": store.store_id, "gate_id": "g1", "token": issued["token"], "nonce": "n1"}
    assert (await guard.post("/gate/verify", scan))["verdict"] == "open"
    return trip, issued


async def go_wrong(
    app: Litestar, api: httpx.AsyncClient, address: str, trip: Trip, issued: dict[str, Any]
) -> None:
    """Every kind of refusal and failure, with secrets in all the wrong places."""
    token = trip.shopper.token
    await api.get(f"/products?token={token}")
    await api.get(f"/session/{token}")
    await api.get(f"/{token}")
    for header in (f"Basic {token}", f"Bearer {token}x", token):
        await api.get("/auth/me", headers={"authorization": header})
    await api.post("/auth/guest", content=f'{{"password": "{PASSWORD}"'.encode())
    await api.post("/auth/guest", json={token: "unknown"})
    await trip.shopper.call("POST", "/payment/initiate", json={**trip.to_pay, "signature": "x" * 43})
    await trip.shopper.call("POST", "/session/join", json={"token": issued["token"]})
    await trip.shopper.call("POST", "/gate/verify", json={"token": issued["token"]})
    event = gateway_event({"payment_id": "pay_x", "amount_minor": 1, "currency": "INR", "pay_url": "/pay/x"})
    now = services_of(app).clock.now()
    await api.post("/payment/webhook/sandbox", **signed(event, now, secret="another secret of a stranger"))
    await deliver(app, api, event)
    await api.get("/failing")
    await (await pick_up(address, trip.session_id, "no token of ours")).closed()
    await (await pick_up(address, trip.session_id, token, origin="https://evil.example")).closed()


async def fail_in_the_outbox(app: Litestar, trip: Trip) -> None:
    """A row whose payload holds what no line may."""
    services = services_of(app)

    async def fail(payload: dict[str, Any]) -> None:
        raise OSError("the mail server is away")

    outbox = Outbox(services.clock)
    outbox.on("mail", fail)
    payload = {"token": trip.shopper.token, "email": "asha@example.com"}
    await mongo.in_transaction(services.client, lambda session: outbox.add(session, "mail", payload))
    assert await outbox.work_one("mail")


class TestWholeTrip:
    async def test_leaves_lines_of_json_without_secrets(
        self, settings: Settings, shop: tuple[Litestar, str], lines: io.StringIO
    ) -> None:
        app, address = shop
        known = settings.qless_secret, settings.qless_sandbox_api_key, *settings.sandbox_webhook_secrets
        seen = Secrets(*known, PASSWORD, "asha@upi", "asha@example.com")
        async with seen.client(address) as api:
            trip, issued = await go_shopping(app, api, address)
            await go_wrong(app, api, address, trip, issued)
            await fail_in_the_outbox(app, trip)
        assert {*SECRET_FIELDS, *SECRET_HEADERS} <= seen.found.keys()
        written = lines.getvalue().splitlines()
        for line in written:
            entry = json.loads(line)
            assert {"time", "level", "logger", "message"} <= entry.keys()
            assert datetime.fromisoformat(entry["time"]).utcoffset() is not None
            assert seen.in_line(line) == [], line
        messages = {json.loads(line)["message"] for line in written}
        assert {"request", "unexpected error", "outbox row failed"} <= messages

    async def test_can_be_followed_by_its_payment_its_order_and_its_cart(
        self, shop: tuple[Litestar, str], lines: io.StringIO
    ) -> None:
        app, address = shop
        async with httpx.AsyncClient(base_url=address) as api:
            trip, _ = await go_shopping(app, api, address)
        entries = [json.loads(line) for line in lines.getvalue().splitlines()]
        [started] = [entry for entry in entries if entry["message"] == "payment started"]
        assert (started["session_id"], started["store_id"]) == (trip.session_id, trip.store.store_id)
        [request] = [
            entry
            for entry in entries
            if entry["logger"] == "qless.request" and entry["request_id"] == started["request_id"]
        ]
        assert request["route"] == "/payment/initiate"

        def told(**ids: str) -> list[str]:
            return [entry["message"] for entry in entries if ids.items() <= entry.items()]

        steps = ["payment started", "gateway event settled", "cart paid"]
        assert told(payment_id=started["payment_id"]) == steps
        [paid] = [entry for entry in entries if entry["message"] == "cart paid"]
        assert told(order_id=paid["order_id"]) == ["cart paid", "pass judged"]
        sockets = [name for name in told(session_id=trip.session_id) if name.startswith("socket")]
        assert sockets == ["socket opened", "socket closed"]

    async def test_has_a_line_for_each_request_with_its_id(
        self, shop: tuple[Litestar, str], lines: io.StringIO
    ) -> None:
        _, address = shop
        async with httpx.AsyncClient(base_url=address) as api:
            visitor = await guest(api)
            await visitor.call("GET", "/session/ses_1", headers={"x-request-id": "request-of-the-test"})
        entries = [json.loads(line) for line in lines.getvalue().splitlines()]
        [entry] = [entry for entry in entries if entry.get("request_id") == "request-of-the-test"]
        assert entry["logger"] == "qless.request"
        assert (entry["method"], entry["status"]) == ("GET", 404)
        assert entry["route"].startswith("/session/{session_id")
        assert entry["ms"] >= 0


class TestLines:
    def test_name_the_request_only_within_one(self, lines: io.StringIO) -> None:
        log = logging.getLogger("backend.tests")
        log.info("before")
        mark = request_id.set("req_1")
        log.info("during")
        request_id.reset(mark)
        entries = [json.loads(line) for line in lines.getvalue().splitlines()]
        assert [entry.get("request_id") for entry in entries] == [None, "req_1"]

    def test_are_one_each_whatever_is_said(self, lines: io.StringIO) -> None:
        log = logging.getLogger("backend.tests")
        try:
            raise ValueError("two\nlines \u2028 and \x1b[31m")
        except ValueError:
            log.exception("more\nlines", extra={"what": "\r\n", "raw": b"\xff", "moment": NOW})
        [line] = lines.getvalue().splitlines()
        assert "Traceback" in json.loads(line)["exc_info"]
        assert line.isascii()
        assert line.isprintable()


LIBRARIES = [
    "httpcore",
    "httpx",
    "pymongo.command",
    "redis",
    "asyncio",
    "litestar",
    "uvicorn.access",
    "uvicorn.error",
]
SAY_SOMETHING = f"""
import logging, logging.config, uvicorn.config
from backend.kit import logs
logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
logs.configure("DEBUG")
for name in {["backend.carts.log", "qless.request", *LIBRARIES]}:
    logging.getLogger(name).debug("debug")
    logging.getLogger(name).info("info")
    logging.getLogger(name).warning("warning")
"""


class TestConfigure:
    def test_lets_only_our_own_say_more_than_warnings(self, project: Path) -> None:
        """The libraries' debug lines hold headers, commands and frames."""
        done = subprocess.run(
            [sys.executable, "-c", SAY_SOMETHING], cwd=project, capture_output=True, text=True, check=True
        )
        said: dict[str, list[str]] = {}
        for line in done.stderr.splitlines():
            entry = json.loads(line)
            said.setdefault(entry["logger"], []).append(entry["message"])
        assert done.stdout == ""
        assert {said.pop("backend.carts.log")[0], said.pop("qless.request")[0]} == {"debug"}
        assert said == {name: ["warning"] for name in LIBRARIES}
