"""The live cart over real sockets: one server, two servers, good phones and bad ones."""

import asyncio
import json
import logging
from typing import Any, NamedTuple

import httpx
import pytest
from litestar import Litestar

from backend.carts import Notice, presence
from backend.carts.commands import AddItem
from backend.carts.service import RESUME_AT_MOST
from backend.catalog import Product
from backend.live import CloseCode
from tests.phones import Phone, is_event, phone_at, pick_up, silent_phone
from tests.world import Person, guest, open_store, services_of, start_session, stock


class Family(NamedTuple):
    """A host and a member of one cart, and what the shop sells."""

    host: Person
    member: Person
    session: dict[str, Any]
    products: list[Product]

    @property
    def session_id(self) -> str:
        session_id: str = self.session["session_id"]
        return session_id


@pytest.fixture
async def family(apps: list[Litestar], web: httpx.AsyncClient) -> Family:
    services = services_of(apps[0])
    store = await open_store(services)
    products = await stock(services, 1000, 2000, 4000)
    host, member = await guest(web, "Host"), await guest(web, "Member")
    session = await start_session(host, store, limit_minor=10_000)
    await member.post("/session/join", {"token": session["join"]["token"]})
    return Family(host, member, session, products)


class TestHello:
    async def test_answers_with_the_whole_session(self, addresses: list[str], family: Family) -> None:
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            snapshot = phone.frames[0]
            assert snapshot["type"] == "snapshot"
            assert [member["name"] for member in snapshot["session"]["participants"]] == ["Host", "Member"]
            assert "join" not in snapshot["session"]

    async def test_sends_what_came_since(self, addresses: list[str], family: Family) -> None:
        lost = await pick_up(addresses[0], family.session_id, family.member.token)
        await lost.hang_up()
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            for product in family.products:
                await phone.scan(product.barcode)
            async with phone_at(addresses[1], family.session_id, family.member.token, lost) as back:
                await back.reaches(phone.seq)
                events = [frame["seq"] for frame in back.frames if frame["type"] == "event"]
                assert events == [3, 4, 5]
                assert back.lines == phone.lines

    @pytest.mark.parametrize(
        ("missed", "answer"), [(RESUME_AT_MOST, "event"), (RESUME_AT_MOST + 1, "snapshot")]
    )
    async def test_far_behind_brings_as_many_events_as_a_phone_can_take(
        self, apps: list[Litestar], addresses: list[str], family: Family, missed: int, answer: str
    ) -> None:
        lost = await pick_up(addresses[0], family.session_id, family.member.token)
        await lost.hang_up()
        scan = AddItem(family.products[0].barcode, 1)
        carts = services_of(apps[0]).carts
        await asyncio.gather(
            *(carts.command(family.host.user_id, family.session_id, f"c{n}", scan) for n in range(missed))
        )
        async with phone_at(addresses[0], family.session_id, family.member.token, lost) as back:
            await back.reaches(2 + missed)
            assert back.frames[0]["type"] == answer
            assert [line["qty"] for line in back.lines.values()] == [missed]

    async def test_again_closes_a_gap(self, addresses: list[str], family: Family) -> None:
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            await phone.scan(family.products[0].barcode)
            seen = len(phone.frames)
            await phone.send({"type": "hello", "token": family.host.token, "since": phone.seq - 1})
            await phone.until(is_event("item_added"), seen)
            assert phone.gaps == 0

    async def test_gives_a_snapshot_when_since_makes_no_sense(
        self, addresses: list[str], family: Family
    ) -> None:
        lost = await pick_up(addresses[0], family.session_id, family.member.token)
        await lost.hang_up()
        lost.seq = 10**6
        async with phone_at(addresses[0], family.session_id, family.host.token, lost) as phone:
            assert phone.frames[0]["type"] == "snapshot"

    @pytest.mark.parametrize(
        "first",
        ["{}", "nonsense", '{"type":"ping"}', '{"type":"hello"}', '{"type":"hello","token":1}', b"\x00\xff"],
    )
    async def test_that_is_none_is_closed(
        self, addresses: list[str], family: Family, first: str | bytes
    ) -> None:
        phone = await silent_phone(addresses[0], family.session_id)
        await phone.send_text(first)
        assert await phone.closed() == CloseCode.BAD_HELLO

    async def test_without_a_good_token_is_closed(self, addresses: list[str], family: Family) -> None:
        phone = await pick_up(addresses[0], family.session_id, "x.y.z")
        assert await phone.closed() == CloseCode.NOT_AUTHENTICATED

    async def test_by_a_stranger_looks_like_no_cart(
        self, addresses: list[str], family: Family, web: httpx.AsyncClient
    ) -> None:
        stranger = await guest(web)
        for session_id in [family.session_id, "ses_that_never_was"]:
            phone = await pick_up(addresses[0], session_id, stranger.token)
            assert await phone.closed() == CloseCode.NOT_FOUND

    async def test_from_a_foreign_page_is_closed(self, addresses: list[str], family: Family) -> None:
        phone = await pick_up(
            addresses[0], family.session_id, family.host.token, Origin="https://elsewhere.example"
        )
        assert await phone.closed() == CloseCode.FOREIGN_ORIGIN

    async def test_that_never_comes_is_closed(
        self, addresses: list[str], family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.carts.sockets.HELLO_WITHIN_S", 0.2)
        phone = await silent_phone(addresses[0], family.session_id)
        assert await phone.closed() == CloseCode.HELLO_LATE


class TestCommands:
    async def test_a_scan_is_acked_and_shown_on_every_screen(
        self, addresses: list[str], family: Family
    ) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as mine,
            phone_at(addresses[1], family.session_id, family.member.token) as theirs,
        ):
            ack = await mine.command("add", id="one", barcode=family.products[0].barcode, qty=2)
            event = await theirs.until(is_event("item_added", seq=ack["seq"]))
            assert (event["id"], event["by"]) == ("one", family.host.user_id)
            assert (event["item"]["qty"], event["item"]["total_minor"]) == (2, 2000)
            assert event["totals"]["total_minor"] == 2000
            assert event["budget"]["remaining_minor"] == 8000

    async def test_a_repeat_is_answered_and_not_applied_again(
        self, addresses: list[str], family: Family
    ) -> None:
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            first = await phone.command("add", id="one", barcode=family.products[0].barcode)
            again = await phone.command("add", id="one", barcode=family.products[0].barcode)
            other = await phone.command("add", id="one", barcode=family.products[1].barcode)
            assert again == first
            assert other["code"] == "id_reused"
            assert phone.totals["total_minor"] == 1000

    async def test_every_command_of_a_phone_works(self, addresses: list[str], family: Family) -> None:
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            await phone.scan(family.products[0].barcode)
            await phone.scan(family.products[1].barcode)
            first, second = phone.lines
            assert (await phone.command("set_quantity", line_id=first, qty=5))["type"] == "ack"
            assert (await phone.command("remove", line_id=second))["type"] == "ack"
            assert (await phone.command("set_budget", limit_minor=6000))["type"] == "ack"
            assert phone.totals["total_minor"] == 5000
            assert phone.budget is not None
            assert phone.budget["status"] == "WARNING"
            await phone.send({"type": "ping"})
            await phone.until(lambda frame: frame["type"] == "pong")

    async def test_rest_goes_the_same_way(self, addresses: list[str], family: Family) -> None:
        body = {"session_id": family.session_id, "barcode": family.products[0].barcode}
        key = {"idempotency-key": "k1"}
        async with phone_at(addresses[1], family.session_id, family.member.token) as phone:
            first = await family.host.post("/cart/add", body, headers=key)
            again = await family.host.post("/cart/add", body, headers=key)
            assert first["seq"] == again["seq"]
            event = await phone.until(is_event("item_added", seq=first["seq"]))
            assert event["id"] == "k1"
            removed = await family.host.post(
                "/cart/remove", {"session_id": family.session_id, "line_id": event["item"]["line_id"]}
            )
            await phone.until(is_event("item_removed", seq=removed["seq"]))
            refused = await family.host.refused("/cart/add", {**body, "qty": 2}, headers=key)
            assert refused == (422, "id_reused")

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            ({"type": "add", "barcode": "4006381333932"}, "invalid_check_digit"),
            ({"type": "add", "barcode": "12"}, "invalid_barcode"),
            ({"type": "add", "barcode": "4006381333931"}, "product_not_found"),
            ({"type": "add", "barcode": "4006381333931", "qty": 0}, "invalid_field"),
            ({"type": "add", "barcode": "4006381333931", "qty": "1"}, "invalid_field"),
            ({"type": "add", "barcode": "4006381333931", "qty": 1.5}, "invalid_field"),
            ({"type": "add", "barcode": "4006381333931", "price_minor": 1}, "invalid_field"),
            ({"type": "remove", "line_id": "l99"}, "line_not_found"),
            ({"type": "set_budget", "limit_minor": -1}, "invalid_field"),
            ({"type": "set_budget", "limit_minor": 2**70}, "invalid_field"),
            ({"type": "dance"}, "invalid_field"),
        ],
    )
    async def test_bad_input_gets_an_error_and_changes_nothing(
        self, addresses: list[str], family: Family, frame: dict[str, Any], code: str
    ) -> None:
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            seq = phone.seq
            await phone.send({"id": "bad", **frame})
            error = await phone.until(lambda frame: frame["type"] == "error")
            assert (error["code"], error["id"], error["retryable"]) == (code, "bad", False)
            await phone.scan(family.products[0].barcode)
            assert phone.seq == seq + 1

    async def test_what_is_not_json_gets_an_error_without_id(
        self, addresses: list[str], family: Family
    ) -> None:
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            await phone.send_text('{"type":"add"')
            error = await phone.until(lambda frame: frame["type"] == "error")
            assert error["code"] == "malformed_body"
            assert "id" not in error

    async def test_a_frame_too_large_closes_the_socket(self, addresses: list[str], family: Family) -> None:
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            await phone.send_text(json.dumps({"type": "add", "id": "x", "barcode": "1" * 20_000}))
            assert await phone.closed() == 1009

    async def test_who_leaves_is_shown_out(self, addresses: list[str], family: Family) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as host,
            phone_at(addresses[1], family.session_id, family.member.token) as member,
        ):
            assert (await member.command("leave"))["type"] == "ack"
            assert await member.closed() == CloseCode.NOT_FOUND
            await host.until(is_event("member_left", left=family.member.user_id))


class TestHangingUp:
    async def test_is_no_error(
        self, addresses: list[str], family: Family, caplog: pytest.LogCaptureFixture
    ) -> None:
        host = await pick_up(addresses[0], family.session_id, family.host.token)
        for end in (Phone.hang_up, Phone.drop):
            phone = await pick_up(addresses[0], family.session_id, family.member.token)
            flood = [phone.send({"type": "ping"}) for _ in range(50)]
            await asyncio.gather(*flood)
            if (ended := end(phone)) is not None:
                await ended
            await host.scan(family.products[0].barcode)
        await host.hang_up()
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class TestPresence:
    async def test_names_who_is_connected_over_both_processes(
        self, addresses: list[str], family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(presence, "LINGERS_S", 0.5)
        both = sorted([family.host.user_id, family.member.user_id])
        async with phone_at(addresses[0], family.session_id, family.host.token) as host:
            async with phone_at(addresses[1], family.session_id, family.member.token) as member:
                for phone in (host, member):
                    await phone.until(lambda frame: frame["type"] == "presence" and frame["members"] == both)
                seen = len(host.frames)
            alone = [family.host.user_id]
            await host.until(lambda frame: frame["type"] == "presence" and frame["members"] == alone, seen)

    async def test_stays_with_a_phone_that_loses_its_socket_and_comes_back(
        self, addresses: list[str], family: Family
    ) -> None:
        both = sorted([family.host.user_id, family.member.user_id])
        async with phone_at(addresses[0], family.session_id, family.host.token) as host:
            for address in (addresses[1], addresses[0]):
                member = await pick_up(address, family.session_id, family.member.token)
                await host.until(lambda frame: frame["type"] == "presence" and frame["members"] == both)
                member.drop()
            await host.scan(family.products[0].barcode)
            shown = [frame["members"] for frame in host.frames if frame["type"] == "presence"]
            assert all(members == both for members in shown[shown.index(both) :])


class TestNotice:
    async def test_reaches_one_person_on_whichever_process(
        self, apps: list[Litestar], addresses: list[str], family: Family
    ) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as host,
            phone_at(addresses[0], family.session_id, family.member.token) as near,
            phone_at(addresses[1], family.session_id, family.member.token) as far,
        ):
            notice = Notice(kind="hint", data={"for": "you"})
            services_of(apps[0]).carts.notify(family.session_id, family.member.user_id, notice)
            for phone in (near, far):
                await phone.until(lambda frame: frame["type"] == "notice")
            await host.scan(family.products[0].barcode)
            assert "notice" not in [frame["type"] for frame in host.frames]


class TestTogether:
    async def test_scans_at_once_in_two_processes_are_all_there_once_and_in_one_order(
        self, addresses: list[str], family: Family
    ) -> None:
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as one,
            phone_at(addresses[1], family.session_id, family.member.token) as two,
        ):
            barcodes = [product.barcode for product in family.products]
            scans = [phone.scan(barcodes[n % 3], 1 + n % 2) for n in range(30) for phone in (one, two)]
            acks = await asyncio.gather(*scans)
            last = max(ack["seq"] for ack in acks)
            await asyncio.gather(one.reaches(last), two.reaches(last))
            assert len({ack["seq"] for ack in acks}) == 60
            assert one.gaps == two.gaps == 0
            assert one.lines == two.lines
            assert sum(line["qty"] for line in one.lines.values()) == 90
            assert (await family.host.get(f"/session/{family.session_id}"))["items"] == list(
                one.lines.values()
            )

    async def test_a_phone_that_drops_out_misses_nothing(self, addresses: list[str], family: Family) -> None:
        barcode = family.products[0].barcode
        async with phone_at(addresses[0], family.session_id, family.host.token) as host:
            lost = await pick_up(addresses[1], family.session_id, family.member.token)
            await lost.send({"type": "add", "id": "last-words", "barcode": barcode})
            await host.until(is_event("item_added", id="last-words"))
            lost.drop()
            await host.scan(barcode)
            back = await pick_up(addresses[0], family.session_id, family.member.token, lost)
            await back.reaches(host.seq)
            assert (await back.command("add", id="last-words", barcode=barcode))["type"] == "ack"
            assert host.totals["total_minor"] == 2000
            await back.hang_up()


class TestRedisLess:
    async def test_the_other_process_finds_out_by_its_head_check(
        self, apps: list[Litestar], addresses: list[str], family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for app in apps:
            monkeypatch.setattr(services_of(app).bus, "publish", lambda channel, payload: None)
        async with (
            phone_at(addresses[0], family.session_id, family.host.token) as one,
            phone_at(addresses[1], family.session_id, family.member.token) as two,
        ):
            await one.scan(family.products[0].barcode)
            await two.reaches(one.seq)
