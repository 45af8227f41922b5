"""The audit trail: every verdict, who gave it and where, and no token in it."""

from typing import Any

import httpx
import pytest
from litestar import Litestar

from backend.accounts import Role
from backend.exits.documents import EVENTS_KEPT_S
from backend.kit import mongo
from tests.factories import FakeClock
from tests.gates import Gate, at_the_gate, gate_of
from tests.world import guest, open_store, services_of

pytestmark = pytest.mark.usefixtures("sandbox")

Api = httpx.AsyncClient


async def page(gate: Gate, query: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = await gate.guard.get(f"/stores/{gate.store_id}/gate/events?{query}")
    return answer


async def test_has_a_row_for_every_verdict_with_gate_and_guard(
    app: Litestar, api: Api, clock: FakeClock
) -> None:
    trip, issued, gate = await at_the_gate(app, api, spot_check_percent=100)
    supervisor = await gate_of(app, api, trip.store.store_id, Role.SUPERVISOR)
    for nonce, gate_id, token, path in (
        ("a", "gate-1", "nonsense", "/gate/verify"),
        ("b", "gate-2", issued["token"], "/gate/verify"),
        ("b", "gate-2", issued["token"], "/gate/verify"),
        ("c", "gate-3", issued["token"], "/gate/release"),
    ):
        clock.advance(seconds=1)
        await gate.beside(gate_id).full(token, nonce, path)
    rows = (await page(supervisor))["items"]
    told = [(row["kind"], row["gate_id"], row["nonce"], row["verdict"], row["code"]) for row in rows]
    assert told == [
        ("release", "gate-3", "c", "open", "ok"),
        ("verify", "gate-2", "b", "check", "spot_check"),
        ("verify", "gate-1", "a", "refuse", "not_a_pass"),
        ("key_made", None, None, None, None),
    ]
    assert {row["by"] for row in rows[:3]} == {gate.guard.user_id}
    assert {row["by_name"] for row in rows[:3]} == {"Staff"}
    assert [row["order_id"] for row in rows[:3]] == [issued["order_id"], issued["order_id"], None]
    assert rows[0]["at"] > rows[1]["at"] > rows[2]["at"]


async def test_holds_no_token(app: Litestar, api: Api, database: mongo.Database) -> None:
    _, issued, gate = await at_the_gate(app, api)
    await gate.scan(issued["token"])
    await gate.scan("x" * 40)
    rows = await database["gate_events"].find({"store_id": gate.store_id}).to_list()
    signature = issued["token"].rpartition(".")[2]
    assert len(rows) == 3
    assert all(signature not in str(row) and "x" * 40 not in str(row) for row in rows)


async def test_is_read_page_by_page_newest_first(app: Litestar, api: Api, clock: FakeClock) -> None:
    trip, _, gate = await at_the_gate(app, api)
    supervisor = await gate_of(app, api, trip.store.store_id, Role.SUPERVISOR)
    for n in range(10):
        await gate.full("x", f"n{n}")
        clock.advance(milliseconds=n % 2)  # every second one at the same time as the one before
    whole = (await page(supervisor))["items"]
    assert len(whole) == 11
    found, cursor, pages = [], "", 0
    while cursor is not None:
        part = await page(supervisor, f"page_size=3&cursor={cursor}" if cursor else "page_size=3")
        found += part["items"]
        cursor, pages = part["next"], pages + 1
    assert (found, pages) == (whole, 4)


async def test_shows_one_order(app: Litestar, api: Api) -> None:
    trip, issued, gate = await at_the_gate(app, api)
    supervisor = await gate_of(app, api, trip.store.store_id, Role.SUPERVISOR)
    await gate.scan("x")
    await gate.scan(issued["token"])
    rows = (await page(supervisor, f"order_id={issued['order_id']}"))["items"]
    assert [row["code"] for row in rows] == ["ok"]


@pytest.mark.parametrize("cursor", ["x", "!!!", "MQ", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5IHg", "YSBi"])
async def test_refuses_a_cursor_of_no_page(app: Litestar, api: Api, cursor: str) -> None:
    store = await open_store(services_of(app))
    supervisor = await gate_of(app, api, store.store_id, Role.SUPERVISOR)
    path = f"/stores/{store.store_id}/gate/events"
    response = await supervisor.guard.call("GET", path, params={"cursor": cursor})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_field")


async def test_is_for_supervisors_of_the_store(app: Litestar, api: Api) -> None:
    trip, _, gate = await at_the_gate(app, api)
    other = await open_store(services_of(app))
    path = f"/stores/{trip.store.store_id}/gate/events"
    for person in (
        gate.guard,
        trip.shopper,
        await guest(api),
        (await gate_of(app, api, other.store_id, Role.MANAGER)).guard,
        (await gate_of(app, api, trip.store.store_id, Role.CASHIER)).guard,
    ):
        response = await person.call("GET", path)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (await api.get(path)).status_code == 401


async def test_is_found_by_index_and_forgotten_after_180_days(
    app: Litestar, api: Api, database: mongo.Database
) -> None:
    _, issued, gate = await at_the_gate(app, api)
    await gate.scan(issued["token"])
    events = database["gate_events"]
    indexes = await events.index_information()
    assert indexes["forget"]["expireAfterSeconds"] == EVENTS_KEPT_S == 180 * 86400
    of_store = events.find({"store_id": gate.store_id}).sort([("at", -1), ("_id", -1)])
    of_order = events.find({"order_id": issued["order_id"], "pass_id": "x", "verdict": "check"})
    for found, index in ((of_store, "of_store"), (of_order, "of_order")):
        assert f"'indexName': '{index}'" in str((await found.explain())["queryPlanner"]["winningPlan"])
