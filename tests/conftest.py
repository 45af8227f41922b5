"""A real mongod and a real redis-server for the whole run; one database, dropped at the end."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from backend import documents
from backend.app import create_app
from backend.kit import mongo
from backend.kit.embedded import EmbeddedMongo, EmbeddedRedis, free_port
from backend.payments import Reconciler
from backend.sandbox.app import SandboxSettings
from backend.sandbox.app import create_app as create_sandbox
from backend.settings import Settings
from tests.factories import FakeClock
from tests.money import judge_money
from tests.secrecy import LogWatch
from tests.support import running, serving
from tests.till import Till
from tests.world import SANDBOX_SECRET


def pytest_addoption(parser: pytest.Parser) -> None:
    chaos = parser.getgroup("chaos", "tests/chaos")
    chaos.addoption("--full", action="store_true", help="the full number of trials, which takes hours")
    chaos.addoption("--seed", type=int, help="repeat the random choices of the run that printed it")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LogWatch(config))


@pytest.fixture(scope="session")
def chaos_seed(pytestconfig: pytest.Config) -> int:
    """`--seed`, or a new one."""
    given: int | None = pytestconfig.getoption("seed")
    return secrets.randbelow(10**6) if given is None else given


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`MONGODB_URL` when it is given, else an embedded mongod."""
    if url := os.environ.get("MONGODB_URL"):
        yield url
        return
    with EmbeddedMongo(tmp_path_factory.mktemp("mongodb")) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def settings(mongodb_url: str, redis_url: str) -> Settings:
    """A demo server's settings with a database of this run's own; `sandbox` starts the gateway they name."""
    return Settings(
        mongodb_url=mongodb_url,
        redis_url=redis_url,
        qless_secret=secrets.token_urlsafe(32),
        qless_public_url="http://127.0.0.1:8000",
        qless_mode="demo",
        qless_database=f"qless_test_{secrets.token_hex(4)}",
        qless_sandbox_url=f"http://127.0.0.1:{free_port()}",
        qless_sandbox_api_key="sandbox-api-key-of-the-tests",
        qless_sandbox_webhook_secrets=SANDBOX_SECRET,
    )


@pytest.fixture(scope="session")
async def database(settings: Settings) -> AsyncIterator[mongo.Database]:
    client = mongo.connect(settings.mongodb_url)
    database = mongo.open_database(client, settings.qless_database)
    await documents.prepare(database)
    yield database
    assert await judge_money(database) == [], "R15, over all that the tests paid and gave back"
    await client.drop_database(settings.qless_database)
    await client.close()


@pytest.fixture(scope="session")
async def sandbox(settings: Settings) -> AsyncIterator[str]:
    """The sandbox gateway on a real port. Its webhooks go nowhere: tests deliver events themselves."""
    gateway = create_sandbox(
        SandboxSettings(
            api_key=settings.qless_sandbox_api_key,
            webhook_url=f"http://127.0.0.1:{free_port()}/nowhere",
            webhook_secret=SANDBOX_SECRET,
            public_url=settings.qless_sandbox_url,
            retry_delays_s=(),
        )
    )
    async with serving(gateway, port=int(settings.qless_sandbox_url.rsplit(":", 1)[1])) as url:
        yield url


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def app(settings: Settings, database: mongo.Database, clock: FakeClock) -> AsyncIterator[Litestar]:
    """The whole application in this event loop, its loops running."""
    application = create_app(settings, clock)
    async with running(application):
        yield application
    await documents.bind(database)


@pytest.fixture
async def api(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, without a network between."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of the whole project."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def reconciler_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server asks gateways when the test says so, not by itself; to be used before `app` is made."""

    async def rest(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Reconciler, "run", rest)


@pytest.fixture
async def till(
    app: Litestar, api: httpx.AsyncClient, settings: Settings, sandbox: str
) -> AsyncIterator[Till]:
    """The simulator, driven by the test."""
    till = Till(app, api, settings)
    yield till
    await till.close()
