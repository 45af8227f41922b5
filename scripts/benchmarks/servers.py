"""The servers that are compared, each a process of its own under the same uvicorn, and what they sell."""

import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pymongo import MongoClient

from backend import documents
from backend.accounts import Role, StoreRole
from backend.catalog import Product
from backend.catalog.barcodes import check_digit
from backend.kit import mongo
from backend.kit.clock import SystemClock
from backend.kit.embedded import Child, free_port
from backend.lifespan import open_services
from backend.settings import load
from backend.stores import Store

ROOT = Path(__file__).resolve().parent.parent.parent
READY_WITHIN_S = 30.0
STORE = Store(
    store_id="store_bench",
    name="Benchmark Store",
    merchant_id="mer_bench",
    city="Bengaluru",
    currency="INR",
    time_zone="Asia/Kolkata",
    market="IN",
)
TAX_CLASSES = ("exempt", "merit", "standard", "demerit")


GUARD = "guard@bench.example"
"""Who stands at the gate; the password is the databases' secret."""


MADE_BEFORE = ("events", "orders", "passes", "payments")
"""The plain build's collections that its transactions write to; making one within is a conflict with the others."""


class ServerFailed(Exception):
    """A server did not start or did not last. One sentence, and the end of what it wrote."""


@dataclass(frozen=True)
class Databases:
    """Where everything is kept: the addresses, a name that no other run has, the secret of ours."""

    mongodb_url: str
    redis_url: str
    name: str = field(default_factory=lambda: f"qless_bench_{secrets.token_hex(4)}")
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def of_others(self) -> str:
        """The database of `floor` and `plain`."""
        return f"{self.name}_others"

    def drop(self) -> None:
        """Leave nothing of this run in MongoDB; what it left in Redis expires."""
        with MongoClient[mongo.Document](self.mongodb_url) as client:
            client.drop_database(self.name)
            client.drop_database(self.of_others)


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    kind: str
    url: str
    child: Child


def settings(databases: Databases, port: int) -> dict[str, str]:
    """What ours is told; everything else is as shipped."""
    return {
        "MONGODB_URL": databases.mongodb_url,
        "REDIS_URL": databases.redis_url,
        "QLESS_DATABASE": databases.name,
        "QLESS_MODE": "demo",
        "QLESS_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "QLESS_SECRET": databases.secret,
    }


def environment(kind: str, databases: Databases, port: int) -> dict[str, str]:
    """What each server is told."""
    if kind == "ours":
        return settings(databases, port)
    addresses = {"MONGODB_URL": databases.mongodb_url, "REDIS_URL": databases.redis_url}
    others = {"MONGO": databases.mongodb_url, "REDIS": databases.redis_url}
    return addresses | others | {"BENCH_DATABASE": databases.of_others}


def application(kind: str, shared: Path | None) -> list[str]:
    """Which application uvicorn runs."""
    if kind == "ours":
        return ["--factory", "backend.app:from_environment"]
    if kind.startswith("shared "):
        module = {"shared floor": "floor", "shared plain": "seed_stack"}[kind]
        return [f"{module}:app", "--app-dir", str(shared)]
    return ["--factory", f"scripts.benchmarks.{kind}:from_environment"]


def command(kind: str, application: list[str], port: int) -> list[str]:
    """uvicorn, for all alike: no compression, no access log. Ours comes with its protocol, as it is shipped."""
    protocol = "backend.live.protocol:LiveProtocol" if kind == "ours" else "websockets-sansio"
    return [
        *(sys.executable, "-m", "uvicorn", *application, "--host", "127.0.0.1", "--port", str(port)),
        *("--ws", protocol, "--ws-per-message-deflate", "false", "--loop", "uvloop"),
        *("--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]


@contextmanager
def serve(kind: str, app: list[str], told: Mapping[str, str], port: int, folder: Path) -> Iterator[Server]:
    """Run a server until the block ends.

    Raises:
        ServerFailed: it does not answer.
    """
    log = folder / f"{kind.replace(' ', '-')}.log"
    child = Child(kind, command(kind, app, port), log, ROOT, os.environ | told)
    try:
        _wait_until_ready(child, port)
        yield Server(kind, f"http://127.0.0.1:{port}", child)
    finally:
        child.stop()


@contextmanager
def simulate(databases: Databases, port: int, folder: Path) -> Iterator[dict[str, str]]:
    """Run the payment simulator until the block ends; what a server is told of it. Its webhooks go nowhere.

    Raises:
        ServerFailed: it does not answer.
    """
    url = f"http://127.0.0.1:{port}"
    told = {
        "SANDBOX_API_KEY": databases.secret,
        "SANDBOX_WEBHOOK_SECRET": databases.secret,
        "SANDBOX_WEBHOOK_URL": f"{url}/nowhere",
        "SANDBOX_PUBLIC_URL": url,
    }
    app = ["--factory", "backend.sandbox.app:from_environment"]
    with serve("simulator", app, told, port, folder):
        yield {
            "QLESS_SANDBOX_URL": url,
            "QLESS_SANDBOX_API_KEY": databases.secret,
            "QLESS_SANDBOX_WEBHOOK_SECRETS": databases.secret,
        }


def _wait_until_ready(child: Child, port: int) -> None:
    """uvicorn listens once the application's lifespan has begun."""
    deadline = time.monotonic() + READY_WITHIN_S
    while child.exit_code is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise ServerFailed("\n".join([f"The server `{child.name}` did not start:", *child.output()[-12:]]))


async def stock(databases: Databases, lines: int) -> list[str]:
    """Prepare the databases, put a store and so many products into each; gives the barcodes."""
    products = [_product(number) for number in range(lines)]
    client = mongo.connect(databases.mongodb_url)
    await documents.prepare(mongo.open_database(client, databases.name))
    plain = [{"_id": p.barcode, "name": p.name, "price_minor": p.price_minor, "images": []} for p in products]
    others = client[databases.of_others]
    await others.products.insert_many(plain)
    for name in MADE_BEFORE:
        await others.create_collection(name)
    await client.close()
    async with open_services(load(settings(databases, free_port())), SystemClock()) as services:
        await services.stores.put(STORE)
        roles = [StoreRole(STORE.store_id, Role.GATE)]
        await services.accounts.create_staff(GUARD, databases.secret, "Guard", roles)
        for product in products:
            await services.catalog.put(product)
    return [product.barcode for product in products]


def _product(number: int) -> Product:
    """One of a family's shopping: prices from ₹10 to ₹249, every tax class."""
    payload = f"8900000{number:05d}"
    barcode = payload + str(check_digit(payload))
    return Product(
        product_id=f"prd_{barcode}",
        barcode=barcode,
        codes=("0" + barcode,),
        name=f"Product of the benchmark {number}",
        brand="Bench",
        category="snacks",
        pack_size="100 g",
        price_minor=1_000 + number * 599 % 24_000,
        currency="INR",
        tax_class=TAX_CLASSES[number % len(TAX_CLASSES)],
        hsn="1905",
    )
