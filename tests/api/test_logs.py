"""The log tells what happened and nothing that anybody must not read."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from litestar import Litestar

from backend.kit import logs
from tests.world import PASSWORD, Person, guest, pay, ready_to_pay, services_of, staff_member

pytestmark = pytest.mark.usefixtures("sandbox")

PHONE = "+919876501234"
EMAIL = "asha.private@example.com"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the configured logging writes."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure("DEBUG")
    stream = io.StringIO()
    for handler in root.handlers:
        if isinstance(handler, logging.StreamHandler):
            monkeypatch.setattr(handler, "stream", stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]


async def test_a_journey_leaves_no_secret_in_the_log(
    app: Litestar, api: httpx.AsyncClient, written: io.StringIO
) -> None:
    secrets = [PASSWORD, PHONE, EMAIL, "asha@upi"]
    contact = {"phone": PHONE, "password": PASSWORD, "name": "Asha"}
    registered = await api.post("/auth/register", json=contact)
    await api.post("/auth/register", json=contact)
    await api.post("/auth/login", json={"email": EMAIL, "password": PASSWORD + "x"})
    secrets += strings_of(registered.json(), "access_token", "refresh_token")
    trip = await ready_to_pay(app, api)
    link = await services_of(app).carts.renew_join_link(
        await services_of(app).accounts.authenticate(trip.shopper.token), trip.session_id
    )
    await (await guest(api)).post("/session/join", {"token": link.token})
    quote = await trip.shopper.post("/checkout/calculate", {"session_id": trip.session_id})
    order_id = await pay(app, api, trip._replace(quote=quote))
    issued = await trip.shopper.post("/exit-pass/generate", {"order_id": order_id})
    guard = await staff_member(services_of(app), api, trip.store.store_id)
    await verify(guard, trip.store.store_id, issued["token"])
    await api.get("/auth/me", headers={"authorization": f"Bearer {trip.shopper.token}x"})
    secrets += [trip.shopper.token, guard.token, link.token, quote["signature"], issued["token"]]

    lines = written.getvalue().splitlines()
    assert len(lines) > 15
    for line in lines:
        record = json.loads(line)
        assert {"time", "level", "logger", "message"} <= record.keys()
    for secret in secrets:
        assert secret not in written.getvalue()


async def verify(guard: Person, store_id: str, token: str) -> None:
    scan = {"store_id": store_id, "gate_id": "gate-1", "token": token, "nonce": "n"}
    assert (await guard.post("/gate/verify", scan))["verdict"] == "open"


async def test_a_request_is_logged_with_its_id_and_route(
    api: httpx.AsyncClient, written: io.StringIO
) -> None:
    await api.get("/stores/secret-looking-id?token=abc", headers={"x-request-id": "my-request-1"})
    (line,) = [
        line for line in map(json.loads, written.getvalue().splitlines()) if line["message"] == "request"
    ]
    assert (line["request_id"], line["status"], line["method"]) == ("my-request-1", 404, "GET")
    assert line["route"] == "/stores/{store_id}"
    assert "abc" not in written.getvalue()


def strings_of(answer: dict[str, Any], *names: str) -> list[str]:
    return [answer[name] for name in names]
