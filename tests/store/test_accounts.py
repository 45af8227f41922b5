"""Accounts over HTTP against a real MongoDB: who gets in, and as whom."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator
from typing import Any

import pytest
from argon2 import PasswordHasher

from backend.accounts import Accounts, Role, StoreRole
from backend.errors import ContactTaken, WeakPassword
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
    new_digits,
    new_email,
    new_phone,
    refusal,
    sign_in,
    sign_up,
)

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def accounts(settings: Settings, clock: FakeClock) -> Accounts:
    return Accounts(settings, clock, Keyring(settings.qless_secret))


@pytest.fixture
async def api(accounts: Accounts, redis_url: str) -> AsyncIterator[Client]:
    async with make_client(accounts, redis_url) as client:
        yield client


class TestRegister:
    async def test_signs_in_a_customer(self, api: Client, settings: Settings) -> None:
        phone, email = new_phone(), new_email()
        tokens = await sign_up(api, phone=phone, email=email)
        user = tokens["user"]
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] == settings.qless_access_ttl_s
        assert user == {
            "user_id": user["user_id"],
            "kind": "customer",
            "name": "Asha",
            "phone": phone,
            "email": email,
            "roles": [],
        }
        assert (await me(api, tokens)).json() == user

    async def test_stores_contacts_in_one_form(self, api: Client) -> None:
        digits, name = new_digits(), new_digits()
        tokens = await sign_up(
            api, phone=f"0{digits // 100_000} {digits % 100_000:05}", email=f"A{name}@Example.COM"
        )
        assert tokens["user"]["phone"] == f"+91{digits}"
        assert tokens["user"]["email"] == f"a{name}@example.com"

    async def test_stores_neither_password_nor_tokens(self, api: Client, database: Database) -> None:
        tokens = await sign_up(api)
        user = await database["users"].find_one({"_id": tokens["user"]["user_id"]})
        logins = await database["logins"].find({"user_id": tokens["user"]["user_id"]}).to_list()
        assert user is not None
        assert user["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert len(logins) == 1
        assert tokens["refresh_token"].partition(".")[2] not in str(logins)

    @pytest.mark.parametrize("field", ["phone", "email"])
    async def test_of_twenty_at_once_one_wins(self, api: Client, database: Database, field: str) -> None:
        contact = {field: new_phone() if field == "phone" else new_email()}
        body = {"password": PASSWORD, "name": "Asha", **contact}
        answers = await asyncio.gather(*(api.post("/auth/register", json=body) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
        assert {refusal(answer) for answer in answers if answer.status_code == 409} == {
            (409, "contact_taken")
        }
        assert await database["users"].count_documents(contact) == 1

    @pytest.mark.parametrize(
        ("phone", "email"),
        [
            ("12345", None),
            ("not a phone", None),
            ("+91 0000000000", None),
            (None, "asha"),
            (None, "a@b@c.in"),
        ],
    )
    async def test_refuses_contacts_nobody_has(
        self, api: Client, phone: str | None, email: str | None
    ) -> None:
        body = {"password": PASSWORD, "name": "Asha", "phone": phone, "email": email}
        assert refusal(await api.post("/auth/register", json=body)) == (400, "invalid_contact")

    @pytest.mark.parametrize(
        "password",
        [
            pytest.param("password123", id="common"),
            pytest.param("IloveYou", id="common in another case"),
            pytest.param("asha 2024", id="own name"),
            pytest.param("my own 9123456789", id="own phone"),
            pytest.param("e\u0301" * 7, id="seven characters in fourteen code points"),
        ],
    )
    async def test_refuses_weak_passwords(self, api: Client, password: str) -> None:
        body = {"password": password, "name": "Asha", "phone": "+919123456789"}
        assert refusal(await api.post("/auth/register", json=body)) == (400, "weak_password")


class TestStrictBody:
    @pytest.mark.parametrize(
        "change",
        [
            {"password": "seven77"},
            {"password": "x" * 129},
            {"password": 12345678},
            {"password": None},
            {"name": ""},
            {"name": " Asha"},
            {"name": "x" * 61},
            {"phone": 9876543210},
            {"phone": "9" * 41},
            {"phone": None},
            {"email": {"$ne": None}},
            {"kind": "staff"},
            {"roles": [{"store_id": "s", "role": "manager"}]},
            {"user_id": "usr_1"},
        ],
        ids=str,
    )
    async def test_register_names_the_wrong_field(
        self, api: Client, database: Database, change: dict[str, Any]
    ) -> None:
        before = await database["users"].count_documents({})
        body = {"password": PASSWORD, "name": "Asha", "phone": new_phone(), **change}
        answer = await api.post("/auth/register", json=body)
        assert refusal(answer) == (400, "invalid_field")
        assert answer.json()["errors"]
        assert await database["users"].count_documents({}) == before

    @pytest.mark.parametrize("contact", [{}, {"phone": "+919876543210", "email": "a@example.com"}], ids=str)
    async def test_login_takes_exactly_one_contact(self, api: Client, contact: dict[str, str]) -> None:
        answer = await api.post("/auth/login", json={"password": PASSWORD, **contact})
        assert refusal(answer) == (400, "invalid_field")

    @pytest.mark.parametrize("path", ["register", "login", "guest", "refresh"])
    @pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 5_000, b'"\\ud800'])
    async def test_refuses_what_is_not_json(self, api: Client, path: str, body: bytes) -> None:
        answer = await api.post(f"/auth/{path}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
        assert refusal(answer)[1] in {"malformed_body", "invalid_field"}

    @pytest.mark.parametrize("path", ["register", "login", "refresh"])
    async def test_refuses_no_body(self, api: Client, path: str) -> None:
        assert refusal(await api.post(f"/auth/{path}"))[0] == 400


class TestLogin:
    @pytest.mark.parametrize("field", ["phone", "email"])
    async def test_finds_the_account_by_either_contact(self, api: Client, field: str) -> None:
        contacts = {"phone": new_phone(), "email": new_email()}
        registered = await sign_up(api, **contacts)
        answer = await api.post("/auth/login", json={field: contacts[field].upper(), "password": PASSWORD})
        assert answer.status_code == 200
        assert answer.json()["user"] == registered["user"]
        assert answer.json()["refresh_token"] != registered["refresh_token"]
        assert answer.headers["cache-control"] == "no-store"

    async def test_unknown_user_and_wrong_password_look_the_same(self, api: Client) -> None:
        phone = new_phone()
        await sign_up(api, phone=phone)
        wrong = await api.post("/auth/login", json={"phone": phone, "password": PASSWORD + "!"})
        unknown = await api.post("/auth/login", json={"phone": new_phone(), "password": PASSWORD})
        assert refusal(wrong) == (401, "wrong_credentials")
        assert wrong.content == unknown.content
        assert wrong.headers == unknown.headers

    async def test_unknown_user_and_wrong_password_cost_the_same(
        self, api: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        phone, verified = new_phone(), list[str]()
        await sign_up(api, phone=phone)
        verify = PasswordHasher.verify

        def counting(self: PasswordHasher, wanted: str, password: str) -> bool:
            verified.append(wanted.rpartition("$")[0].rpartition("$")[0])
            return verify(self, wanted, password)

        monkeypatch.setattr(PasswordHasher, "verify", counting)
        for asked in (phone, new_phone()):
            await api.post("/auth/login", json={"phone": asked, "password": "not the password"})
        assert verified == ["$argon2id$v=19$m=19456,t=2,p=1"] * 2

    @pytest.mark.parametrize("password", ["नीले आम की सुबह", "crème brûlée à gogo", "🥭🌅🐘🌙🌊🍛🎏🪁"])
    async def test_takes_a_password_however_it_was_typed(self, api: Client, password: str) -> None:
        composed, decomposed = (unicodedata.normalize(form, password) for form in ("NFC", "NFD"))
        for typed, typed_again in ((composed, decomposed), (decomposed, composed)):
            phone = new_phone()
            await sign_up(api, phone=phone, password=typed)
            await sign_in(api, phone=phone, password=typed_again)

    async def test_renews_a_hash_made_with_weaker_parameters(self, api: Client, database: Database) -> None:
        phone = new_phone()
        user_id = (await sign_up(api, phone=phone))["user"]["user_id"]
        weaker = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
        await database["users"].update_one({"_id": user_id}, {"$set": {"password_hash": weaker}})
        for _ in range(2):
            answer = await api.post("/auth/login", json={"phone": phone, "password": PASSWORD})
            assert answer.status_code == 200
        stored = await database["users"].find_one({"_id": user_id})
        assert stored is not None
        assert stored["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


class TestGuest:
    async def test_needs_no_body(self, api: Client) -> None:
        answer = await api.post("/auth/guest")
        assert answer.status_code == 201
        user = answer.json()["user"]
        assert user == {"user_id": user["user_id"], "kind": "guest", "name": "Guest", "roles": []}

    async def test_may_give_a_name(self, api: Client) -> None:
        assert (await api.post("/auth/guest", json={"name": "Ravi"})).json()["user"]["name"] == "Ravi"
        assert (await api.post("/auth/guest", json={})).json()["user"]["name"] == "Guest"

    async def test_who_registers_stays_the_same_person(self, api: Client) -> None:
        guest, phone = await come_as_guest(api), new_phone()
        body = {"phone": phone, "password": PASSWORD, "name": "Asha"}
        answer = await api.post("/auth/register", json=body, headers=bearer(guest))
        assert answer.status_code == 201
        user = answer.json()["user"]
        assert (user["user_id"], user["kind"]) == (guest["user"]["user_id"], "customer")
        assert (await me(api, guest)).json() == user
        assert (await sign_in(api, phone=phone))["user"] == user

    async def test_registers_once_also_with_twenty_at_once(self, api: Client, database: Database) -> None:
        guest = await come_as_guest(api)
        bodies = [{"phone": new_phone(), "password": PASSWORD, "name": f"Asha {n}"} for n in range(20)]
        answers = await asyncio.gather(
            *(api.post("/auth/register", json=body, headers=bearer(guest)) for body in bodies)
        )
        won = [body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 201]
        assert len(won) == 1
        assert {refusal(answer) for answer in answers if answer.status_code != 201} == {
            (409, "already_registered")
        }
        assert (await me(api, guest)).json()["phone"] == won[0]["phone"]
        assert await database["users"].count_documents({"phone": {"$in": [b["phone"] for b in bodies]}}) == 1

    async def test_cannot_take_somebody_elses_contact(self, api: Client) -> None:
        phone, guest = new_phone(), await come_as_guest(api)
        await sign_up(api, phone=phone)
        body = {"phone": phone, "password": PASSWORD, "name": "Asha"}
        assert refusal(await api.post("/auth/register", json=body, headers=bearer(guest))) == (
            409,
            "contact_taken",
        )
        assert (await me(api, guest)).json()["kind"] == "guest"

    async def test_a_customer_does_not_register_again(self, api: Client) -> None:
        customer = await sign_up(api)
        body = {"phone": new_phone(), "password": PASSWORD, "name": "Asha"}
        answer = await api.post("/auth/register", json=body, headers=bearer(customer))
        assert refusal(answer) == (409, "already_registered")


class TestStaff:
    async def test_signs_in_with_roles(self, api: Client, accounts: Accounts) -> None:
        email = new_email()
        user_id = await accounts.create_staff(email, PASSWORD, "Meera", [StoreRole("sto_1", Role.MANAGER)])
        tokens = await sign_in(api, email=email)
        assert tokens["user"] == {
            "user_id": user_id,
            "kind": "staff",
            "name": "Meera",
            "email": email,
            "roles": [{"store_id": "sto_1", "role": "manager"}],
        }
        principal = await accounts.authenticate(tokens["access_token"])
        assert principal.works_at("sto_1", Role.CASHIER)
        assert not principal.works_at("sto_2", Role.CASHIER)

    async def test_a_role_taken_away_counts_at_once(self, api: Client, accounts: Accounts) -> None:
        email = new_email()
        await accounts.create_staff(email, PASSWORD, "Meera", [StoreRole("sto_1", Role.MANAGER)])
        tokens = await sign_in(api, email=email)
        await accounts.create_staff(email, PASSWORD, "Meera", [StoreRole("sto_1", Role.GATE)])
        principal = await accounts.authenticate(tokens["access_token"])
        assert principal.roles == (StoreRole("sto_1", Role.GATE),)

    async def test_created_ten_times_at_once_is_one_person(
        self, accounts: Accounts, database: Database
    ) -> None:
        email = new_email()
        role = StoreRole("sto_1", Role.CASHIER)
        ids = await asyncio.gather(
            *(accounts.create_staff(email, PASSWORD, "Meera", [role]) for _ in range(10))
        )
        assert len(set(ids)) == 1
        assert await database["users"].count_documents({"email": email}) == 1

    async def test_is_never_made_of_a_customer(self, api: Client, accounts: Accounts) -> None:
        email = new_email()
        customer = await sign_up(api, email=email)
        with pytest.raises(ContactTaken):
            await accounts.create_staff(email, PASSWORD, "Meera", [StoreRole("sto_1", Role.MANAGER)])
        assert (await me(api, customer)).json() == customer["user"]

    async def test_needs_a_good_password_too(self, accounts: Accounts) -> None:
        with pytest.raises(WeakPassword):
            await accounts.create_staff(new_email(), "short", "Meera", [])

    async def test_alone_passes_the_staff_guard(self, api: Client, accounts: Accounts) -> None:
        email = new_email()
        await accounts.create_staff(email, PASSWORD, "Meera", [])
        member = await sign_in(api, email=email)
        assert (await api.get("/back-office", headers=bearer(member))).status_code == 200
        assert refusal(await api.get("/back-office")) == (401, "not_authenticated")
        for outsider in (await sign_up(api), await come_as_guest(api)):
            assert refusal(await api.get("/back-office", headers=bearer(outsider))) == (403, "forbidden")


async def test_contacts_are_unique_only_where_given(database: Database) -> None:
    indexes = await database["users"].index_information()
    for field in ("phone", "email"):
        assert indexes[f"one_{field}"]["unique"]
        assert indexes[f"one_{field}"]["partialFilterExpression"] == {field: {"$type": "string"}}
    assert (await database["logins"].index_information())["forget_expired"]["expireAfterSeconds"] == 0
