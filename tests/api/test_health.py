"""What the server says of its own health."""

from pathlib import Path

import httpx
import msgspec
from litestar import Litestar

from backend import documents
from backend.app import create_app
from backend.kit import mongo
from backend.kit.embedded import EmbeddedMongo, free_port
from backend.settings import Settings
from tests.support import running


def client_of(app: Litestar) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_a_process_that_runs_is_alive(api: httpx.AsyncClient) -> None:
    assert (await api.get("/health/live")).json()["status"] == "alive"


async def test_is_ready_when_all_is_there(api: httpx.AsyncClient) -> None:
    answer = await api.get("/health/ready")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "parts": {"mongodb": "ok", "redis": "ok"}},
    )


async def test_without_redis_it_is_degraded_and_says_so(settings: Settings, database: mongo.Database) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    app = create_app(msgspec.structs.replace(settings, redis_url=nowhere))
    async with running(app), client_of(app) as client:
        answer = await client.get("/health/ready")
        session = await client.post("/auth/guest", json={})
    await documents.bind(database)
    assert (answer.status_code, answer.json()["parts"]["redis"]) == (200, "missing")
    assert answer.json()["status"] == "degraded"
    assert session.status_code == 201


async def test_without_mongodb_it_is_unavailable_and_everything_retryable(
    settings: Settings, database: mongo.Database, tmp_path: Path
) -> None:
    server = EmbeddedMongo(tmp_path / "mongo").start()
    app = create_app(msgspec.structs.replace(settings, mongodb_url=server.url))
    async with running(app), client_of(app) as client:
        server.stop()
        ready = await client.get("/health/ready")
        guest = await client.post("/auth/guest", json={})
    await documents.bind(database)
    assert (ready.status_code, ready.json()["parts"]["mongodb"]) == (503, "missing")
    problem = guest.json()
    assert (guest.status_code, problem["code"], problem["retryable"]) == (503, "storage_unavailable", True)
    assert guest.headers["retry-after"] == "1"
