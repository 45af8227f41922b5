"""Logins against a real MongoDB: who stays in, who is put out."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from backend.accounts import Accounts
from backend.accounts.tokens import AccessTokens
from backend.kit.mongo import Database
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.factories import FakeClock
from tests.store.accounts_http import Client, bearer, make_client, me, new_phone, refusal, sign_in, sign_up

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def keyring(settings: Settings) -> Keyring:
    return Keyring(settings.qless_secret)


@pytest.fixture
async def api(
    settings: Settings, clock: FakeClock, keyring: Keyring, redis_url: str
) -> AsyncIterator[Client]:
    async with make_client(Accounts(settings, clock, keyring), redis_url) as client:
        yield client


async def refresh(api: Client, token: str) -> httpx.Response:
    return await api.post("/auth/refresh", json={"refresh_token": token})


class TestRefresh:
    async def test_gives_new_tokens_for_the_same_login(
        self, api: Client, clock: FakeClock, settings: Settings
    ) -> None:
        tokens = await sign_up(api)
        clock.advance(seconds=settings.qless_access_ttl_s)
        assert refusal(await me(api, tokens)) == (401, "token_expired")
        answer = await refresh(api, tokens["refresh_token"])
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] != tokens["refresh_token"]
        assert (await me(api, answer.json())).json() == tokens["user"]

    async def test_a_lost_answer_is_given_again_for_ten_seconds(self, api: Client, clock: FakeClock) -> None:
        first = (await sign_up(api))["refresh_token"]
        lost = await refresh(api, first)
        clock.advance(seconds=9)
        again = await refresh(api, first)
        assert again.json()["refresh_token"] == lost.json()["refresh_token"]
        assert (await refresh(api, again.json()["refresh_token"])).status_code == 200

    async def test_a_token_used_after_the_grace_ends_the_login(self, api: Client, clock: FakeClock) -> None:
        tokens = await sign_up(api)
        newest = (await refresh(api, tokens["refresh_token"])).json()
        clock.advance(seconds=10)
        assert refusal(await refresh(api, tokens["refresh_token"])) == (401, "refresh_reused")
        assert refusal(await me(api, newest)) == (401, "not_authenticated")
        assert refusal(await refresh(api, newest["refresh_token"])) == (401, "not_authenticated")

    async def test_a_token_older_than_the_previous_has_no_grace(self, api: Client) -> None:
        tokens = await sign_up(api)
        second = (await refresh(api, tokens["refresh_token"])).json()
        third = (await refresh(api, second["refresh_token"])).json()
        assert refusal(await refresh(api, tokens["refresh_token"])) == (401, "refresh_reused")
        assert refusal(await me(api, third)) == (401, "not_authenticated")

    async def test_ending_one_login_leaves_the_others(self, api: Client) -> None:
        phone = new_phone()
        stolen = await sign_up(api, phone=phone)
        other = await sign_in(api, phone=phone)
        login_id = stolen["refresh_token"].partition(".")[0]
        assert refusal(await refresh(api, f"{login_id}.wrong")) == (401, "refresh_reused")
        assert (await me(api, other)).status_code == 200

    async def test_twenty_at_once_get_one_successor_that_works(self, api: Client, database: Database) -> None:
        first = (await sign_up(api))["refresh_token"]
        answers = await asyncio.gather(*(refresh(api, first) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        successors = {answer.json()["refresh_token"] for answer in answers}
        assert len(successors) == 1
        for answer in answers:
            assert (await me(api, answer.json())).status_code == 200
        assert (await refresh(api, successors.pop())).status_code == 200
        login = await database["logins"].find_one({"_id": first.partition(".")[0]})
        assert login is not None
        assert login["ended_at"] is None

    async def test_an_unused_login_expires(self, api: Client, clock: FakeClock, settings: Settings) -> None:
        tokens = await sign_up(api)
        clock.advance(seconds=settings.qless_refresh_ttl_s - 1)
        renewed = await refresh(api, tokens["refresh_token"])
        clock.advance(seconds=settings.qless_refresh_ttl_s - 1)
        renewed = await refresh(api, renewed.json()["refresh_token"])
        assert renewed.status_code == 200
        clock.advance(seconds=settings.qless_refresh_ttl_s)
        assert refusal(await refresh(api, renewed.json()["refresh_token"])) == (401, "not_authenticated")

    @pytest.mark.parametrize("token", ["x", ".", "lgn_unknown.secret", "lgn\x00.x", "é" * 9, "x" * 2048])
    async def test_garbage_is_nobody(self, api: Client, token: str) -> None:
        assert refusal(await refresh(api, token)) == (401, "not_authenticated")


class TestLogout:
    async def test_ends_this_login_at_once(self, api: Client) -> None:
        phone = new_phone()
        here = await sign_up(api, phone=phone)
        there = await sign_in(api, phone=phone)
        answer = await api.post("/auth/logout", headers=bearer(here))
        assert (answer.status_code, answer.content) == (204, b"")
        assert refusal(await me(api, here)) == (401, "not_authenticated")
        assert refusal(await refresh(api, here["refresh_token"])) == (401, "not_authenticated")
        assert (await me(api, there)).status_code == 200

    async def test_needs_somebody(self, api: Client) -> None:
        assert refusal(await api.post("/auth/logout")) == (401, "not_authenticated")


class TestAccessToken:
    async def test_another_servers_token_is_nobodys(
        self, api: Client, settings: Settings, clock: FakeClock
    ) -> None:
        user = (await sign_up(api))["user"]
        elsewhere = AccessTokens(settings, clock, Keyring("another server's root secret, also 32 long"))
        token = elsewhere.issue(user["user_id"], "lgn_unknown")
        answer = await me(api, {"access_token": token})
        assert refusal(answer) == (401, "not_authenticated")
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_names_a_live_login_and_its_own_user(
        self, api: Client, settings: Settings, clock: FakeClock, keyring: Keyring
    ) -> None:
        tokens = await sign_up(api)
        user_id, login_id = tokens["user"]["user_id"], tokens["refresh_token"].partition(".")[0]
        for named in ((user_id, "lgn_unknown"), ("usr_unknown", login_id)):
            token = AccessTokens(settings, clock, keyring).issue(*named)
            assert refusal(await me(api, {"access_token": token})) == (401, "not_authenticated")

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"])
    async def test_other_headers_are_refused(self, api: Client, header: str) -> None:
        answer = await api.get("/auth/me", headers={"authorization": header})
        assert refusal(answer) == (401, "not_authenticated")

    async def test_a_refresh_token_is_not_one(self, api: Client) -> None:
        tokens = await sign_up(api)
        assert refusal(await me(api, {"access_token": tokens["refresh_token"]})) == (401, "not_authenticated")

    async def test_is_void_when_the_user_is_gone(self, api: Client, database: Database) -> None:
        tokens = await sign_up(api)
        await database["users"].delete_one({"_id": tokens["user"]["user_id"]})
        assert refusal(await me(api, tokens)) == (401, "not_authenticated")
        assert refusal(await refresh(api, tokens["refresh_token"])) == (401, "not_authenticated")
