"""What MongoDB's own log is not told of people."""

from typing import Any

from backend.accounts import Accounts
from backend.kit import mongo
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.factories import FakeClock
from tests.store.accounts_http import (
    PASSWORD,
    bearer,
    come_as_guest,
    make_client,
    new_phone,
    refusal,
    sign_up,
)


async def test_a_taken_phone_is_not_in_the_database_servers_log(
    settings: Settings, database: mongo.Database, redis_url: str, clock: FakeClock
) -> None:
    phone = new_phone()
    accounts = Accounts(settings, clock, Keyring(settings.qless_secret))
    async with make_client(accounts, redis_url) as api:
        await sign_up(api, phone=phone)
        visitor: dict[str, Any] = await come_as_guest(api)
        body = {"phone": phone, "password": PASSWORD, "name": "Asha"}
        response = await api.post("/auth/register", json=body, headers=bearer(visitor))
    assert refusal(response) == (409, "contact_taken")
    log = (await database.client.admin.command({"getLog": "global"}))["log"]
    # What takes long is logged whole, whatever it is; this is about what is refused.
    assert not [line for line in log if phone in line and "Slow query" not in line]
