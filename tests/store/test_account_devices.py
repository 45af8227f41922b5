"""Gate devices against a real MongoDB: what lets them in, how far, and how fast they are out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from backend.accounts import Accounts, Kind, Role, StoreRole
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
    new_phone,
    refusal,
    sign_in_staff,
    sign_up,
)

pytestmark = pytest.mark.usefixtures("database")

NEW = {"name": "Left door", "gate_id": "gate-1"}


@pytest.fixture
def accounts(settings: Settings, clock: FakeClock) -> Accounts:
    return Accounts(settings, clock, Keyring(settings.qless_secret))


@pytest.fixture
async def api(accounts: Accounts, redis_url: str) -> AsyncIterator[Client]:
    async with make_client(accounts, redis_url) as client:
        yield client


class Shop(NamedTuple):
    """A store with a manager."""

    store_id: str
    manager: Tokens

    @property
    def path(self) -> str:
        return f"/stores/{self.store_id}/devices"


@pytest.fixture
async def shop(api: Client, accounts: Accounts) -> Shop:
    store_id = new_id("sto")
    return Shop(store_id, await sign_in_staff(api, accounts, StoreRole(store_id, Role.MANAGER)))


async def add(api: Client, shop: Shop, **fields: str) -> dict[str, Any]:
    answer = await api.post(shop.path, json={**NEW, **fields}, headers=bearer(shop.manager))
    assert answer.status_code == 201, answer.text
    device: dict[str, Any] = answer.json()
    return device


async def listed(api: Client, shop: Shop) -> list[dict[str, Any]]:
    answer = await api.get(shop.path, headers=bearer(shop.manager))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def as_device(device: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {device['credential']}"}


class TestAdding:
    async def test_shows_the_credential_once_and_keeps_a_digest(
        self, api: Client, shop: Shop, database: Database
    ) -> None:
        device = await add(api, shop)
        secret = device.pop("credential").partition(".")[2]
        assert len(secret) == 43
        assert await listed(api, shop) == [device]
        stored = await database["gate_devices"].find_one({"_id": device["device_id"]})
        assert secret not in str(stored)

    async def test_answer_is_not_to_be_stored(self, api: Client, shop: Shop) -> None:
        answer = await api.post(shop.path, json=NEW, headers=bearer(shop.manager))
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        "change",
        [
            {"gate_id": ""},
            {"gate_id": "gate 1"},
            {"gate_id": "g" * 65},
            {"gate_id": None},
            {"name": " "},
            {"name": "x" * 61},
            {"role": "manager"},
            {"store_id": "sto_other"},
            {"credential": "dev_1.mine"},
        ],
        ids=str,
    )
    async def test_refuses_what_is_not_as_described(
        self, api: Client, shop: Shop, change: dict[str, Any]
    ) -> None:
        answer = await api.post(shop.path, json={**NEW, **change}, headers=bearer(shop.manager))
        assert refusal(answer) == (400, "invalid_field")
        assert await listed(api, shop) == []


class TestManaging:
    async def test_is_for_managers_of_the_store_alone(
        self, api: Client, accounts: Accounts, shop: Shop
    ) -> None:
        device = await add(api, shop)
        others = [
            await sign_in_staff(api, accounts, StoreRole(shop.store_id, role))
            for role in Role
            if role is not Role.MANAGER
        ]
        others.append(await sign_in_staff(api, accounts, StoreRole(new_id("sto"), Role.MANAGER)))
        others += [await sign_up(api), await come_as_guest(api), {"access_token": device["credential"]}]
        for somebody in others:
            headers = bearer(somebody)
            one = f"{shop.path}/{device['device_id']}"
            for answer in (
                await api.post(shop.path, json=NEW, headers=headers),
                await api.get(shop.path, headers=headers),
                await api.delete(one, headers=headers),
            ):
                assert refusal(answer) == (403, "forbidden")
        assert refusal(await api.get(shop.path)) == (401, "not_authenticated")
        assert len(await listed(api, shop)) == 1

    async def test_another_stores_device_looks_like_none(
        self, api: Client, accounts: Accounts, shop: Shop
    ) -> None:
        elsewhere = new_id("sto")
        there = Shop(elsewhere, await sign_in_staff(api, accounts, StoreRole(elsewhere, Role.MANAGER)))
        device = await add(api, there)
        for device_id in (device["device_id"], "dev_that_never_was"):
            answer = await api.delete(f"{shop.path}/{device_id}", headers=bearer(shop.manager))
            assert refusal(answer) == (404, "not_found")
        assert (await api.get(f"/gate/{elsewhere}", headers=as_device(device))).status_code == 200
        assert await listed(api, shop) == []


class TestDevice:
    async def test_does_the_gates_work_at_its_store_and_names_its_gate(self, api: Client, shop: Shop) -> None:
        device = await add(api, shop, gate_id="gate-7")
        here = await api.get(f"/gate/{shop.store_id}", headers=as_device(device))
        assert here.json() == {"works": True, "gate_id": "gate-7"}
        elsewhere = await api.get(f"/gate/{new_id('sto')}", headers=as_device(device))
        assert elsewhere.json() == {"works": False, "gate_id": "gate-7"}

    async def test_is_a_principal_with_that_role_alone(
        self, api: Client, accounts: Accounts, shop: Shop
    ) -> None:
        device = await add(api, shop)
        principal = await accounts.authenticate(device["credential"])
        assert (principal.kind, principal.user_id) == (Kind.DEVICE, device["device_id"])
        assert {role for role in Role if principal.works_at(shop.store_id, role)} == {Role.GATE}

    async def test_people_have_no_gate_of_their_own(self, api: Client, shop: Shop) -> None:
        answer = await api.get(f"/gate/{shop.store_id}", headers=bearer(shop.manager))
        assert answer.json() == {"works": True, "gate_id": None}

    async def test_does_nothing_else(self, api: Client, shop: Shop, database: Database) -> None:
        device = await add(api, shop)
        phone, headers = new_phone(), as_device(device)
        for method, path in (("GET", "shopping"), ("GET", "back-office"), ("GET", "auth/me")):
            assert refusal(await api.request(method, f"/{path}", headers=headers)) == (403, "forbidden")
        assert refusal(await api.post("/auth/logout", headers=headers)) == (403, "forbidden")
        body = {"phone": phone, "password": PASSWORD, "name": "Door"}
        assert refusal(await api.post("/auth/register", json=body, headers=headers)) == (403, "forbidden")
        assert await database["users"].count_documents({"phone": phone}) == 0
        refresh = {"refresh_token": device["credential"]}
        assert refusal(await api.post("/auth/refresh", json=refresh)) == (401, "not_authenticated")
        assert (await api.get(f"/gate/{shop.store_id}", headers=headers)).status_code == 200

    async def test_guests_and_customers_do_not_do_the_gates_work(self, api: Client, shop: Shop) -> None:
        for somebody in (await come_as_guest(api), await sign_up(api)):
            answer = await api.get(f"/gate/{shop.store_id}", headers=bearer(somebody))
            assert refusal(answer) == (403, "forbidden")

    async def test_needs_every_character_of_its_credential(self, api: Client, shop: Shop) -> None:
        mine, other = await add(api, shop), await add(api, shop)
        device_id, _, secret = mine["credential"].partition(".")
        wrong = [
            device_id,
            f"{device_id}.",
            f"{device_id}.{secret[:-1]}",
            f"{device_id}.{secret}x",
            f"{device_id}.{other['credential'].partition('.')[2]}",
            f"dev_that_never_was.{secret}",
            "dev_",
            "dev_.",
            "dev_\x7f.x",
        ]
        for credential in wrong:
            answer = await api.get(
                f"/gate/{shop.store_id}", headers={"authorization": f"Bearer {credential}"}
            )
            assert refusal(answer) == (401, "not_authenticated"), credential

    async def test_is_refused_from_the_revocation_on(self, api: Client, shop: Shop) -> None:
        device, other = await add(api, shop), await add(api, shop)
        path = f"{shop.path}/{device['device_id']}"
        answer = await api.delete(path, headers=bearer(shop.manager))
        assert (answer.status_code, answer.content) == (204, b"")
        gate = await api.get(f"/gate/{shop.store_id}", headers=as_device(device))
        assert refusal(gate) == (401, "not_authenticated")
        assert [d["device_id"] for d in await listed(api, shop)] == [other["device_id"]]
        assert refusal(await api.delete(path, headers=bearer(shop.manager))) == (404, "not_found")

    async def test_revoked_while_it_scans_is_out_when_the_revocation_is_answered(
        self, api: Client, shop: Shop
    ) -> None:
        device = await add(api, shop)
        revoked = asyncio.Event()

        async def revoke() -> None:
            path = f"{shop.path}/{device['device_id']}"
            assert (await api.delete(path, headers=bearer(shop.manager))).status_code == 204
            revoked.set()

        async def scan() -> tuple[bool, int]:
            after = revoked.is_set()
            answer = await api.get(f"/gate/{shop.store_id}", headers=as_device(device))
            return after, answer.status_code

        async def scan_on() -> list[tuple[bool, int]]:
            return [await scan() for _ in range(20)]

        revoking = asyncio.create_task(revoke())
        rounds = await asyncio.gather(*(scan_on() for _ in range(4)))
        await revoking
        answers = [answer for scans in rounds for answer in scans]
        assert (True, 401) in answers
        assert (True, 200) not in answers


class TestLastSeen:
    async def test_is_written_at_most_once_a_minute(
        self, api: Client, accounts: Accounts, shop: Shop, clock: FakeClock, database: Database
    ) -> None:
        device = await add(api, shop)
        seen = []
        for seconds in (0, 59, 1, 30):
            clock.advance(seconds=seconds)
            await asyncio.gather(*(accounts.authenticate(device["credential"]) for _ in range(5)))
            row = await database["gate_devices"].find_one({"_id": device["device_id"]})
            assert row is not None
            seen.append((clock.now() - row["last_seen_at"]).total_seconds())
        assert seen == [0, 59, 0, 30]

    async def test_is_empty_before_the_first_request(self, api: Client, shop: Shop) -> None:
        await add(api, shop)
        assert [device["last_seen_at"] for device in await listed(api, shop)] == [None]
