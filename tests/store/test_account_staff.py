"""Managers and the staff of their stores against a real MongoDB, also two managers at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from backend.accounts import Accounts, Role, StoreRole, store
from backend.accounts.documents import UserDocument
from backend.accounts.staffing import CODE_TTL
from backend.kit.ids import new_id
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
    new_email,
    refusal,
    sign_in,
    sign_in_staff,
    sign_up,
)

pytestmark = pytest.mark.usefixtures("database")

NEW_PASSWORD = "green parrots at noon"
WRONG = (401, "wrong_credentials")


@pytest.fixture
def accounts(settings: Settings, clock: FakeClock) -> Accounts:
    return Accounts(settings, clock, Keyring(settings.qless_secret))


class Shop(NamedTuple):
    """A store and what one of its managers does."""

    api: Client
    store_id: str
    manager: Tokens

    async def call(self, method: str, path: str = "", body: Any = None) -> httpx.Response:
        whole = f"/stores/{self.store_id}/staff{path}"
        return await self.api.request(method, whole, json=body, headers=bearer(self.manager))

    async def add(self, role: Role = Role.CASHIER, email: str = "") -> dict[str, Any]:
        body = {"email": email or new_email(), "name": "Meera", "role": role}
        answer = await self.call("POST", body=body)
        assert answer.status_code == 201, answer.text
        added: dict[str, Any] = answer.json()
        return added

    async def hire(self, role: Role = Role.CASHIER) -> tuple[dict[str, Any], Tokens]:
        """Somebody who has set their password."""
        added = await self.add(role)
        answer = await set_password(self.api, added)
        assert answer.status_code == 200, answer.text
        return added, answer.json()

    async def roles(self) -> dict[str, str]:
        """By user id."""
        answer = await self.call("GET")
        assert answer.status_code == 200, answer.text
        return {person["user_id"]: person["role"] for person in answer.json()}

    def seen_by(self, somebody: Tokens) -> "Shop":
        return self._replace(manager=somebody)


async def set_password(api: Client, added: dict[str, Any], **changes: str) -> httpx.Response:
    body = {"email": added["email"], "code": added["code"]["code"], "new": NEW_PASSWORD, **changes}
    return await api.post("/auth/password", json=body)


async def open_shop(api: Client, accounts: Accounts) -> Shop:
    store_id = new_id("sto")
    return Shop(api, store_id, await sign_in_staff(api, accounts, StoreRole(store_id, Role.MANAGER)))


@pytest.fixture
async def api(accounts: Accounts, redis_url: str) -> AsyncIterator[Client]:
    async with make_client(accounts, redis_url) as client:
        yield client


@pytest.fixture
async def shop(api: Client, accounts: Accounts) -> Shop:
    return await open_shop(api, accounts)


class TestAdding:
    async def test_gives_a_code_by_which_they_set_their_password(self, api: Client, shop: Shop) -> None:
        added = await shop.add(Role.CASHIER)
        assert added["has_password"] is False
        tokens = (await set_password(api, added)).json()
        assert tokens["user"]["roles"] == [{"store_id": shop.store_id, "role": "cashier"}]
        assert tokens["user"]["user_id"] == added["user_id"]
        await sign_in(api, email=added["email"], password=NEW_PASSWORD)
        (listed,) = [p for p in (await shop.call("GET")).json() if p["user_id"] == added["user_id"]]
        assert listed == {k: v for k, v in added.items() if k != "code"} | {"has_password": True}

    async def test_keeps_no_code_that_could_be_read(self, shop: Shop, database: Database) -> None:
        added = await shop.add()
        code = added["code"]["code"].replace("-", "")
        assert len(code) == 12
        assert code not in str(await database["users"].find_one({"_id": added["user_id"]}))

    async def test_of_who_works_elsewhere_adds_a_role_to_the_same_account(
        self, api: Client, accounts: Accounts, shop: Shop
    ) -> None:
        there = await open_shop(api, accounts)
        known, tokens = await there.hire(Role.GATE)
        added = await shop.add(Role.CASHIER, known["email"])
        assert (added["user_id"], added["role"], added["code"]) == (known["user_id"], "cashier", None)
        assert (await me(api, tokens)).json()["roles"] == [
            {"store_id": there.store_id, "role": "gate"},
            {"store_id": shop.store_id, "role": "cashier"},
        ]
        assert await there.roles() == {**await there.roles(), known["user_id"]: "gate"}

    async def test_is_refused_for_who_is_there_and_for_customers(self, api: Client, shop: Shop) -> None:
        email = new_email()
        customer = await sign_up(api, email=email)
        known = await shop.add(Role.GATE)
        for taken in (email, known["email"].upper()):
            body = {"email": taken, "name": "Meera", "role": "manager"}
            assert refusal(await shop.call("POST", body=body)) == (409, "contact_taken")
        assert (await me(api, customer)).json()["roles"] == []
        assert (await shop.roles())[known["user_id"]] == "gate"

    async def test_ten_times_at_once_is_one_person_with_one_role(self, shop: Shop) -> None:
        body = {"email": new_email(), "name": "Meera", "role": "cashier"}
        answers = await asyncio.gather(*(shop.call("POST", body=body) for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
        assert len(await shop.roles()) == 2

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"email": "nobody"}, "invalid_contact"),
            ({"email": None}, "invalid_field"),
            ({"role": "owner"}, "invalid_field"),
            ({"role": None}, "invalid_field"),
            ({"name": ""}, "invalid_field"),
            ({"password": PASSWORD}, "invalid_field"),
            ({"kind": "customer"}, "invalid_field"),
            ({"store_id": "sto_other"}, "invalid_field"),
        ],
        ids=str,
    )
    async def test_refuses_what_is_not_as_described(
        self, shop: Shop, change: dict[str, Any], code: str
    ) -> None:
        body = {"email": new_email(), "name": "Meera", "role": "cashier", **change}
        assert refusal(await shop.call("POST", body=body)) == (400, code)
        assert len(await shop.roles()) == 1


class TestCode:
    async def test_is_read_as_people_write_it(self, api: Client, shop: Shop) -> None:
        added = await shop.add()
        heard = f" {added['code']['code'].upper().replace('-', '  ')} "
        assert (await set_password(api, added, code=heard)).status_code == 200

    async def test_is_good_once_also_ten_times_at_once(self, api: Client, shop: Shop) -> None:
        added = await shop.add()
        answers = await asyncio.gather(*(set_password(api, added) for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
        assert refusal(await set_password(api, added)) == WRONG

    async def test_that_is_wrong_looks_like_nobodys(self, api: Client, shop: Shop) -> None:
        added, other = await shop.add(), await shop.add()
        wrong = await set_password(api, added, code=other["code"]["code"])
        nobody = await set_password(api, added, email=new_email())
        assert refusal(wrong) == WRONG
        assert wrong.content == nobody.content
        assert (await set_password(api, added)).status_code == 200

    async def test_is_over_after_a_day(self, api: Client, shop: Shop, clock: FakeClock) -> None:
        in_time, late = await shop.add(), await shop.add()
        clock.advance(seconds=(CODE_TTL - timedelta(seconds=1)).total_seconds())
        assert (await set_password(api, in_time)).status_code == 200
        clock.advance(seconds=1)
        assert refusal(await set_password(api, late)) == WRONG

    @pytest.mark.parametrize("new", ["password123", "Krishna@123"])
    async def test_survives_a_weak_password(self, api: Client, shop: Shop, new: str) -> None:
        added = await shop.add()
        assert refusal(await set_password(api, added, new=new)) == (400, "weak_password")
        assert (await set_password(api, added)).status_code == 200

    async def test_guessing_is_over_after_ten_tries_at_once(self, api: Client, shop: Shop) -> None:
        added = await shop.add()
        answers = await asyncio.gather(*(set_password(api, added, code=f"wrong {n}") for n in range(50)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(401), statuses.count(429)) == (10, 40)
        assert (await set_password(api, added)).status_code == 429

    async def test_for_who_forgot_theirs_ends_all_logins_when_used(self, api: Client, shop: Shop) -> None:
        person, before = await shop.hire()
        given = await shop.call("POST", f"/{person['user_id']}/code")
        assert given.status_code == 201
        assert (await me(api, before)).status_code == 200
        await sign_in(api, email=person["email"], password=NEW_PASSWORD)
        after = await set_password(api, {**person, "code": given.json()}, new=PASSWORD)
        assert (await me(api, after.json())).status_code == 200
        assert refusal(await me(api, before)) == (401, "not_authenticated")
        old = {"email": person["email"], "password": NEW_PASSWORD}
        assert refusal(await api.post("/auth/login", json=old)) == WRONG

    async def test_ends_with_the_next_one(self, api: Client, shop: Shop) -> None:
        added = await shop.add()
        newer = (await shop.call("POST", f"/{added['user_id']}/code")).json()
        assert refusal(await set_password(api, added)) == WRONG
        assert (await set_password(api, {**added, "code": newer})).status_code == 200

    async def test_is_not_to_be_had_for_oneself_or_who_works_elsewhere_too(
        self, api: Client, accounts: Accounts, shop: Shop
    ) -> None:
        there = await open_shop(api, accounts)
        shared, _ = await there.hire()
        await shop.add(Role.CASHIER, shared["email"])
        own = shop.manager["user"]["user_id"]
        for user_id in (own, shared["user_id"]):
            assert refusal(await shop.call("POST", f"/{user_id}/code")) == (403, "forbidden")
        for user_id in ("usr_that_never_was", there.manager["user"]["user_id"]):
            assert refusal(await shop.call("POST", f"/{user_id}/code")) == (404, "not_found")

    async def test_is_not_given_for_roles_that_changed_meanwhile(
        self, accounts: Accounts, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person, _ = await shop.hire()
        there, find = await open_shop(shop.api, accounts), store.find_user

        async def find_then_change(user_id: str) -> UserDocument | None:
            found = await find(user_id)
            if user_id == person["user_id"]:
                await there.add(Role.MANAGER, person["email"])
            return found

        monkeypatch.setattr(store, "find_user", find_then_change)
        assert refusal(await shop.call("POST", f"/{person['user_id']}/code")) == (409, "conflict")

    @pytest.mark.parametrize("how", ["another store", "another role", "none"])
    async def test_is_void_once_the_account_may_do_something_else(
        self, api: Client, accounts: Accounts, shop: Shop, how: str
    ) -> None:
        """Who has the code would get what it was not given for."""
        added = await shop.add()
        match how:
            case "another store":
                await (await open_shop(api, accounts)).add(Role.MANAGER, added["email"])
            case "another role":
                await shop.call("PUT", f"/{added['user_id']}", {"role": "manager"})
            case "none":
                await shop.call("DELETE", f"/{added['user_id']}")
        assert refusal(await set_password(api, added)) == WRONG


class TestRoles:
    async def test_count_with_the_next_request(self, api: Client, shop: Shop) -> None:
        person, tokens = await shop.hire(Role.GATE)
        path = f"/{person['user_id']}"
        answer = await shop.call("PUT", path, {"role": "supervisor"})
        assert (answer.status_code, answer.json()["role"]) == (200, "supervisor")
        assert [held["role"] for held in (await me(api, tokens)).json()["roles"]] == ["supervisor"]
        removed = await shop.call("DELETE", path)
        assert (removed.status_code, removed.content) == (204, b"")
        gate = await api.get(f"/gate/{shop.store_id}", headers=bearer(tokens))
        assert gate.json()["works"] is False
        assert list(await shop.roles()) == [shop.manager["user"]["user_id"]]
        assert refusal(await shop.call("DELETE", path)) == (404, "not_found")

    async def test_at_other_stores_are_left_alone(self, api: Client, accounts: Accounts, shop: Shop) -> None:
        there = await open_shop(api, accounts)
        person, tokens = await there.hire(Role.SUPERVISOR)
        await shop.add(Role.GATE, person["email"])
        await shop.call("PUT", f"/{person['user_id']}", {"role": "manager"})
        assert (await there.roles())[person["user_id"]] == "supervisor"
        await shop.call("DELETE", f"/{person['user_id']}")
        assert (await me(api, tokens)).json()["roles"] == [{"store_id": there.store_id, "role": "supervisor"}]

    async def test_of_people_elsewhere_look_like_nobodys(
        self, api: Client, accounts: Accounts, shop: Shop
    ) -> None:
        there = await open_shop(api, accounts)
        for user_id in (there.manager["user"]["user_id"], "usr_that_never_was"):
            assert refusal(await shop.call("PUT", f"/{user_id}", {"role": "gate"})) == (404, "not_found")
            assert refusal(await shop.call("DELETE", f"/{user_id}")) == (404, "not_found")
        assert list((await there.roles()).values()) == ["manager"]

    async def test_are_for_managers_of_the_store_alone(
        self, api: Client, accounts: Accounts, shop: Shop
    ) -> None:
        person, _ = await shop.hire(Role.CASHIER)
        others = [(await shop.hire(role))[1] for role in Role if role is not Role.MANAGER]
        others += [(await open_shop(api, accounts)).manager, await sign_up(api), await come_as_guest(api)]
        before = await shop.roles()
        for somebody in others:
            outside = shop.seen_by(somebody)
            path = f"/{person['user_id']}"
            body = {"email": new_email(), "name": "Meera", "role": "manager"}
            for answer in (
                await outside.call("GET"),
                await outside.call("POST", body=body),
                await outside.call("PUT", path, {"role": "manager"}),
                await outside.call("PUT", f"/{somebody['user']['user_id']}", {"role": "manager"}),
                await outside.call("DELETE", path),
                await outside.call("POST", f"{path}/code"),
            ):
                assert refusal(answer) == (403, "forbidden")
        assert await shop.roles() == before

    async def test_body_names_one_role(self, shop: Shop) -> None:
        person = await shop.add()
        bodies: list[Any] = [{"role": "owner"}, {"role": None}, {}, {"role": "gate", "store_id": "sto_x"}, []]
        for body in bodies:
            answer = await shop.call("PUT", f"/{person['user_id']}", body)
            assert refusal(answer) == (400, "invalid_field")
        assert (await shop.roles())[person["user_id"]] == "cashier"


class TestLastManager:
    async def test_stays_one(self, shop: Shop) -> None:
        path = f"/{shop.manager['user']['user_id']}"
        await shop.add(Role.SUPERVISOR)
        assert refusal(await shop.call("PUT", path, {"role": "gate"})) == (409, "last_manager")
        assert refusal(await shop.call("DELETE", path)) == (409, "last_manager")
        assert (await shop.call("PUT", path, {"role": "manager"})).status_code == 200

    async def test_may_go_when_there_is_another(self, shop: Shop) -> None:
        _, another = await shop.hire(Role.MANAGER)
        assert (await shop.call("DELETE", f"/{shop.manager['user']['user_id']}")).status_code == 204
        assert refusal(await shop.call("GET")) == (403, "forbidden")
        assert list((await shop.seen_by(another).roles()).values()) == ["manager"]

    async def test_managers_who_remove_each_other_at_once_leave_one(
        self, api: Client, accounts: Accounts
    ) -> None:
        for _ in range(10):
            shop = await open_shop(api, accounts)
            others = [(await shop.hire(Role.MANAGER))[1] for _ in range(2)]
            managers = [shop.manager, *others]
            answers = await asyncio.gather(
                *(
                    shop.seen_by(one).call("DELETE", f"/{other['user']['user_id']}")
                    for one in managers
                    for other in managers
                    if one is not other
                )
            )
            assert {answer.status_code for answer in answers} <= {204, 403, 404, 409}
            left = [(await me(api, one)).json()["roles"] for one in managers]
            assert sum(map(bool, left)) == 1
