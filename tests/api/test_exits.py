"""The pass, and the gate that opens once."""

import httpx
import jwt
import pytest
from litestar import Litestar

from backend.accounts import Role
from backend.exits.tokens import MAX_CHARACTERS
from tests.drawing import draw, read_qr
from tests.factories import FakeClock
from tests.gates import at_the_gate, gate_of, generate
from tests.world import guest, open_store, pay, ready_to_pay, services_of, staff_member

pytestmark = pytest.mark.usefixtures("sandbox")

Api = httpx.AsyncClient


class TestPass:
    async def test_is_signed_by_a_published_key_of_its_store(self, app: Litestar, api: Api) -> None:
        trip, issued, _ = await at_the_gate(app, api)
        keys = (await api.get("/.well-known/jwks.json")).json()["keys"]
        header = jwt.get_unverified_header(issued["token"])
        (key,) = [key for key in keys if key["kid"] == header["kid"]]
        claims = jwt.decode(
            issued["token"],
            jwt.PyJWK(key).key,
            algorithms=["EdDSA"],
            audience=trip.store.store_id,
            issuer="q-less",
        )
        assert header["typ"] == "exit-pass+jwt"
        assert key["store_id"] == trip.store.store_id
        assert "d" not in key
        assert claims["sub"] == issued["order_id"]
        assert claims["exp"] - claims["iat"] == 1800
        assert claims["b"] == [2, 3500, 0]

    async def test_is_short(self, app: Litestar, api: Api) -> None:
        _, issued, _ = await at_the_gate(app, api)
        assert len(issued["token"]) <= MAX_CHARACTERS

    async def test_is_the_same_until_its_time_is_over(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        order = {"order_id": issued["order_id"]}
        clock.advance(minutes=29)
        await trip.shopper.refresh()
        assert (await trip.shopper.post("/exit-pass/generate", order))["token"] == issued["token"]
        clock.advance(minutes=1)
        renewed = await trip.shopper.post("/exit-pass/generate", order)
        assert renewed["pass_id"] != issued["pass_id"]
        await gate.guard.refresh()
        assert await gate.scan(issued["token"]) == ("refuse", "pass_expired")
        assert await gate.scan(renewed["token"]) == ("open", "ok")

    async def test_is_not_given_again_once_used(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        await gate.scan(issued["token"])
        refused = await trip.shopper.refused("/exit-pass/generate", {"order_id": issued["order_id"]})
        assert refused == (409, "pass_used")

    async def test_reads_from_its_rendered_qr(self, app: Litestar, api: Api) -> None:
        _, issued, _ = await at_the_gate(app, api)
        assert read_qr(draw(issued["qr_svg"])) == [issued["token"]]


class TestGate:
    async def test_opens_once(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api)
        first = await gate.full(issued["token"], "n1")
        assert (first["verdict"], first["order"]["item_count"], first["order"]["total_minor"]) == (
            "open",
            2,
            3500,
        )
        second = await gate.beside("gate-2").full(issued["token"], "n2")
        assert (second["verdict"], second["code"]) == ("refuse", "already_used")
        assert second["order"]["used_gate"] == "gate-1"
        assert second["order"]["used_at"] is not None
        assert "before" in second["reason"]

    async def test_the_same_scan_gets_the_same_answer(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api)
        answers = [await gate.full(issued["token"], "n1") for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0]["verdict"] == "open"
        assert await gate.beside("gate-2").scan(issued["token"], "n1") == ("refuse", "already_used")

    async def test_refuses_another_stores_pass(self, app: Litestar, api: Api) -> None:
        _, issued, _ = await at_the_gate(app, api)
        _, _, elsewhere = await at_the_gate(app, api)
        assert await elsewhere.scan(issued["token"]) == ("refuse", "wrong_store")

    @pytest.mark.parametrize(
        ("after_s", "told"), [(1799, ("open", "ok")), (1800, ("refuse", "pass_expired"))]
    )
    async def test_judges_the_end_by_its_own_clock_to_the_second(
        self, app: Litestar, api: Api, clock: FakeClock, after_s: int, told: tuple[str, str]
    ) -> None:
        on_the_second(clock)
        _, issued, gate = await at_the_gate(app, api)
        clock.advance(seconds=after_s)
        await gate.guard.refresh()
        assert await gate.scan(issued["token"]) == told

    @pytest.mark.parametrize(
        ("behind_s", "told"), [(60, ("open", "ok")), (61, ("refuse", "pass_from_the_future"))]
    )
    async def test_takes_a_pass_of_a_clock_a_minute_ahead_to_the_second(
        self, app: Litestar, api: Api, clock: FakeClock, behind_s: int, told: tuple[str, str]
    ) -> None:
        on_the_second(clock)
        trip = await ready_to_pay(app, api)
        gate = await gate_of(app, api, trip.store.store_id)
        clock.advance(seconds=120)
        issued = await generate(trip, await pay(app, api, trip))
        clock.advance(seconds=-behind_s)
        assert await gate.scan(issued["token"]) == told

    async def test_says_too_old_only_when_a_new_pass_is_to_be_had(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        """A token knows whole seconds, a clock milliseconds: nobody may be caught between the two."""
        on_the_second(clock)
        clock.advance(milliseconds=900)
        trip, issued, gate = await at_the_gate(app, api)
        clock.advance(minutes=29, seconds=59, milliseconds=100)
        await gate.guard.refresh()
        await trip.shopper.refresh()
        assert await gate.scan(issued["token"]) == ("refuse", "pass_expired")
        assert (await generate(trip, issued["order_id"]))["token"] != issued["token"]

    async def test_is_for_gate_staff_of_the_store(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        other = await open_store(services_of(app))
        scan = gate.body(issued["token"])
        strangers = [
            await guest(api),
            await staff_member(services_of(app), api, other.store_id),
            await staff_member(services_of(app), api, trip.store.store_id, Role.CASHIER),
        ]
        for stranger in strangers:
            assert await stranger.refused("/gate/verify", scan) == (403, "forbidden")
        assert (await api.post("/gate/verify", json=scan)).status_code == 401
        supervisor = await staff_member(services_of(app), api, trip.store.store_id, Role.SUPERVISOR)
        assert (await supervisor.post("/gate/verify", scan))["verdict"] == "open"


def on_the_second(clock: FakeClock) -> None:
    """Move a clock to a whole second."""
    clock.advance(microseconds=1_000_000 - clock.now().microsecond)
