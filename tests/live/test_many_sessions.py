"""How many carts one user may host: ten, exactly, over two processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from backend.carts import CartStatus
from backend.carts.log import COLLECTION
from backend.carts.store_places import BEGINS_WITHIN, MAX_OPEN, take_place
from backend.kit import mongo
from backend.stores import Store
from tests.factories import FakeClock
from tests.world import Person, guest, open_store, services_of, start_session

REFUSED = (409, "too_many_sessions")
OVER = [CartStatus.COMPLETED, CartStatus.ABANDONED]


@pytest.fixture
async def store(apps: list[Litestar], addresses: list[str]) -> Store:
    return await open_store(services_of(apps[0]))


@pytest.fixture
async def far(addresses: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the second process."""
    async with httpx.AsyncClient(base_url=addresses[1], timeout=30) as client:
        yield client


def at(client: httpx.AsyncClient, person: Person) -> Person:
    """The same person at another process."""
    tokens = {"access_token": person.token, "refresh_token": "", "user": {"user_id": person.user_id}}
    return Person(client, tokens)


async def start(person: Person, store: Store) -> tuple[int, str]:
    """The status, and the session's id or why there is none."""
    response = await person.call("POST", "/session/start", json={"store_id": store.store_id})
    answer = response.json()
    return response.status_code, answer.get("session_id") or answer["code"]


async def start_all(person: Person, store: Store) -> list[str]:
    sessions = [await start(person, store) for _ in range(MAX_OPEN)]
    assert {status for status, _ in sessions} == {201}
    return [session_id for _, session_id in sessions]


class TestTooMany:
    async def test_are_refused_and_no_other_host_is(
        self, web: httpx.AsyncClient, far: httpx.AsyncClient, store: Store
    ) -> None:
        host, other = await guest(web), await guest(web)
        await start_all(host, store)
        assert await start(host, store) == REFUSED
        assert await start(at(far, host), store) == REFUSED
        assert (await start(other, store))[0] == 201

    async def test_at_once_over_two_processes_leave_exactly_as_many_as_there_may_be(
        self, web: httpx.AsyncClient, far: httpx.AsyncClient, store: Store, database: mongo.Database
    ) -> None:
        for _ in range(3):
            near = await guest(web)
            both = [near, at(far, near)]
            answers = await asyncio.gather(*(start(both[n % 2], store) for n in range(30)))
            assert Counter(status for status, _ in answers) == {201: MAX_OPEN, 409: 30 - MAX_OPEN}
            begun = {session_id for status, session_id in answers if status == 201}
            ours = {"host_user_id": near.user_id, "status": "active"}
            assert {row["_id"] async for row in database["sessions"].find(ours)} == begun
            assert await database[COLLECTION].count_documents({"by": near.user_id}) == MAX_OPEN

    async def test_are_not_those_that_are_joined(self, web: httpx.AsyncClient, store: Store) -> None:
        visitor = await guest(web)
        for _ in range(MAX_OPEN + 1):
            session = await start_session(await guest(web), store)
            await visitor.post("/session/join", {"token": session["join"]["token"]})
        assert (await start(visitor, store))[0] == 201


class TestPlace:
    @pytest.mark.parametrize("status", CartStatus)
    async def test_is_free_again_when_its_cart_is_over(
        self, web: httpx.AsyncClient, store: Store, database: mongo.Database, status: CartStatus
    ) -> None:
        host = await guest(web)
        sessions = await start_all(host, store)
        await database["sessions"].update_one({"_id": sessions[3]}, {"$set": {"status": str(status)}})
        assert (await start(host, store))[0] == (201 if status in OVER else 409)
        assert await start(host, store) == REFUSED

    async def test_is_free_again_when_another_hosts_its_cart(
        self, apps: list[Litestar], web: httpx.AsyncClient, store: Store, database: mongo.Database
    ) -> None:
        host, heir = await guest(web), await guest(web)
        sessions = await start_all(host, store)
        link = await host.post(f"/session/{sessions[0]}/join-link")
        await heir.post("/session/join", {"token": link["token"]})
        assert await start(host, store) == REFUSED
        await database["sessions"].update_one({"_id": sessions[0]}, {"$set": {"host_user_id": heir.user_id}})
        assert (await start(host, store))[0] == 201

    async def test_of_a_start_that_came_to_nothing_is_free_after_a_while(
        self, app: Litestar, api: httpx.AsyncClient, clock: FakeClock
    ) -> None:
        store, host = await open_store(services_of(app)), await guest(api)
        assert await take_place(host.user_id, "ses_whose_process_died", clock.now())
        for _ in range(MAX_OPEN - 1):
            assert (await start(host, store))[0] == 201
        assert await start(host, store) == REFUSED
        clock.advance(seconds=BEGINS_WITHIN.total_seconds() + 1)
        assert (await start(host, store))[0] == 201
        assert await start(host, store) == REFUSED


class TestFirstSnapshot:
    async def test_is_there_when_the_start_is_answered(
        self, web: httpx.AsyncClient, store: Store, database: mongo.Database
    ) -> None:
        for _ in range(5):
            host = await guest(web)
            session = await start_session(host, store)
            row = await database["sessions"].find_one({"participants.user_id": host.user_id})
            assert row is not None
            assert (row["_id"], row["seq"]) == (session["session_id"], 1)
