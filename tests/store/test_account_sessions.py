"""Where somebody is signed in, ended from elsewhere, and a password changed, against a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from backend.accounts import Accounts, RegisterIn
from backend.accounts.schemas import LoginIn, PasswordIn
from backend.errors import WrongCredentials
from backend.kit.mongo import Database
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.factories import FakeClock
from tests.store.accounts_http import (
    PASSWORD,
    Client,
    Tokens,
    bearer,
    come_as_guest,
    make_client,
    me,
    new_phone,
    refusal,
    sign_in,
    sign_up,
)

pytestmark = pytest.mark.usefixtures("database")

NEW_PASSWORD = "green parrots at noon"
CHROME = {"user-agent": "Mozilla/5.0 (Linux; Android 10; K) Chrome/141.0.0.0 Mobile Safari/537.36"}


@pytest.fixture
def accounts(settings: Settings, clock: FakeClock) -> Accounts:
    return Accounts(settings, clock, Keyring(settings.qless_secret))


@pytest.fixture
async def api(accounts: Accounts, redis_url: str) -> AsyncIterator[Client]:
    async with make_client(accounts, redis_url) as client:
        yield client


async def logins(api: Client, tokens: Tokens) -> list[dict[str, Any]]:
    answer = await api.get("/auth/logins", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def end(api: Client, tokens: Tokens, login_id: str) -> httpx.Response:
    return await api.delete(f"/auth/logins/{login_id}", headers=bearer(tokens))


def login_id_of(tokens: Tokens) -> str:
    login_id: str = tokens["refresh_token"].partition(".")[0]
    return login_id


async def refresh(api: Client, tokens: Tokens) -> httpx.Response:
    return await api.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})


async def three(api: Client, clock: FakeClock) -> list[Tokens]:
    """One person signed in three times, a minute apart."""
    phone = new_phone()
    tokens = [await sign_up(api, phone=phone)]
    for _ in range(2):
        clock.advance(minutes=1)
        tokens.append(await sign_in(api, phone=phone))
    return tokens


class TestList:
    async def test_shows_ones_own_with_the_one_in_use(self, api: Client, clock: FakeClock) -> None:
        phone, began = new_phone(), clock.now()
        first = await sign_up(api, phone=phone)
        await sign_up(api)
        clock.advance(minutes=1)
        body = {"phone": phone, "password": PASSWORD}
        second = (await api.post("/auth/login", json=body, headers=CHROME)).json()
        clock.advance(minutes=1)
        first = (await refresh(api, first)).json()
        newest, oldest = await logins(api, first)
        assert newest["login_id"] == login_id_of(second)
        assert (newest["device"], newest["refreshed_at"], newest["current"]) == (
            "Chrome on Android",
            None,
            False,
        )
        assert oldest["login_id"] == login_id_of(first)
        assert (oldest["device"], oldest["current"]) == ("Unknown device", True)
        assert (oldest["begun_at"] < newest["begun_at"] < oldest["refreshed_at"]) is True
        assert oldest["begun_at"].startswith(began.isoformat()[:19])

    async def test_has_neither_ended_nor_expired_ones(
        self, api: Client, clock: FakeClock, settings: Settings
    ) -> None:
        expired, ended, current = await three(api, clock)
        await api.post("/auth/logout", headers=bearer(ended))
        assert len(await logins(api, current)) == 2
        clock.advance(seconds=settings.qless_refresh_ttl_s - 60)
        current = (await refresh(api, current)).json()
        assert [login["login_id"] for login in await logins(api, current)] == [login_id_of(current)]
        assert refusal(await refresh(api, expired)) == (401, "not_authenticated")

    async def test_holds_no_token_and_no_address(self, api: Client, database: Database) -> None:
        tokens = await sign_up(api)
        shown = (await api.get("/auth/logins", headers=bearer(tokens))).text
        stored = str(await database["logins"].find_one({"_id": login_id_of(tokens)}))
        for secret in (tokens["refresh_token"].partition(".")[2], "127.0.0.1"):
            assert secret not in shown
            assert secret not in stored

    async def test_needs_somebody(self, api: Client) -> None:
        for method, path in (("GET", "logins"), ("DELETE", "logins"), ("DELETE", "logins/lgn_1")):
            assert refusal(await api.request(method, f"/auth/{path}")) == (401, "not_authenticated")


class TestEnding:
    async def test_one_leaves_the_others(self, api: Client, clock: FakeClock) -> None:
        lost, other, current = await three(api, clock)
        answer = await end(api, current, login_id_of(lost))
        assert (answer.status_code, answer.content) == (204, b"")
        assert refusal(await me(api, lost)) == (401, "not_authenticated")
        assert refusal(await refresh(api, lost)) == (401, "not_authenticated")
        for kept in (other, current):
            assert (await me(api, kept)).status_code == 200

    async def test_somebody_elses_looks_like_none(self, api: Client, clock: FakeClock) -> None:
        mine, theirs = await sign_up(api), await sign_up(api)
        for login_id in (login_id_of(theirs), "lgn_that_never_was"):
            assert refusal(await end(api, mine, login_id)) == (404, "not_found")
        assert (await me(api, theirs)).status_code == 200

    async def test_twice_is_told(self, api: Client, clock: FakeClock) -> None:
        lost, _, current = await three(api, clock)
        await end(api, current, login_id_of(lost))
        assert refusal(await end(api, current, login_id_of(lost))) == (404, "not_found")

    async def test_ones_own_is_signing_out(self, api: Client) -> None:
        tokens = await sign_up(api)
        assert (await end(api, tokens, login_id_of(tokens))).status_code == 204
        assert refusal(await me(api, tokens)) == (401, "not_authenticated")

    async def test_all_others_keeps_the_one_in_use(self, api: Client, clock: FakeClock) -> None:
        first, second, current = await three(api, clock)
        stranger = await sign_up(api)
        assert (await api.delete("/auth/logins", headers=bearer(current))).status_code == 204
        for gone in (first, second):
            assert refusal(await me(api, gone)) == (401, "not_authenticated")
        for kept in (current, stranger):
            assert (await me(api, kept)).status_code == 200

    async def test_holds_against_refreshes_on_their_way(self, api: Client, clock: FakeClock) -> None:
        for _ in range(5):
            lost, _, current = await three(api, clock)
            *refreshed, ended = await asyncio.gather(
                *(refresh(api, lost) for _ in range(5)), end(api, current, login_id_of(lost))
            )
            assert ended.status_code == 204
            for answer in refreshed:
                if answer.status_code == 200:
                    assert refusal(await me(api, answer.json())) == (401, "not_authenticated")
                    assert refusal(await refresh(api, answer.json())) == (401, "not_authenticated")

    async def test_is_found_by_an_index_of_ended_logins_alone(self, database: Database) -> None:
        since = {"ended_at": {"$gte": FakeClock().now()}}
        plan = await database["logins"].find(since, {"_id": 1}).explain()
        assert "'indexName': 'ended'" in str(plan["queryPlanner"]["winningPlan"])


class TestPassword:
    async def change(self, api: Client, tokens: Tokens, old: str, new: str) -> httpx.Response:
        return await api.put("/auth/password", json={"old": old, "new": new}, headers=bearer(tokens))

    async def test_changed_ends_all_other_logins(self, api: Client, clock: FakeClock) -> None:
        first, second, current = await three(api, clock)
        phone = current["user"]["phone"]
        answer = await self.change(api, current, PASSWORD, NEW_PASSWORD)
        assert (answer.status_code, answer.content) == (204, b"")
        for gone in (first, second):
            assert refusal(await me(api, gone)) == (401, "not_authenticated")
        assert (await me(api, current)).status_code == 200
        await sign_in(api, phone=phone, password=NEW_PASSWORD)
        refused = await api.post("/auth/login", json={"phone": phone, "password": PASSWORD})
        assert refusal(refused) == (401, "wrong_credentials")

    @pytest.mark.parametrize(
        ("old", "new", "refused"),
        [
            ("not the password", NEW_PASSWORD, (401, "wrong_credentials")),
            (PASSWORD, "password123", (400, "weak_password")),
            (PASSWORD, "short", (400, "invalid_field")),
            (PASSWORD, "x" * 129, (400, "invalid_field")),
        ],
    )
    async def test_refused_changes_nothing(
        self, api: Client, old: str, new: str, refused: tuple[int, str]
    ) -> None:
        phone = new_phone()
        other, current = await sign_up(api, phone=phone), await sign_in(api, phone=phone)
        assert refusal(await self.change(api, current, old, new)) == refused
        assert (await me(api, other)).status_code == 200
        await sign_in(api, phone=phone)

    async def test_may_not_hold_ones_own_contact(self, api: Client) -> None:
        phone = new_phone()
        tokens = await sign_up(api, phone=phone)
        refused = await self.change(api, tokens, PASSWORD, f"call {phone[3:]} now")
        assert refusal(refused) == (400, "weak_password")

    async def test_guests_have_none(self, api: Client) -> None:
        refused = await self.change(api, await come_as_guest(api), PASSWORD, NEW_PASSWORD)
        assert refusal(refused) == (401, "wrong_credentials")

    async def test_changed_ten_times_at_once_is_changed_once(self, api: Client) -> None:
        phone = new_phone()
        tokens = await sign_up(api, phone=phone)
        wanted = [f"{NEW_PASSWORD} {n}" for n in range(10)]
        answers = await asyncio.gather(*(self.change(api, tokens, PASSWORD, new) for new in wanted))
        (won,) = [new for new, answer in zip(wanted, answers, strict=True) if answer.status_code == 204]
        await sign_in(api, phone=phone, password=won)

    async def test_a_sign_in_by_the_old_one_does_not_outlive_the_change(
        self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        phone = new_phone()
        registered = await accounts.register(RegisterIn(password=PASSWORD, name="Asha", phone=phone), None)
        caller = await accounts.authenticate(registered.access_token)
        begin = accounts._begin_login

        async def begin_late(*given: Any) -> tuple[str, str]:
            await accounts.change_password(caller, PasswordIn(old=PASSWORD, new=NEW_PASSWORD))
            return await begin(*given)

        monkeypatch.setattr(accounts, "_begin_login", begin_late)
        with pytest.raises(WrongCredentials):
            await accounts.login(LoginIn(password=PASSWORD, phone=phone))
        assert [login.current for login in await accounts.logins.of_caller(caller)] == [True]
