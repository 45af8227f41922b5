"""A scan whose answer was lost is sent again; a check waits for the guard; a pass can be withdrawn."""

import asyncio
from typing import Any

import httpx
import pytest
from litestar import Litestar

from backend.accounts import Role
from backend.exits import Author, PassStatus, store
from backend.exits.rules import Pass, Use
from backend.kit.mongo import Session, StorageError, in_transaction
from tests.factories import FakeClock
from tests.gates import accepted, at_the_gate, gate_of, generate, spellings
from tests.world import open_store, services_of

pytestmark = pytest.mark.usefixtures("sandbox")

Api = httpx.AsyncClient


class TestRepeat:
    async def test_gets_the_first_answer_whatever_it_was(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip, issued, gate = await at_the_gate(app, api, spot_check_percent=100)
        order = {"order_id": issued["order_id"]}
        check = await gate.full(issued["token"], "n-check")
        refused = await gate.full("x", "n-refuse")
        clock.advance(minutes=31)
        await gate.guard.refresh()
        await trip.shopper.refresh()
        old = await gate.full(issued["token"], "n-old")
        renewed = await trip.shopper.post("/exit-pass/generate", order)
        await gate.scan(renewed["token"])
        opened = await gate.full(renewed["token"], "n-release", "/gate/release")
        told = [answer["code"] for answer in (check, refused, old, opened)]
        assert told == ["spot_check", "not_a_pass", "pass_expired", "ok"]
        assert await gate.full(issued["token"], "n-check") == check
        assert await gate.full("x", "n-refuse") == refused
        assert await gate.full(issued["token"], "n-old") == old
        assert await gate.full(renewed["token"], "n-release", "/gate/release") == opened

    async def test_is_another_scan_at_another_gate(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api)
        assert await gate.scan(issued["token"], "n1") == ("open", "ok")
        assert await gate.beside("gate-2").scan(issued["token"], "n1") == ("refuse", "already_used")

    async def test_is_not_taken_for_another_token(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api)
        await gate.full("x", "n1")
        body = gate.body(issued["token"], "n1")
        assert await gate.guard.refused("/gate/verify", body) == (422, "id_reused")
        await gate.release("x", "n1")
        assert await gate.guard.refused("/gate/release", body) == (422, "id_reused")
        assert await gate.scan(issued["token"]) == ("open", "ok")

    async def test_of_two_tokens_with_one_nonce_at_once_uses_up_one(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        _, other, _ = await at_the_gate(app, api, store_id=trip.store.store_id)
        calls = [
            gate.guard.call("POST", "/gate/verify", json=gate.body(token, "same"))
            for token in (issued["token"], other["token"]) * 5
        ]
        answers = await asyncio.gather(*calls)
        opened = {a.json()["order"]["order_id"] for a in answers if a.status_code == 200}
        refused = {a.json()["code"] for a in answers if a.status_code != 200}
        assert (len(opened), refused) == (1, {"id_reused"})
        (left,) = [found for found in (issued, other) if found["order_id"] not in opened]
        assert await gate.scan(left["token"]) == ("open", "ok")

    async def test_counts_once_however_often_it_is_sent_at_once(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        answers = await asyncio.gather(*(gate.full(issued["token"], "n1") for _ in range(20)))
        assert all(answer == answers[0] for answer in answers)
        assert answers[0]["verdict"] == "open"
        rows = await trail(app, api, trip.store.store_id)
        assert [row["code"] for row in rows if row["kind"] == "verify"] == ["ok"]


class TestCutOff:
    """A scan whose process died after its row was written, before or after the pass was used up."""

    @pytest.mark.parametrize("used", [False, True])
    async def test_is_finished_by_the_scan_sent_again(
        self, app: Litestar, api: Api, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, used: bool
    ) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        really = store.use_once

        async def dies(order_id: str, use: Use) -> Pass | None:
            if used:
                await really(order_id, use)
            raise StorageError

        with monkeypatch.context() as dying:
            dying.setattr(store, "use_once", dies)
            lost = await gate.guard.call("POST", "/gate/verify", json=gate.body(issued["token"], "n1"))
        assert lost.status_code == 503
        (row,) = [row for row in await trail(app, api, trip.store.store_id) if row["kind"] == "verify"]
        assert (row["nonce"], row["verdict"]) == ("n1", None)
        clock.advance(seconds=2)
        opened = await gate.full(issued["token"], "n1")
        assert (opened["verdict"], opened["order"]["used_gate"]) == ("open", "gate-1")
        assert await gate.full(issued["token"], "n1") == opened
        assert await gate.scan(issued["token"]) == ("refuse", "already_used")

    async def test_counts_as_of_when_it_came(
        self, app: Litestar, api: Api, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
    ) -> None:
        """A gate that was not answered in the last second asks again."""
        _, issued, gate = await at_the_gate(app, api)
        clock.advance(minutes=29, seconds=58)
        await gate.guard.refresh()

        async def dies(*_: object) -> None:
            raise StorageError

        with monkeypatch.context() as dying:
            dying.setattr(store, "use_once", dies)
            await gate.guard.call("POST", "/gate/verify", json=gate.body(issued["token"], "n1"))
        clock.advance(seconds=5)
        assert await gate.scan(issued["token"], "n2") == ("refuse", "pass_expired")
        assert await gate.scan(issued["token"], "n1") == ("open", "ok")

    async def test_is_refused_when_another_gate_was_faster(
        self, app: Litestar, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, issued, gate = await at_the_gate(app, api)

        async def dies(*_: object) -> None:
            raise StorageError

        with monkeypatch.context() as dying:
            dying.setattr(store, "use_once", dies)
            await gate.guard.call("POST", "/gate/verify", json=gate.body(issued["token"], "n1"))
        assert await gate.beside("gate-2").scan(issued["token"]) == ("open", "ok")
        late = await gate.full(issued["token"], "n1")
        assert (late["code"], late["order"]["used_gate"]) == ("already_used", "gate-2")


class TestFiftyGates:
    async def test_open_once_in_every_spelling(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api)
        good = await accepted(api, issued["token"])
        bad = [text for text in spellings(issued["token"]) if text not in good]
        assert len(good) > 1
        for text in bad:
            assert await gate.scan(text) == ("refuse", "not_a_pass"), repr(text[-20:])
        answers = await asyncio.gather(
            *(gate.beside(f"gate-{n}").full(good[n % len(good)]) for n in range(50))
        )
        opened = [answer for answer in answers if answer["verdict"] == "open"]
        refused = [answer for answer in answers if answer["verdict"] == "refuse"]
        assert (len(opened), len(refused)) == (1, 49)
        assert {answer["code"] for answer in refused} == {"already_used"}
        used = {(answer["order"]["used_gate"], answer["order"]["used_at"]) for answer in answers}
        assert used == {(opened[0]["order"]["used_gate"], opened[0]["order"]["used_at"])}


class TestRelease:
    async def test_waits_for_the_guard_and_is_not_used_up_by_looking(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api, spot_check_percent=100)
        assert issued["spot_check"] is True
        assert [await gate.scan(issued["token"]) for _ in "ab"] == [("check", "spot_check")] * 2
        check = await gate.scan(issued["token"], "n1")
        assert check == ("check", "spot_check")
        assert await gate.release(issued["token"], "n1") == ("open", "ok")
        assert await gate.release(issued["token"]) == ("refuse", "already_used")

    @pytest.mark.parametrize("percent", [0, 100])
    async def test_needs_a_check_first(self, app: Litestar, api: Api, percent: int) -> None:
        _, issued, gate = await at_the_gate(app, api, spot_check_percent=percent)
        assert await gate.release(issued["token"]) == ("refuse", "not_checked")

    async def test_is_not_for_a_pass_renewed_since_the_check(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip, issued, gate = await at_the_gate(app, api, spot_check_percent=100)
        await gate.scan(issued["token"])
        clock.advance(minutes=30)
        await gate.guard.refresh()
        await trip.shopper.refresh()
        renewed = await generate(trip, issued["order_id"])
        assert await gate.release(issued["token"]) == ("refuse", "pass_expired")
        assert await gate.release(renewed["token"]) == ("refuse", "not_checked")


class TestRevoke:
    async def test_is_for_supervisors_of_the_store(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        other = await open_store(services_of(app))
        body = {"order_id": issued["order_id"], "reason": "Refunded at the till"}
        stranger = await gate_of(app, api, other.store_id, Role.MANAGER)
        assert await stranger.guard.refused("/exit-pass/revoke", body) == (404, "order_not_found")
        assert await gate.guard.refused("/exit-pass/revoke", body) == (403, "forbidden")
        assert await trip.shopper.refused("/exit-pass/revoke", body) == (403, "forbidden")
        assert await gate.scan(issued["token"]) == ("open", "ok")

    async def test_refuses_the_pass_from_then_on(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        supervisor = await gate_of(app, api, trip.store.store_id, Role.SUPERVISOR)
        body = {"order_id": issued["order_id"], "reason": "Refunded at the till"}
        for _ in range(2):
            answer = await supervisor.guard.post("/exit-pass/revoke", body)
            assert answer == {"order_id": issued["order_id"], "status": "revoked"}
        assert await gate.scan(issued["token"]) == ("refuse", "pass_revoked")
        assert await gate.release(issued["token"]) == ("refuse", "pass_revoked")
        again = await trip.shopper.refused("/exit-pass/generate", {"order_id": issued["order_id"]})
        assert again == (409, "pass_revoked")
        rows = await trail(app, api, trip.store.store_id)
        (row,) = [row for row in rows if row["kind"] == "revoke"]
        assert (row["by"], row["note"]) == (supervisor.guard.user_id, "Refunded at the till")

    async def test_leaves_a_used_pass(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        await gate.scan(issued["token"])
        supervisor = await gate_of(app, api, trip.store.store_id, Role.SUPERVISOR)
        body = {"order_id": issued["order_id"], "reason": "Too late"}
        assert await supervisor.guard.refused("/exit-pass/revoke", body) == (409, "pass_used")
        assert await gate.scan(issued["token"]) == ("refuse", "already_used")

    async def test_races_with_a_gate_and_one_of_them_wins(self, app: Litestar, api: Api) -> None:
        for _ in range(10):
            trip, issued, gate = await at_the_gate(app, api)
            supervisor = await gate_of(app, api, trip.store.store_id, Role.SUPERVISOR)
            body = {"order_id": issued["order_id"], "reason": "Race"}
            revoked, scanned = await asyncio.gather(
                supervisor.guard.call("POST", "/exit-pass/revoke", json=body),
                gate.scan(issued["token"]),
            )
            ways = {(200, ("refuse", "pass_revoked")), (409, ("open", "ok"))}
            assert (revoked.status_code, scanned) in ways

    async def test_is_undone_with_the_transaction_that_asked_for_it(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        services = services_of(app)

        async def refund_that_fails(session: Session) -> None:
            by = Author("system")
            told = await services.exits.revoke(session, issued["order_id"], "refunded", by)
            assert told is PassStatus.REVOKED
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await in_transaction(services.client, refund_that_fails)
        assert await gate.scan(issued["token"]) == ("open", "ok")
        rows = await trail(app, api, trip.store.store_id)
        assert "revoke" not in {row["kind"] for row in rows}

    async def test_tells_a_refund_that_the_pass_was_used(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api)
        await gate.scan(issued["token"])
        services = services_of(app)

        async def refund(session: Session) -> PassStatus:
            return await services.exits.revoke(session, issued["order_id"], "refunded", Author("system"))

        assert await in_transaction(services.client, refund) is PassStatus.USED


async def trail(app: Litestar, api: Api, store_id: str) -> list[dict[str, Any]]:
    supervisor = await gate_of(app, api, store_id, Role.SUPERVISOR)
    page = await supervisor.guard.get(f"/stores/{store_id}/gate/events?page_size=200")
    rows: list[dict[str, Any]] = page["items"]
    return rows
