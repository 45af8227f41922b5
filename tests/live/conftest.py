"""Servers on real ports, in this process."""

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from backend import documents
from backend.app import create_app
from backend.kit import mongo
from backend.settings import Settings
from tests.support import serving


@pytest.fixture
def apps(settings: Settings) -> list[Litestar]:
    """Two applications, as two processes would run them."""
    return [create_app(settings), create_app(settings)]


@pytest.fixture
async def addresses(apps: list[Litestar], database: mongo.Database) -> AsyncIterator[list[str]]:
    """Where the two answer.

    Beanie binds its documents once a process, so here both applications use the run's own client for them.
    """
    async with serving(apps[0]) as one, serving(apps[1]) as two:
        await documents.bind(database)
        yield [one, two]


@pytest.fixture
async def web(addresses: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the first."""
    async with httpx.AsyncClient(base_url=addresses[0]) as client:
        yield client
