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
    """By the real time, as the gateway goes by it; signed in for longer than the longest run."""
    own = msgspec.structs.replace(settings, qless_database=own_database.name, qless_access_ttl_s=86_400)
    app = create_app(own)
    async with serving(app) as address:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=CALLER)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as api:
            yield await open_shop(app, address, api)
    await documents.bind(database)
