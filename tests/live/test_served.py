"""The server by the very commands that `scripts/run` and the image run: whose address counts, how large a frame is."""

import asyncio
import json
import os
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
import yaml

from backend.carts import guessing
from backend.kit import mongo
from backend.kit.embedded import Child, EmbeddedRedis, free_port
from backend.local import parse, server_command
from backend.settings import Settings
from tests.phones import phone_at, pick_up, silent_phone
from tests.world import Person, guest

STORE = {
    "_id": "s-served",
    "name": "Served Store",
    "merchant_id": "mer_test",
    "city": "Bengaluru",
    "currency": "INR",
    "time_zone": "Asia/Kolkata",
    "market": "IN",
}


class Served(NamedTuple):
    """Two processes and where they answer; the local ones share one address."""

    addresses: tuple[str, str]
    behind_proxy: bool
    logs: list[Path]


def image_command(project: Path, port: int) -> list[str]:
    """What the image runs, here on a port of this machine alone."""
    text = (project / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert found
    changed = {"0.0.0.0": "127.0.0.1", "8000": str(port)}  # noqa: S104
    return [sys.executable, "-m", *(changed.get(part, part) for part in json.loads(found[1]))]


def compose_environment(project: Path) -> dict[str, str]:
    """What docker-compose.yml tells a server of proxies."""
    services: dict[str, Any] = yaml.safe_load((project / "docker-compose.yml").read_text())["services"]
    return {"FORWARDED_ALLOW_IPS": services["app-1"]["environment"]["FORWARDED_ALLOW_IPS"]}


@pytest.fixture(scope="module", params=["scripts/run", "docker-compose"])
def served(
    request: pytest.FixtureRequest,
    settings: Settings,
    database: mongo.Database,
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """Two server processes, with a Redis of their own: these tests use up what an address may try."""
    folder = tmp_path_factory.mktemp("served")
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        own = msgspec.structs.replace(settings, redis_url=redis.url, qless_log_level="DEBUG")
        told = {name.upper(): str(value) for name, value in msgspec.structs.asdict(own).items()}
        environment = {**os.environ, **told}
        environment.pop("FORWARDED_ALLOW_IPS", None)
        ports = free_port(), free_port()
        behind_proxy = request.param == "docker-compose"
        if behind_proxy:
            environment |= compose_environment(project)
            commands = [image_command(project, port) for port in ports]
        else:
            commands = [server_command(parse(["--port", str(ports[0]), "--workers", "2"]), None)]
            ports = ports[0], ports[0]
        logs: list[Path] = []
        for n, command in enumerate(commands):
            child = Child("server", command, folder / f"server-{n}.log", project, environment)
            stack.callback(child.stop)
            logs.append(child.log)
        addresses = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        for address in addresses:
            wait_for(address)
        yield Served(addresses, behind_proxy, logs)


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/health/ready", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not become ready")


@pytest.fixture
async def web(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.addresses[0], timeout=30) as client:
        yield client


@pytest.fixture
async def session(web: httpx.AsyncClient, database: mongo.Database) -> dict[str, Any]:
    """Somebody's cart: its host and its session."""
    host = await guest(web, "Host")
    opened: dict[str, Any] = await host.post("/session/start", {"store_id": await some_store(database)})
    return {"host": host, **opened}


async def some_store(database: mongo.Database) -> str:
    await database["stores"].replace_one({"_id": STORE["_id"]}, STORE, upsert=True)
    return STORE["_id"]


def some_address() -> str:
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::7"


async def guess(served: Served, people: list[Person], times: int, header: str = "") -> list[int]:
    """The statuses of wrong tries sent at once, half of them to each process.

    Args:
        header: what each claims to have been forwarded for; without it a new address each time.
    """
    async with httpx.AsyncClient(timeout=60) as client:

        async def one(n: int) -> int:
            person = people[n % len(people)]
            answer = await client.post(
                f"{served.addresses[n % 2]}/session/join",
                json={"token": secrets.token_urlsafe(24)},
                headers={
                    "authorization": f"Bearer {person.token}",
                    "x-forwarded-for": header or some_address(),
                },
            )
            return answer.status_code

        return await asyncio.gather(*(one(n) for n in range(times)))


class TestGuessing:
    async def test_is_counted_over_both_processes_by_person_and_by_the_address_that_our_proxy_tells(
        self, served: Served, web: httpx.AsyncClient
    ) -> None:
        """Without a proxy the header is a stranger's word, and all here have the address 127.0.0.1."""
        alone = await guess(served, [await guest(web)], 60)
        assert alone.count(404) == guessing.USER_TRIES
        assert alone.count(429) == 60 - guessing.USER_TRIES
        people = [await guest(web) for _ in range(40)]
        scattered = await guess(served, people[:20], 120)
        if served.behind_proxy:
            assert scattered.count(404) == 120
            together = await guess(served, people[20:], 120, header=some_address())
            assert together.count(404) == guessing.ADDRESS_TRIES
        else:
            assert 0 < scattered.count(404) <= guessing.ADDRESS_TRIES - guessing.USER_TRIES


class TestFrames:
    async def test_of_16_kib_are_read_and_larger_ones_close_the_socket(
        self, served: Served, session: dict[str, Any]
    ) -> None:
        async with phone_at(served.addresses[0], session["session_id"], session["host"].token) as phone:
            await phone.send_text(frame_of(16_384))
            refused = await phone.until(lambda frame: frame["type"] == "error")
            assert refused["code"] == "invalid_field"
            await phone.send_text(frame_of(16_385))
            assert await phone.closed() == 1009

    async def test_that_are_larger_close_it_in_pieces_and_before_hello_too(
        self, served: Served, session: dict[str, Any]
    ) -> None:
        async with phone_at(served.addresses[1], session["session_id"], session["host"].token) as phone:
            await phone.send_in_pieces([frame_of(9_000), frame_of(9_000)])
            assert await phone.closed() == 1009
        stranger = await silent_phone(served.addresses[1], session["session_id"])
        await stranger.send_text(json.dumps({"type": "hello", "token": "x" * 20_000}))
        assert await stranger.closed() == 1009


def frame_of(size: int) -> str:
    """A command that is this many bytes long."""
    empty = json.dumps({"type": "add", "id": "x", "barcode": ""})
    return json.dumps({"type": "add", "id": "x", "barcode": "1" * (size - len(empty))})


class TestLog:
    async def test_holds_no_token_wherever_a_client_puts_it(
        self, served: Served, web: httpx.AsyncClient, session: dict[str, Any]
    ) -> None:
        """Not even what the server's own machinery writes, at its most talkative."""
        host, invitation = session["host"], session["join"]["token"]
        visitor = await guest(web)
        mistyped = invitation[::-1]
        for token in (invitation, mistyped):
            # Joined, not found, or refused because this address has guessed too much in another test.
            await visitor.call("POST", "/session/join", json={"token": token})
        for token in (host.token, invitation):
            await web.get(f"/app/join/{token}")
            await web.get("/products", params={"token": token})
            await web.get(
                "/auth/me", headers={"authorization": f"Basic {token}", "referer": f"http://x/{token}"}
            )
            await web.request(token[:20], "/")
            phone = await pick_up(
                served.addresses[0], f"{token}?token={token}", token, Referer=f"http://x/{token}"
            )
            await phone.closed()
        lines = [line for log in served.logs for line in log.read_text().splitlines()]
        assert any('"request"' in line for line in lines)
        secrets_sent = (host.token, visitor.token, invitation, mistyped, host.token[:20])
        assert [line for line in lines if any(secret in line for secret in secrets_sent)] == []
