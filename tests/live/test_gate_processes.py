"""Gates of one store served by several processes, one of which is killed: a pass opens once, a scan is told once."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar

from backend.accounts import Role
from backend.kit.embedded import free_port
from backend.settings import Settings
from tests.gates import Gate, accepted, at_the_gate, gate_of
from tests.world import Person

pytestmark = pytest.mark.usefixtures("sandbox")

Server = tuple[subprocess.Popen[bytes], str]


@pytest.fixture
def servers(settings: Settings, project: Path) -> Iterator[list[Server]]:
    """Two processes of the server and their addresses."""
    told = {name.upper(): str(value) for name, value in msgspec.structs.asdict(settings).items()}
    started: list[Server] = []
    try:
        for _ in range(2):
            port = free_port()
            command = [sys.executable, "-m", "uvicorn", "--factory", "backend.app:from_environment"]
            command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
            server = subprocess.Popen(command, cwd=project, env=os.environ | told)
            started.append((server, f"http://127.0.0.1:{port}"))
        yield started
    finally:
        for server, _ in started:
            server.terminate()
        for server, _ in started:
            server.wait(30)


@pytest.fixture
async def webs(servers: list[Server]) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        clients = []
        for _, address in servers:
            client = httpx.AsyncClient(base_url=address, timeout=30, limits=httpx.Limits(max_connections=50))
            clients.append(await stack.enter_async_context(client))
            await until_ready(client)
        yield clients


async def until_ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


def served_by(gate: Gate, web: httpx.AsyncClient, gate_id: str) -> Gate:
    """The same guard, asking another process."""
    there = Person.__new__(Person)
    there.__dict__.update(gate.guard.__dict__, _client=web)
    return Gate(there, gate.store_id, gate_id)


async def test_fifty_gates_at_once_open_once_in_every_spelling(
    app: Litestar, api: httpx.AsyncClient, webs: list[httpx.AsyncClient]
) -> None:
    for _ in range(3):
        _, issued, gate = await at_the_gate(app, api)
        texts = await accepted(api, issued["token"])
        gates = [served_by(gate, webs[n % 2], f"gate-{n}") for n in range(50)]
        answers = await asyncio.gather(*(g.full(texts[n // 2 % len(texts)]) for n, g in enumerate(gates)))
        told = [(answer["verdict"], answer["code"]) for answer in answers]
        assert sorted(told) == [("open", "ok")] + [("refuse", "already_used")] * 49
        opened = told.index(("open", "ok"))
        assert {answer["order"]["used_gate"] for answer in answers} == {f"gate-{opened}"}
        assert len({answer["order"]["used_at"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("percent", "token", "code"), [(0, None, "ok"), (100, None, "spot_check"), (0, "x", "not_a_pass")]
)
async def test_one_scan_sent_to_both_at_once_is_told_once(
    app: Litestar,
    api: httpx.AsyncClient,
    webs: list[httpx.AsyncClient],
    percent: int,
    token: str | None,
    code: str,
) -> None:
    _, issued, gate = await at_the_gate(app, api, spot_check_percent=percent)
    both = [served_by(gate, web, "gate-1") for web in webs] * 10
    answers = await asyncio.gather(*(g.full(token or issued["token"], "n1") for g in both))
    assert answers[0]["code"] == code
    assert all(answer == answers[0] for answer in answers)
    assert [row["nonce"] for row in await scans_of(app, api, gate.store_id)] == ["n1"]


async def test_scans_of_a_killed_process_are_repeated_at_another(
    app: Litestar, api: httpx.AsyncClient, servers: list[Server], webs: list[httpx.AsyncClient]
) -> None:
    """Some were answered, some written and not answered, some never came: sent again, all have opened, once."""
    _, issued, gate = await at_the_gate(app, api)
    tokens = [issued["token"]]
    for _ in range(19):
        _, issued, _ = await at_the_gate(app, api, store_id=gate.store_id)
        tokens.append(issued["token"])
    gates = [served_by(gate, webs[0], f"gate-{n}") for n in range(20)]
    scans = [asyncio.create_task(g.full(t, "n")) for g, t in zip(gates, tokens, strict=True)]
    await asyncio.wait(scans, return_when=asyncio.FIRST_COMPLETED)
    servers[0][0].kill()
    first = await asyncio.gather(*scans, return_exceptions=True)
    assert any(isinstance(answer, httpx.TransportError) for answer in first)
    again = [await served_by(gate, webs[1], f"gate-{n}").full(t, "n") for n, t in enumerate(tokens)]
    assert {answer["verdict"] for answer in again} == {"open"}
    for before, after in zip(first, again, strict=True):
        assert isinstance(before, httpx.TransportError) or before == after
    assert len(await scans_of(app, api, gate.store_id)) == 20
    for token in tokens:
        assert await served_by(gate, webs[1], "gate-x").scan(token) == ("refuse", "already_used")


async def scans_of(app: Litestar, api: httpx.AsyncClient, store_id: str) -> list[dict[str, Any]]:
    supervisor = await gate_of(app, api, store_id, Role.SUPERVISOR)
    page = await supervisor.guard.get(f"/stores/{store_id}/gate/events?page_size=200")
    return [row for row in page["items"] if row["kind"] == "verify"]
