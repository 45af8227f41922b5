"""A family at one cart, over two processes: roles, removal, approval, allowances, undo, coming back after hours."""

import asyncio
from typing import Any, NamedTuple

import httpx
import pytest
from litestar import Litestar

from backend.catalog import Product
from backend.live import CloseCode
from tests.phones import Phone, is_event, phone_at
from tests.world import Person, guest, open_store, services_of, start_session, stock


class Family(NamedTuple):
    """A host, an adult and a child of one cart, and what the shop sells."""

    host: Person
    adult: Person
    child: Person
    session: dict[str, Any]
    products: list[Product]

    @property
    def session_id(self) -> str:
        session_id: str = self.session["session_id"]
        return session_id


@pytest.fixture
async def family(apps: list[Litestar], addresses: list[str], web: httpx.AsyncClient) -> Family:
    services = services_of(apps[0])
    store = await open_store(services)
    products = await stock(services, 1000, 2000)
    host, adult, child = [await guest(web, name) for name in ("Host", "Adult", "Child")]
    session = await start_session(host, store)
    for person in (adult, child):
        await person.post("/session/join", {"token": session["join"]["token"]})
    async with phone_at(addresses[0], session["session_id"], host.token) as phone:
        answer = await phone.command("set_role", member=child.user_id, role="child")
        assert answer["type"] == "ack"
    return Family(host, adult, child, session, products)


async def refusal(phone: Phone, kind: str, **fields: Any) -> str:
    answer = await phone.command(kind, **fields)
    assert answer["type"] == "error", answer
    code: str = answer["code"]
    return code


class TestChild:
    async def test_what_it_adds_waits_for_a_parent_on_another_process(
        self, addresses: list[str], family: Family
    ) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.child.token) as child,
            phone_at(addresses[1], family.session_id, family.adult.token) as adult,
        ):
            await child.scan(family.products[0].barcode)
            asked = await adult.until(is_event("item_added"))
            assert asked["item"]["waiting"] is True
            assert asked["totals"]["total_minor"] == 0
            quote = {"session_id": family.session_id}
            assert await family.host.refused("/checkout/calculate", quote) == (409, "items_waiting")
            await adult.command("approve", line_id=asked["item"]["line_id"])
            approved = await child.until(is_event("item_approved"))
            assert "waiting" not in approved["item"]
            assert approved["totals"]["total_minor"] == 1000
            assert (await family.host.post("/checkout/calculate", quote))["totals"]["total_minor"] == 1000

    async def test_neither_approves_nor_pays(self, addresses: list[str], family: Family) -> None:
        async with phone_at(addresses[0], family.session_id, family.child.token) as child:
            await child.scan(family.products[0].barcode)
            (line_id,) = child.lines
            assert await refusal(child, "approve", line_id=line_id) == "adults_only"
        quote = {"session_id": family.session_id}
        assert await family.child.refused("/checkout/calculate", quote) == (403, "adults_only")

    async def test_shops_freely_within_its_allowance(self, addresses: list[str], family: Family) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as host,
            phone_at(addresses[1], family.session_id, family.child.token) as child,
        ):
            await host.command("set_budget", limit_minor=1500, member=family.child.user_id)
            set_ = await child.until(is_event("budget_set"))
            assert set_["allowances"][family.child.user_id]["remaining_minor"] == 1500
            await child.scan(family.products[0].barcode)
            added = await host.until(is_event("item_added"))
            assert "waiting" not in added["item"]
            assert added["allowances"][family.child.user_id]["spent_minor"] == 1000
            code = family.products[0].barcode
            product = await family.child.get(f"/products/{code}?session_id={family.session_id}")
            assert product["what_if"]["waiting"] is True
            assert product["what_if"]["allowance"]["remaining_minor"] == 500
            assert product["what_if"]["total_minor"] == 1000


class TestRemoval:
    async def test_closes_every_socket_of_the_removed_and_their_way_back(
        self, addresses: list[str], family: Family
    ) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as host,
            phone_at(addresses[0], family.session_id, family.adult.token) as near,
            phone_at(addresses[1], family.session_id, family.adult.token) as far,
        ):
            await host.command("remove_member", member=family.adult.user_id)
            async with asyncio.timeout(5):
                assert await near.closed() == CloseCode.NOT_FOUND
                assert await far.closed() == CloseCode.NOT_FOUND
            known = {"token": family.session["join"]["token"]}
            assert await family.adult.refused("/session/join", known) == (404, "join_link_invalid")
            path = f"/session/{family.session_id}"
            assert (await family.adult.call("GET", path)).status_code == 404
            add = {"session_id": family.session_id, "barcode": family.products[0].barcode}
            assert await family.adult.refused("/cart/add", add) == (404, "session_not_found")
            notice = await host.until(lambda frame: frame["type"] == "notice")
            assert notice["kind"] == "join_link"
            assert notice["data"]["url"].endswith(f"#{notice['data']['token']}")
            await family.adult.post("/session/join", {"token": notice["data"]["token"]})

    async def test_reaches_a_process_that_the_bus_does_not(
        self, apps: list[Litestar], addresses: list[str], family: Family
    ) -> None:
        """The last message has no successor that would show the gap: the head check finds it."""
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as host,
            phone_at(addresses[1], family.session_id, family.adult.token) as far,
        ):
            services_of(apps[1]).bus.unsubscribe(f"cart:{family.session_id}")
            await asyncio.sleep(0.3)
            await host.command("remove_member", member=family.adult.user_id)
            async with asyncio.timeout(5):
                assert await far.closed() == CloseCode.NOT_FOUND

    async def test_shows_nobody_else_the_next_way_in(self, addresses: list[str], family: Family) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as host,
            phone_at(addresses[0], family.session_id, family.child.token) as child,
        ):
            await host.command("remove_member", member=family.adult.user_id)
            await host.until(lambda frame: frame["type"] == "notice")
            await host.scan(family.products[0].barcode)
            await child.reaches(host.seq)
            assert "notice" not in {frame["type"] for frame in child.frames}


class TestRoles:
    async def test_a_new_role_counts_at_once_on_open_sockets(
        self, addresses: list[str], family: Family
    ) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as host,
            phone_at(addresses[1], family.session_id, family.adult.token) as adult,
        ):
            assert await refusal(adult, "set_budget", limit_minor=100) == "host_only"
            await host.command("hand_over", member=family.adult.user_id)
            shown = await adult.until(is_event("host_handed_over"))
            assert shown["host_user_id"] == family.adult.user_id
            assert (await adult.command("set_budget", limit_minor=100))["type"] == "ack"
            assert await refusal(host, "set_budget", limit_minor=200) == "host_only"
            await adult.command("set_role", member=family.host.user_id, role="child")
            await host.until(is_event("role_set"))
            await host.scan(family.products[0].barcode)
            assert [line["waiting"] for line in host.lines.values()] == [True]

    async def test_no_frame_makes_a_second_host(self, addresses: list[str], family: Family) -> None:
        async with phone_at(addresses[0], family.session_id, family.host.token) as host:
            code = await refusal(host, "set_role", member=family.adult.user_id, role="host")
            assert code == "invalid_field"


class TestUndo:
    async def test_is_seen_on_every_screen(self, addresses: list[str], family: Family) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as host,
            phone_at(addresses[1], family.session_id, family.adult.token) as adult,
        ):
            await host.scan(family.products[0].barcode)
            await host.scan(family.products[1].barcode, 2)
            await host.command("undo")
            await adult.reaches(host.seq)
            assert adult.lines == host.lines
            assert [line["qty"] for line in adult.lines.values()] == [1]
            assert adult.totals["total_minor"] == 1000
            assert await refusal(host, "undo") == "nothing_to_undo"


class TestJoinLink:
    async def test_is_revoked_until_the_host_makes_a_new_one(
        self, web: httpx.AsyncClient, family: Family
    ) -> None:
        path = f"/session/{family.session_id}/join-link"
        late = await guest(web, "Late")
        assert (await family.adult.call("DELETE", path)).status_code == 403
        assert (await family.host.call("DELETE", path)).status_code == 204
        old = {"token": family.session["join"]["token"]}
        assert await late.refused("/session/join", old) == (404, "join_link_invalid")
        link = await family.host.post(path)
        joined = await late.post("/session/join", {"token": link["token"]})
        assert late.user_id in [member["user_id"] for member in joined["participants"]]
