"""What a shopper and a guard notice of a key that is replaced: nothing, unless it was compromised."""

from typing import Any

import httpx
import jwt
import pytest
from litestar import Litestar

from backend.accounts import Role
from backend.exits import ExitKeys, Exits
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.factories import FakeClock
from tests.gates import at_the_gate, gate_of, generate
from tests.world import Person, open_store, services_of

pytestmark = pytest.mark.usefixtures("sandbox")

Api = httpx.AsyncClient


async def rotate(manager: Person, store_id: str, *, compromised: bool) -> dict[str, Any]:
    body = {"store_id": store_id, "compromised": compromised}
    answer: dict[str, Any] = await manager.post("/exit-keys/rotate", body)
    return answer


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


async def published(api: Api, store_id: str) -> list[str]:
    keys = (await api.get("/.well-known/jwks.json")).json()["keys"]
    return [key["kid"] for key in keys if key["store_id"] == store_id]


class TestRotation:
    async def test_is_for_managers_of_the_store(self, app: Litestar, api: Api) -> None:
        trip, _, gate = await at_the_gate(app, api)
        other = await open_store(services_of(app))
        body = {"store_id": trip.store.store_id, "compromised": True}
        strangers = [
            gate.guard,
            (await gate_of(app, api, other.store_id, Role.MANAGER)).guard,
            (await gate_of(app, api, trip.store.store_id, Role.SUPERVISOR)).guard,
        ]
        for stranger in strangers:
            assert await stranger.refused("/exit-keys/rotate", body) == (403, "forbidden")

    async def test_refuses_no_pass(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        store_id = trip.store.store_id
        manager = (await gate_of(app, api, store_id, Role.MANAGER)).guard
        made = await rotate(manager, store_id, compromised=False)
        assert made["withdrawn"] == []
        assert await published(api, store_id) == [kid_of(issued["token"]), made["kid"]]
        assert (await generate(trip, issued["order_id"]))["token"] == issued["token"]
        assert await gate.scan(issued["token"]) == ("open", "ok")
        _, later, gate = await at_the_gate(app, api, store_id=store_id)
        assert kid_of(later["token"]) == made["kid"]
        assert await gate.scan(later["token"]) == ("open", "ok")

    async def test_for_a_compromised_key_refuses_its_passes_and_renews_them(
        self, app: Litestar, api: Api
    ) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        store_id = trip.store.store_id
        manager = (await gate_of(app, api, store_id, Role.MANAGER)).guard
        made = await rotate(manager, store_id, compromised=True)
        assert made["withdrawn"] == [kid_of(issued["token"])]
        assert await published(api, store_id) == [made["kid"]]
        refused = await gate.full(issued["token"])
        assert (refused["verdict"], refused["code"]) == ("refuse", "key_withdrawn")
        assert "open the order in the app" in refused["reason"]
        renewed = await generate(trip, issued["order_id"])
        assert kid_of(renewed["token"]) == made["kid"]
        assert await gate.scan(renewed["token"]) == ("open", "ok")
        assert await gate.scan(issued["token"]) == ("refuse", "key_withdrawn")

    async def test_is_in_the_trail(self, app: Litestar, api: Api) -> None:
        trip, issued, _ = await at_the_gate(app, api)
        store_id = trip.store.store_id
        manager = (await gate_of(app, api, store_id, Role.MANAGER)).guard
        made = await rotate(manager, store_id, compromised=True)
        rows = (await manager.get(f"/stores/{store_id}/gate/events"))["items"]
        told = {(row["kind"], row["by"], row["kid"]) for row in rows}
        old = kid_of(issued["token"])
        assert told == {
            ("key_made", "system", old),
            ("key_made", manager.user_id, made["kid"]),
            ("key_withdrawn", manager.user_id, old),
        }


class TestLostSecret:
    async def test_leaves_old_passes_good_and_gives_new_ones(
        self, app: Litestar, api: Api, settings: Settings, clock: FakeClock
    ) -> None:
        """A server with another secret opens no sealed key."""
        trip, issued, gate = await at_the_gate(app, api)
        services, keyring = services_of(app), Keyring("another secret of thirty-two characters")
        keys = ExitKeys(settings, clock, keyring)
        changed = Exits(settings, clock, services.client, keyring, keys)
        shopper = await services.accounts.authenticate(trip.shopper.token)
        renewed = await changed.generate(shopper, issued["order_id"])
        assert kid_of(renewed.token) != kid_of(issued["token"])
        assert await gate.scan(issued["token"]) == ("open", "ok")
        assert await gate.scan(renewed.token) == ("refuse", "already_used")
