"""What the probes answer, whatever is missing, and how soon."""

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar

from backend import documents
from backend.app import create_app
from backend.kit import mongo
from backend.kit.embedded import EmbeddedMongo, EmbeddedRedis, EmbeddedServer, free_port
from backend.settings import Settings
from tests.support import running

WITHIN_S = 3.0


async def probe(api: httpx.AsyncClient, path: str = "/health/ready") -> tuple[int, dict[str, Any]]:
    """The status and body of a probe, which comes in time."""
    began = time.monotonic()
    response = await api.get(path)
    assert time.monotonic() - began < WITHIN_S
    body: dict[str, Any] = response.json()
    return response.status_code, body


@asynccontextmanager
async def served(settings: Settings, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application of its own."""
    app = create_app(msgspec.structs.replace(settings, **changes))
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with running(app), httpx.AsyncClient(transport=transport, base_url="http://test") as api:
        yield api


@pytest.fixture
async def rebound(database: mongo.Database) -> AsyncIterator[None]:
    """Gives the documents back to the run's own database."""
    yield
    await documents.bind(database)


def send_signal(server: EmbeddedServer, number: signal.Signals) -> None:
    assert server.child is not None
    os.kill(server.child.pid, number)


class TestLive:
    async def test_says_which_process_answers(self, app: Litestar, api: httpx.AsyncClient) -> None:
        status, body = await probe(api, "/health/live")
        assert (status, body["status"]) == (200, "alive")
        assert body["process"] == app.state.services.carts.rooms.process

    async def test_asks_for_no_token_and_looks_at_none(self, api: httpx.AsyncClient) -> None:
        for path in ("/health/live", "/health/ready"):
            response = await api.get(path, headers={"authorization": "Bearer expired"})
            assert response.status_code == 200


class TestReady:
    async def test_when_all_is_there(self, api: httpx.AsyncClient) -> None:
        assert await probe(api) == (200, {"status": "ready", "parts": {"mongodb": "ok", "redis": "ok"}})


@pytest.mark.usefixtures("rebound")
class TestWithoutRedis:
    degraded = (200, {"status": "degraded", "parts": {"mongodb": "ok", "redis": "missing"}})

    async def test_is_degraded_and_serves(self, settings: Settings) -> None:
        async with served(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0") as api:
            assert await probe(api) == self.degraded
            assert (await api.post("/auth/guest")).status_code == 201

    async def test_is_degraded_while_redis_hangs_and_ready_again_after(
        self, settings: Settings, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
            async with served(settings, redis_url=server.url) as api:
                send_signal(server, signal.SIGSTOP)
                assert await probe(api) == self.degraded
                send_signal(server, signal.SIGCONT)
                assert (await probe(api))[1]["status"] == "ready"


@pytest.mark.usefixtures("rebound")
class TestWithoutMongodb:
    unavailable = (503, {"status": "unavailable", "parts": {"mongodb": "missing", "redis": "ok"}})

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    async def test_is_unavailable_yet_alive(
        self, settings: Settings, tmp_path_factory: pytest.TempPathFactory, how: signal.Signals
    ) -> None:
        with EmbeddedMongo(tmp_path_factory.mktemp("mongodb")) as server:
            async with served(settings, mongodb_url=server.url) as api:
                assert (await probe(api))[0] == 200
                send_signal(server, how)
                assert await probe(api) == self.unavailable
                assert (await probe(api, "/health/live"))[0] == 200
                if how is signal.SIGSTOP:
                    send_signal(server, signal.SIGCONT)
                    assert (await probe(api))[0] == 200
