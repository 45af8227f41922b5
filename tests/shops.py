"""A server in this process with a database of its own, so that nothing but the test changes what is stored."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import msgspec
from litestar import Litestar

from backend import documents
from backend.app import create_app
from backend.kit import mongo
from backend.settings import Settings
from tests.factories import FakeClock
from tests.support import running


class Shop(NamedTuple):
    app: Litestar
    api: httpx.AsyncClient
    database: mongo.Database
    clock: FakeClock
    settings: Settings

    async def hash(self) -> str:
        """Of everything that is stored."""
        return str((await self.database.command("dbHash"))["md5"])


@asynccontextmanager
async def shop_of(settings: Settings, others: mongo.Database, **changes: Any) -> AsyncIterator[Shop]:
    """A server with these settings, some of them changed.

    Args:
        others: the run's database, to which documents are bound again at the end.
    """
    own = {"qless_database": f"qless_test_{secrets.token_hex(4)}", **changes}
    settings = msgspec.structs.replace(settings, **own)
    client = mongo.connect(settings.mongodb_url)
    database = mongo.open_database(client, settings.qless_database)
    await documents.prepare(database)
    clock = FakeClock()
    app = create_app(settings, clock)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    try:
        async with running(app), httpx.AsyncClient(transport=transport, base_url="http://test") as api:
            yield Shop(app, api, database, clock, settings)
    finally:
        await client.drop_database(settings.qless_database)
        await client.close()
        await documents.bind(others)
