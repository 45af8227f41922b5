"""Servers of one shop, and goods for it: what the tests of the catalogue share."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from beanie import init_beanie
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

from backend.catalog import DOCUMENTS, Catalog, Product, parse_barcode
from backend.kit import mongo, redis
from backend.kit.clock import Clock
from backend.kit.tasks import Background
from backend.live import Bus

EAN, OTHER_EAN, EAN_8, UPC_A = "8901262010023", "8901262020039", "80177173", "042100005264"
UPC_E = "04252614"
"""The same product as `UPC_A`."""


class Process:
    """One server's catalogue with its own connections; its bus is cut until it `listens`."""

    def __init__(self, redis_url: str, clock: Clock, client: type[redis.Client] = redis.Client) -> None:
        self.redis = client(connection_pool=redis.connect(redis_url).connection_pool)
        self.bus = Bus(self.redis)
        self.catalog = Catalog(self.redis, self.bus, clock)
        self._background = Background()

    async def listen(self) -> "Process":
        self._background.start("sender", self.bus.run_sender)
        self._background.start("receiver", self.bus.run_receiver)
        self._background.start("fencing", self.catalog.run_fencing)
        await until(lambda: self.bus.connected)
        return self

    async def stop(self) -> None:
        await self._background.stop()
        await self.redis.connection_pool.disconnect()


async def until(happens: Callable[[], Any], within_s: float = 5.0) -> float:
    """Wait for something to become true; how long it took, in seconds."""
    began = time.monotonic()
    while not happens():
        assert time.monotonic() - began < within_s, "it did not happen in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


class Reads(CommandListener):
    """Counts what is read from the collection of products."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: Any) -> None:
        self.count += event.command_name == "find" and event.command["find"] == "products"

    def succeeded(self, event: Any) -> None:
        """Nothing to count."""

    def failed(self, event: Any) -> None:
        """Nothing to count."""


@asynccontextmanager
async def watched_products(database: mongo.Database, mongodb_url: str) -> AsyncIterator[Reads]:
    """Empties the products and binds them to a client that is listened to."""
    await database["products"].delete_many({})
    reads = Reads()
    client: mongo.Client = AsyncMongoClient(mongodb_url, tz_aware=True, event_listeners=[reads])
    watched = mongo.open_database(client, database.name)
    await init_beanie(database=watched, document_models=DOCUMENTS, skip_indexes=True)
    yield reads
    await init_beanie(database=database, document_models=DOCUMENTS, skip_indexes=True)
    await client.close()


def make_product(*barcodes: str, **fields: Any) -> Product:
    codes = tuple(parse_barcode(barcode)[-1] for barcode in barcodes or (EAN,))
    product = Product(
        product_id=f"prd_{codes[0]}",
        barcode=(barcodes or (EAN,))[0],
        codes=codes,
        name="Amul Butter",
        brand="Amul",
        category="dairy",
        pack_size="100 g",
        price_minor=6000,
        currency="INR",
        tax_class="merit",
        hsn="0405",
    )
    return msgspec.structs.replace(product, **fields)
