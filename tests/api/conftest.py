"""A sandbox gateway and the merchant it reports to."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.sandbox_shop import Shop, open_gateway, open_shop


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as shop:
        yield shop


@pytest.fixture
async def gateway(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with open_gateway(shop) as client:
        yield client
