"""The way into a cart: a token that cannot be guessed, for one cart, for a while, and never in an address."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from litestar import Litestar

from backend.carts import guessing
from backend.settings import Settings
from backend.stores import Store
from tests.factories import FakeClock
from tests.world import Person, guest, open_store, services_of, start_session


@pytest.fixture
async def clients(addresses: list[str]) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client of each process. Both come from an address of this test's own, as a trusted proxy tells it."""
    from_here = {"x-forwarded-for": some_address()}
    async with (
        httpx.AsyncClient(base_url=addresses[0], headers=from_here, timeout=30) as one,
        httpx.AsyncClient(base_url=addresses[1], headers=from_here, timeout=30) as two,
    ):
        yield [one, two]


def some_address() -> str:
    """One of documentation's (RFC 3849), that no other test uses."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::7"


@pytest.fixture
async def store(apps: list[Litestar], addresses: list[str]) -> Store:
    return await open_store(services_of(apps[0]))


@pytest.fixture
async def link(store: Store, clients: list[httpx.AsyncClient]) -> dict[str, Any]:
    """The way into a cart that somebody else hosts."""
    session = await start_session(await guest(clients[0], "Host"), store)
    join: dict[str, Any] = session["join"]
    return join


def at(client: httpx.AsyncClient, person: Person) -> Person:
    """The same person by another way into the API."""
    tokens = {"access_token": person.token, "refresh_token": "", "user": {"user_id": person.user_id}}
    return Person(client, tokens)


async def join(person: Person, token: str, **headers: str) -> httpx.Response:
    return await person.call("POST", "/session/join", json={"token": token}, headers=headers)


async def guess(person: Person, **headers: str) -> int:
    return (await join(person, secrets.token_urlsafe(24), **headers)).status_code


async def guess_at_once(people: Sequence[Person], times: int) -> list[int]:
    """The statuses of wrong tries, all sent before the first is answered."""
    return await asyncio.gather(*(guess(people[n % len(people)]) for n in range(times)))


class TestToken:
    async def test_has_128_random_bits_or_more(self, store: Store, clients: list[httpx.AsyncClient]) -> None:
        host = await guest(clients[0])
        session = await start_session(host, store)
        path = f"/session/{session['session_id']}/join-link"
        tokens = [(await host.post(path))["token"] for _ in range(64)]
        raw = [base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)) for token in tokens]
        assert {len(value) for value in raw} == {24}
        assert len(set(raw)) == 64
        # That 64 fair coins show fewer than 7 or more than 57 heads happens once in 10**11 times; here are 192 bits.
        ones = [sum(value[n // 8] >> n % 8 & 1 for value in raw) for n in range(192)]
        assert all(7 <= count <= 57 for count in ones)

    async def test_is_in_the_fragment_of_the_url_alone(self, link: dict[str, Any]) -> None:
        url = urlsplit(link["url"])
        assert url.fragment == link["token"]
        assert link["token"] not in url.netloc + url.path + url.query

    async def test_leads_into_one_cart(self, store: Store, clients: list[httpx.AsyncClient]) -> None:
        hosts = [await guest(clients[0]) for _ in range(3)]
        sessions = [await start_session(host, store) for host in hosts]
        visitor = await guest(clients[1])
        for session in sessions:
            answer = await join(visitor, session["join"]["token"])
            assert answer.json()["session_id"] == session["session_id"]
        assert len({session["join"]["token"] for session in sessions}) == 3

    async def test_is_not_what_is_stored(
        self, link: dict[str, Any], apps: list[Litestar], clients: list[httpx.AsyncClient]
    ) -> None:
        services = services_of(apps[0])
        stored = services.client[services.settings.qless_database]["join_links"]
        assert await stored.count_documents({"_id": link["token"]}) == 0

    async def test_expires(
        self, app: Litestar, api: httpx.AsyncClient, clock: FakeClock, settings: Settings
    ) -> None:
        session = await start_session(await guest(api), await open_store(services_of(app)))
        in_time, late = await guest(api), await guest(api)
        clock.advance(seconds=settings.qless_join_ttl_s - 1)
        await in_time.refresh()
        assert (await join(in_time, session["join"]["token"])).status_code == 200
        clock.advance(seconds=1)
        await late.refresh()
        assert (await join(late, session["join"]["token"])).status_code == 404

    async def test_ends_with_the_next_one(self, store: Store, clients: list[httpx.AsyncClient]) -> None:
        host, visitor = await guest(clients[0]), await guest(clients[1])
        session = await start_session(host, store)
        newer = await host.post(f"/session/{session['session_id']}/join-link")
        assert (await join(visitor, session["join"]["token"])).status_code == 404
        assert (await join(visitor, newer["token"])).status_code == 200


class TestGuessing:
    async def test_is_over_before_the_twentieth_try(self, clients: list[httpx.AsyncClient]) -> None:
        visitor = await guest(clients[0])
        statuses = [await guess(visitor) for _ in range(30)]
        assert statuses == [404] * guessing.USER_TRIES + [429] * (30 - guessing.USER_TRIES)
        assert guessing.USER_TRIES < 20

    async def test_is_so_when_all_is_sent_at_once_to_two_processes(
        self, clients: list[httpx.AsyncClient]
    ) -> None:
        visitor = await guest(clients[0])
        statuses = await guess_at_once([visitor, at(clients[1], visitor)], 50)
        assert sorted(statuses) == [404] * guessing.USER_TRIES + [429] * (50 - guessing.USER_TRIES)

    async def test_by_ever_new_guests_is_over_for_their_address(
        self, clients: list[httpx.AsyncClient], link: dict[str, Any]
    ) -> None:
        visitors = [await guest(clients[n % 2]) for n in range(30)]
        statuses = await guess_at_once(visitors, 150)
        assert statuses.count(404) == guessing.ADDRESS_TRIES
        assert statuses.count(429) == 150 - guessing.ADDRESS_TRIES
        one_more = await guest(clients[0])
        assert (await join(one_more, link["token"])).status_code == 429
        elsewhere = await join(one_more, link["token"], **{"x-forwarded-for": some_address()})
        assert elsewhere.status_code == 200

    async def test_says_how_long_to_wait(
        self, clients: list[httpx.AsyncClient], link: dict[str, Any]
    ) -> None:
        visitor = await guest(clients[0])
        await guess_at_once([visitor], 15)
        answer = await join(visitor, link["token"])
        assert answer.json()["code"] == "too_many_tries"
        assert guessing.USER_PER_S - 20 < int(answer.headers["retry-after"]) <= guessing.USER_PER_S

    async def test_goes_on_after_the_wait(
        self, clients: list[httpx.AsyncClient], link: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guessing, "USER_PER_S", 1)
        visitor = await guest(clients[0])
        await guess_at_once([visitor], 15)
        refused = await join(visitor, link["token"])
        assert refused.status_code == 429
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert (await join(visitor, link["token"])).status_code == 200


class TestRightLinks:
    async def test_cost_nothing(self, clients: list[httpx.AsyncClient], link: dict[str, Any]) -> None:
        visitor = await guest(clients[0])
        for _ in range(3 * guessing.USER_TRIES):
            assert (await join(visitor, link["token"])).status_code == 200
        assert await guess(visitor) == 404

    async def test_of_a_whole_shop_behind_one_address_work(
        self, store: Store, clients: list[httpx.AsyncClient]
    ) -> None:
        hosts = [await guest(clients[n % 2]) for n in range(20)]
        links = [(await start_session(host, store))["join"]["token"] for host in hosts]
        visitors = [await guest(clients[n % 2]) for n in range(100)]
        for start in range(0, 100, 25):
            answers = await asyncio.gather(
                *(join(visitor, links[n % 20]) for n, visitor in enumerate(visitors[start : start + 25]))
            )
            assert {answer.status_code for answer in answers} == {200}

    async def test_that_are_refused_for_another_reason_cost_nothing(
        self, store: Store, clients: list[httpx.AsyncClient]
    ) -> None:
        host, visitor = await guest(clients[0]), await guest(clients[1])
        session = await start_session(host, store)
        members = [await guest(clients[0]) for _ in range(19)]
        for member in members:
            assert (await join(member, session["join"]["token"])).status_code == 200
        for _ in range(guessing.USER_TRIES + 1):
            answer = await join(visitor, session["join"]["token"])
            assert (answer.status_code, answer.json()["code"]) == (409, "family_full")
