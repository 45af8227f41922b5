"""One server with a database of its own for all that is held against the table and the description."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from backend import documents
from backend.app import create_app
from backend.kit import mongo
from backend.settings import Settings
from tests.contract.scene import Shop, open_shop
from tests.factories import FakeClock
from tests.support import serving

CALLER = ("10.7.3.1", 40_000)
"""Wrong tries are counted by network: these requests come from one that no other test has."""


@pytest.fixture(scope="module")
async def own_database(settings: Settings) -> AsyncIterator[mongo.Database]:
    """A database of the module's own: nobody else writes to it, and it is small enough to be compared as a whole."""
    client = mongo.connect(settings.mongodb_url)
    database = mongo.open_database(client, f"{settings.qless_database}_contract")
    await documents.prepare(database)
    yield database
    await client.drop_database(database.name)
    await client.close()


@pytest.fixture(scope="module")
async def shop(
    settings: Settings, own_database: mongo.Database, database: mongo.Database, sandbox: str
) -> AsyncIterator[Shop]:
    app = create_app(msgspec.structs.replace(settings, qless_database=own_database.name), FakeClock())
    async with serving(app) as address:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=CALLER)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as api:
            yield await open_shop(app, address, api)
    await documents.bind(database)
