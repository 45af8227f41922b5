"""Carts that outlive their hours and their guests."""

import httpx
import pytest
from litestar import Litestar

from tests.factories import FakeClock
from tests.world import Person, Trip, pay, ready_to_pay, refusal, services_of

Api = httpx.AsyncClient

pytestmark = pytest.mark.usefixtures("sandbox")


async def abandoned(app: Litestar, clock: FakeClock, trip: Trip) -> None:
    """Let four hours pass, and the shop look for idle carts."""
    carts = services_of(app).carts
    await carts.rooms.save_snapshots(0, all_dirty=True)
    clock.advance(hours=4)
    await trip.shopper.refresh()
    while await carts.abandon_idle():
        await carts.rooms.save_snapshots(0, all_dirty=True)


class TestIdleCart:
    async def test_is_abandoned_after_four_hours_and_restored_as_it_was(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip = await ready_to_pay(app, api, 1000, 2500)
        before = await trip.session()
        await abandoned(app, clock, trip)
        assert (await trip.session())["status"] == "abandoned"
        body = {"session_id": trip.session_id, "barcode": trip.products[0].barcode}
        assert await trip.shopper.refused("/cart/add", body) == (409, "cart_closed")
        restored = await trip.shopper.post(f"/session/{trip.session_id}/restore")
        assert restored["status"] == "active"
        assert (restored["items"], restored["totals"]) == (before["items"], before["totals"])
        await trip.add(trip.products[0])

    async def test_stays_open_when_something_happened_meanwhile(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip = await ready_to_pay(app, api)
        clock.advance(hours=3)
        await trip.shopper.refresh()
        await trip.add(trip.products[0])
        clock.advance(hours=3)
        await trip.shopper.refresh()
        await services_of(app).carts.abandon_idle()
        assert (await trip.session())["status"] == "active"

    async def test_is_left_alone_while_it_is_paid(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        trip = await ready_to_pay(app, api)
        await trip.initiate()
        await abandoned(app, clock, trip)
        assert (await trip.session())["status"] in {"locked", "active"}

    async def test_is_not_restored_by_who_is_no_member(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip, other = await ready_to_pay(app, api), await ready_to_pay(app, api)
        await abandoned(app, clock, trip)
        await other.shopper.refresh()
        path = f"/session/{trip.session_id}/restore"
        assert await other.shopper.refused(path) == (404, "session_not_found")


class TestGuestWhoRegisters:
    async def test_keeps_cart_order_and_points(self, app: Litestar, api: Api) -> None:
        paid = await ready_to_pay(app, api, 50_000)
        shopper = paid.shopper
        order_id = await pay(app, api, paid)
        points = (await shopper.get("/rewards/balance"))["points"]
        assert points > 0
        started = await shopper.post("/session/start", {"store_id": paid.store.store_id})
        add = {"session_id": started["session_id"], "barcode": paid.products[0].barcode}
        await shopper.post("/cart/add", add)

        email = f"{shopper.user_id.replace('_', '-')}@example.com"
        password = "correct horse 42"
        registered = await shopper.post(
            "/auth/register", {"email": email, "password": password, "name": "Asha"}
        )
        assert registered["user"]["user_id"] == shopper.user_id
        login = await api.post("/auth/login", json={"email": email, "password": password})
        later = Person(api, login.json())
        session = await later.get(f"/session/{started['session_id']}")
        assert session["host_user_id"] == later.user_id
        assert [item["qty"] for item in session["items"]] == [1]
        assert (await later.get("/orders/history"))["items"][0]["order_id"] == order_id
        assert (await later.get("/rewards/balance"))["points"] == points

    async def test_is_unknown_to_a_stranger(self, app: Litestar, api: Api) -> None:
        mine, other = await ready_to_pay(app, api), await ready_to_pay(app, api)
        seen = await other.shopper.call("GET", f"/session/{mine.session_id}")
        assert refusal(seen) == (404, "session_not_found")
