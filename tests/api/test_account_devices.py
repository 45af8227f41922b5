"""A gate's device at the whole API: it does the gate's work, and every other guard keeps it out."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from backend.accounts import Role, at_gate
from tests.world import (
    Person,
    Trip,
    guest,
    open_store,
    pay,
    ready_to_pay,
    refusal,
    services_of,
    staff_member,
)

pytestmark = pytest.mark.usefixtures("sandbox")


class Device:
    """A device that was added at a store."""

    def __init__(self, api: httpx.AsyncClient, manager: Person, path: str, made: dict[str, Any]) -> None:
        self._api = api
        self._manager = manager
        self._path = f"{path}/{made['device_id']}"
        self.headers = {"authorization": f"Bearer {made['credential']}"}

    async def scan(self, store_id: str, token: str, nonce: str = "one") -> httpx.Response:
        body = {"store_id": store_id, "gate_id": "gate-1", "token": token, "nonce": nonce}
        return await self._api.post("/gate/verify", json=body, headers=self.headers)

    async def revoke(self) -> None:
        assert (await self._manager.call("DELETE", self._path)).status_code == 204


async def put_up(app: Litestar, api: httpx.AsyncClient, store_id: str) -> Device:
    manager = await staff_member(services_of(app), api, store_id, Role.MANAGER)
    path = f"/stores/{store_id}/devices"
    return Device(api, manager, path, await manager.post(path, {"name": "Left door", "gate_id": "gate-1"}))


async def paid_pass(app: Litestar, api: httpx.AsyncClient, trip: Trip) -> str:
    made = await trip.shopper.post("/exit-pass/generate", {"order_id": await pay(app, api, trip)})
    token: str = made["token"]
    return token


async def test_opens_for_a_paid_pass_and_not_once_it_is_revoked(
    app: Litestar, api: httpx.AsyncClient
) -> None:
    trip = await ready_to_pay(app, api)
    store_id, token = trip.store.store_id, await paid_pass(app, api, trip)
    device, lost = await put_up(app, api, store_id), await put_up(app, api, store_id)
    stranger = await put_up(app, api, (await open_store(services_of(app))).store_id)
    await lost.revoke()
    assert refusal(await lost.scan(store_id, token)) == (401, "not_authenticated")
    assert refusal(await stranger.scan(store_id, token)) == (403, "forbidden")
    assert (await device.scan(store_id, token)).json()["verdict"] == "open"
    assert (await device.scan(store_id, token)).json()["verdict"] == "open"
    assert (await device.scan(store_id, token, "two")).json()["verdict"] == "refuse"


def guarded(app: Litestar) -> Iterator[tuple[str, str, bool]]:
    """Method and path of every route that is for somebody, and whether it is the gate's."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if guards := handler.resolve_guards():
                    path = route.path_format.replace("{", "").replace("}", "")
                    yield method, path, at_gate in guards


async def test_browsers_may_ask_what_the_routes_take(api: httpx.AsyncClient) -> None:
    for path in ("staff", "staff/usr_1", "staff/usr_1/code", "devices", "devices/dev_1"):
        assert (await api.options(f"/stores/store_1/{path}")).status_code == 204


async def test_every_other_guard_keeps_it_out(app: Litestar, api: httpx.AsyncClient) -> None:
    device = await put_up(app, api, (await open_store(services_of(app))).store_id)
    visitor = await guest(api)
    found = list(guarded(app))
    assert len(found) > 25
    for method, path, is_gates in found:
        answer = await api.request(method, path, headers=device.headers)
        assert (answer.status_code == 403) is not is_gates, f"{method} {path}"
        if is_gates:
            assert refusal(await visitor.call(method, path)) == (403, "forbidden"), f"{method} {path}"
