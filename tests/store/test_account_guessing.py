"""Guessers and crowds at the `/auth` endpoints of two processes, on a real MongoDB and Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from backend.accounts import Accounts, guessing, passwords
from backend.accounts.passwords import Passwords
from backend.errors import Unavailable
from backend.kit import redis, throttle
from backend.kit.mongo import Database
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.factories import FakeClock
from tests.store.accounts_http import (
    PASSWORD,
    Client,
    bearer,
    come_as_guest,
    make_client,
    me,
    new_address,
    new_email,
    new_phone,
    refusal,
    sign_in,
    sign_up,
)

pytestmark = pytest.mark.usefixtures("database")

PATIENCE_S = 20
WRONG = (401, "wrong_credentials")
TOO_MANY = (429, "too_many_tries")


class Network:
    """Clients of two processes at any address."""

    def __init__(self, processes: list[Accounts], redis_url: str, stack: AsyncExitStack) -> None:
        self._processes = processes
        self._redis_url = redis_url
        self._stack = stack

    async def at(self, address: str, process: int = 0) -> Client:
        client = make_client(self._processes[process], self._redis_url, address)
        return await self._stack.enter_async_context(client)

    async def both(self, address: str = "") -> list[Client]:
        """A client of each process, both at this one address or at one that nobody else has."""
        address = address or new_address()
        return [await self.at(address, process) for process in (0, 1)]


@pytest.fixture
async def network(
    settings: Settings, clock: FakeClock, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Network]:
    # On a busy machine an answer of Redis may take longer than a sign-in should wait; then each process counts alone.
    monkeypatch.setattr(throttle, "ANSWER_WITHIN_S", PATIENCE_S)
    monkeypatch.setattr(redis, "WAIT_S", PATIENCE_S)
    for name in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(redis.LIMITS, name, PATIENCE_S)
    processes = [Accounts(settings, clock, Keyring(settings.qless_secret)) for _ in range(2)]
    async with AsyncExitStack() as stack:
        yield Network(processes, redis_url, stack)


async def guess(client: Client, phone: str, password: str = "not the password") -> tuple[int, str]:
    return refusal(await client.post("/auth/login", json={"phone": phone, "password": password}))


async def counted(*answers: asyncio.Future[tuple[int, str]]) -> dict[tuple[int, str], int]:
    found = await asyncio.gather(*answers)
    return {answer: found.count(answer) for answer in set(found)}


class TestPasswordsOfOneAccount:
    async def test_two_hundred_at_once_in_two_processes_pass_ten_times(self, network: Network) -> None:
        clients, phone = await network.both(), new_phone()
        await sign_up(clients[0], phone=phone)
        tries = (asyncio.ensure_future(guess(clients[n % 2], phone)) for n in range(200))
        assert await counted(*tries) == {WRONG: 10, TOO_MANY: 190}
        assert await guess(clients[1], phone, PASSWORD) == TOO_MANY

    async def test_are_counted_however_the_account_is_written(self, network: Network) -> None:
        (client, _), phone = await network.both(), new_phone()
        for n in range(5):
            assert await guess(client, phone) == WRONG
            assert await guess(client, f" {phone[3:8]} {phone[8:]}") == WRONG, n
        assert await guess(client, phone) == TOO_MANY

    async def test_too_many_are_refused_before_the_database_is_asked(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (client, _), asked, whose = await network.both(), list[object](), Accounts.whose

        async def counting(self: Accounts, *given: Any) -> tuple[str, bool]:
            asked.append(given)
            return await whose(self, *given)

        monkeypatch.setattr(Accounts, "whose", counting)
        phone = new_phone()
        for _ in range(15):
            await guess(client, phone)
        assert len(asked) == 10

    async def test_are_counted_by_whichever_contact(self, network: Network) -> None:
        (client, _), phone, email = await network.both(), new_phone(), new_email()
        await sign_up(client, phone=phone, email=email)
        by_email = {"email": email, "password": "not the password"}
        for _ in range(5):
            assert await guess(client, phone) == WRONG
            assert refusal(await client.post("/auth/login", json=by_email)) == WRONG
        assert refusal(await client.post("/auth/login", json=by_email)) == TOO_MANY

    async def test_of_nobody_are_limited_alike(self, network: Network) -> None:
        clients, phone = await network.both(), new_phone()
        answers = [await guess(clients[n % 2], phone) for n in range(12)]
        assert answers == [WRONG] * 10 + [TOO_MANY] * 2

    async def test_guessed_elsewhere_leave_the_owner_alone(self, network: Network) -> None:
        (home, _), (attacker, _), phone = await network.both(), await network.both(), new_phone()
        await sign_up(home, phone=phone)
        for _ in range(11):
            await guess(attacker, phone)
        assert await guess(attacker, phone, PASSWORD) == TOO_MANY
        await sign_in(home, phone=phone)
        await sign_in(await network.at(new_address()), phone=phone)

    async def test_guessed_from_everywhere_are_limited_but_not_where_the_owner_was(
        self, network: Network
    ) -> None:
        (home, home_too), phone = await network.both(), new_phone()
        mine = await sign_up(home, phone=phone)
        everywhere = [await network.at(new_address(), n % 2) for n in range(25)]
        for answer in (WRONG, WRONG, WRONG, WRONG, TOO_MANY):
            tries = (asyncio.ensure_future(guess(client, phone)) for client in everywhere)
            assert await counted(*tries) == {answer: 25}
        assert await guess(await network.at(new_address()), phone, PASSWORD) == TOO_MANY
        await sign_in(home_too, phone=phone)
        assert (await me(home, mine)).status_code == 200

    async def test_right_ones_cost_nothing(self, network: Network) -> None:
        clients, phone = await network.both(), new_phone()
        await sign_up(clients[0], phone=phone)
        for n in range(12):
            await sign_in(clients[n % 2], phone=phone)
        assert await guess(clients[0], phone) == WRONG

    async def test_tell_how_long_to_wait_and_go_on_then(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guessing, "WRONG_FROM_HERE", guessing.Rate(2, 1))
        (client, _), phone = await network.both(), new_phone()
        await sign_up(client, phone=phone)
        assert [await guess(client, phone) for _ in range(3)] == [WRONG, WRONG, TOO_MANY]
        body = {"phone": phone, "password": PASSWORD}
        refused = await client.post("/auth/login", json=body)
        assert refused.headers["retry-after"] == "1"
        await asyncio.sleep(1)
        await sign_in(client, phone=phone)

    async def test_are_limited_for_who_changes_theirs_too(self, network: Network) -> None:
        (client, _) = await network.both()
        tokens = await sign_up(client)
        body = {"old": "not the password", "new": "green parrots at noon"}
        answers = [
            refusal(await client.put("/auth/password", json=body, headers=bearer(tokens))) for _ in range(12)
        ]
        assert answers == [WRONG] * 10 + [TOO_MANY] * 2
        await sign_in(client, phone=tokens["user"]["phone"])


class TestPasswordsOfMany:
    async def test_are_limited_by_address_for_a_minute(self, network: Network) -> None:
        clients = await network.both()
        await sign_up(clients[0], phone=(phone := new_phone()))
        tries = (asyncio.ensure_future(guess(clients[n % 2], new_phone())) for n in range(150))
        assert await counted(*tries) == {WRONG: 120, TOO_MANY: 30}
        refused = await clients[0].post("/auth/login", json={"phone": phone, "password": PASSWORD})
        assert refusal(refused) == TOO_MANY
        assert int(refused.headers["retry-after"]) <= 60
        await sign_in(await network.at(new_address()), phone=phone)

    async def test_of_a_whole_shop_behind_one_address_are_not(self, network: Network) -> None:
        clients = await network.both()
        phones = [new_phone() for _ in range(60)]
        await asyncio.gather(*(sign_up(clients[n % 2], phone=phone) for n, phone in enumerate(phones)))
        for phone in phones[::6]:
            assert await guess(clients[0], phone) == WRONG
        await asyncio.gather(*(sign_in(clients[n % 2], phone=phone) for n, phone in enumerate(phones)))


class TestRefreshing:
    async def test_wrong_tokens_are_limited_by_address(self, network: Network) -> None:
        clients = await network.both()
        tokens = await sign_up(clients[0])

        async def refresh(n: int) -> tuple[int, str]:
            wrong = {"refresh_token": f"lgn_that_never_was_{n}.x"}
            return refusal(await clients[n % 2].post("/auth/refresh", json=wrong))

        tries = (asyncio.ensure_future(refresh(n)) for n in range(150))
        assert await counted(*tries) == {(401, "not_authenticated"): 120, TOO_MANY: 30}
        right = {"refresh_token": tokens["refresh_token"]}
        assert refusal(await clients[1].post("/auth/refresh", json=right)) == TOO_MANY
        elsewhere = await network.at(new_address())
        assert (await elsewhere.post("/auth/refresh", json=right)).status_code == 200

    async def test_one_login_is_not_refreshed_without_end(self, network: Network) -> None:
        clients = await network.both()
        token = (await sign_up(clients[0]))["refresh_token"]
        other = (await sign_up(clients[0]))["refresh_token"]
        answers = await asyncio.gather(
            *(clients[n % 2].post("/auth/refresh", json={"refresh_token": token}) for n in range(80))
        )
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(200), statuses.count(429)) == (60, 20)
        assert (await clients[0].post("/auth/refresh", json={"refresh_token": other})).status_code == 200


class TestMakingAccounts:
    async def test_guests_are_limited_by_address_generously(
        self, network: Network, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert guessing.GUESTS.tries * 60 / guessing.GUESTS.per_s >= 300, "a minute"
        monkeypatch.setattr(guessing, "GUESTS", guessing.Rate(20, 600))
        clients, name = await network.both(), new_phone()

        async def come(client: Client) -> httpx.Response:
            return await client.post("/auth/guest", json={"name": name})

        answers = await asyncio.gather(*(come(clients[n % 2]) for n in range(50)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(201), statuses.count(429)) == (20, 30)
        assert await database["users"].count_documents({"name": name}) == 20
        assert (await come(await network.at(new_address()))).status_code == 201

    async def test_registrations_are_limited_by_address_and_for_one_contact(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clients, phone = await network.both(), new_phone()

        async def register(client: Client, phone: str) -> int:
            body = {"phone": phone, "password": PASSWORD, "name": "Asha"}
            return (await client.post("/auth/register", json=body)).status_code

        answers = await asyncio.gather(*(register(clients[n % 2], phone) for n in range(40)))
        assert (answers.count(201), answers.count(409), answers.count(429)) == (1, 29, 10)
        monkeypatch.setattr(guessing, "REGISTRATIONS", guessing.Rate(35, 600))
        answers = [await register(clients[0], new_phone()) for _ in range(7)]
        assert answers == [201] * 5 + [429] * 2

    async def test_a_guest_who_must_wait_stays_a_guest(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (client, _) = await network.both()
        guest = await come_as_guest(client)
        monkeypatch.setattr(guessing, "REGISTRATIONS", guessing.Rate(1, 600))
        await sign_up(client)
        body = {"phone": new_phone(), "password": PASSWORD, "name": "Asha"}
        refused = await client.post("/auth/register", json=body, headers=bearer(guest))
        assert refusal(refused) == TOO_MANY
        assert (await me(client, guest)).json()["kind"] == "guest"


class TestHashing:
    async def test_a_burst_leaves_the_loop_its_turns(self) -> None:
        judge, lags = Passwords(), list[float]()
        stored = await judge.hash(PASSWORD)
        loop = asyncio.get_running_loop()

        async def watch() -> None:
            while True:
                before = loop.time()
                await asyncio.sleep(0.01)
                lags.append(loop.time() - before - 0.01)

        watcher = asyncio.create_task(watch())
        assert all(await asyncio.gather(*(judge.matches(PASSWORD, stored) for _ in range(60))))
        watcher.cancel()
        assert sorted(lags)[len(lags) // 2] < 0.05

    async def test_more_than_can_be_waited_for_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(passwords, "MAX_WAITING", 10)
        judge = Passwords()
        answers = await asyncio.gather(
            *(judge.matches(PASSWORD, None) for _ in range(30)), return_exceptions=True
        )
        assert answers.count(False) == 12
        assert sum(isinstance(answer, Unavailable) for answer in answers) == 18
        assert not await judge.matches(PASSWORD, None)
