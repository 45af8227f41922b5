"""Four processes at two addresses, and a family that is never served by the same one for long."""

import asyncio
import itertools
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec
import pytest
from litestar import Litestar

from backend.accounts import Role
from backend.kit.embedded import free_port
from backend.settings import Settings
from tests.phones import Phone, pick_up
from tests.world import (
    Person,
    gateway_event,
    guest,
    open_store,
    services_of,
    signed,
    staff_member,
    start_session,
    stock,
)

HOSTS = ("127.0.0.1", "127.0.0.2")
WORKERS = 2
MEMBERS = 3
SCANS = 24
MOVES_AFTER = 4


@pytest.fixture(scope="module")
def four_processes(settings: Settings, project: Path) -> Iterator[list[str]]:
    """Two servers of two workers each; their addresses."""
    told = {name.upper(): str(value) for name, value in msgspec.structs.asdict(settings).items()}
    servers, addresses = [], []
    try:
        for host in HOSTS:
            port = free_port()
            command = [sys.executable, "-m", "uvicorn", "--factory", "backend.app:from_environment"]
            command += ["--host", host, "--port", str(port), "--workers", str(WORKERS)]
            command += ["--ws", "websockets-sansio", "--log-level", "warning"]
            servers.append(subprocess.Popen(command, cwd=project, env=os.environ | told))
            addresses.append(f"http://{host}:{port}")
        yield addresses
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(30)


class Hopping(httpx.AsyncBaseTransport):
    """Sends each request to the next address, on a connection of its own."""

    def __init__(self, addresses: list[str]) -> None:
        self._next = itertools.cycle(addresses)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address = httpx.URL(next(self._next))
        request.url = request.url.copy_with(host=address.host, port=address.port)
        async with httpx.AsyncHTTPTransport() as transport:
            response = await transport.handle_async_request(request)
            body = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=body)


@pytest.fixture
async def web(four_processes: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    for address in four_processes:
        for _ in range(300):
            if await is_ready(address):
                break
            await asyncio.sleep(0.1)
    async with httpx.AsyncClient(transport=Hopping(four_processes), base_url="http://any") as client:
        yield client


async def is_ready(address: str) -> bool:
    try:
        async with httpx.AsyncClient(base_url=address) as client:
            return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def shop(
    addresses: list[str], session_id: str, person: Person, barcodes: list[str], seen: set[str]
) -> Phone:
    """Scan, and every few scans lose the network and come back elsewhere, at a process not `seen` if there is one."""
    phone: Phone | None = None
    for number in range(SCANS):
        for _ in range(20 if number % MOVES_AFTER == 0 else 0):
            if phone is not None:
                phone.drop()
            phone = await pick_up(random.choice(addresses), session_id, person.token, phone)
            if phone.served_by not in seen or len(seen) == len(HOSTS) * WORKERS:
                break
        assert phone is not None
        seen.add(phone.served_by)
        await phone.scan(barcodes[number % len(barcodes)])
    assert phone is not None
    return phone


@pytest.mark.usefixtures("sandbox")
async def test_nothing_needs_sticky_routing(
    app: Litestar, four_processes: list[str], web: httpx.AsyncClient
) -> None:
    services = services_of(app)
    store = await open_store(services)
    barcodes = [product.barcode for product in await stock(services, 1000, 2500, 400)]
    family = [await guest(web, f"Member {n}") for n in range(MEMBERS)]
    session = await start_session(family[0], store, limit_minor=100_000)
    session_id = session["session_id"]
    for person in family[1:]:
        await person.post("/session/join", {"token": session["join"]["token"]})

    seen: set[str] = set()
    async with AsyncExitStack() as cleanup:
        phones = await asyncio.gather(
            *(shop(four_processes, session_id, person, barcodes, seen) for person in family)
        )
        for phone in phones:
            cleanup.push_async_callback(phone.hang_up)
        total = MEMBERS * SCANS // 3 * (1000 + 2500 + 400)
        for phone in phones:
            await phone.reaches(max(p.seq for p in phones))
            assert phone.lines == phones[0].lines
            assert phone.totals["total_minor"] == total
            assert sum(line["qty"] for line in phone.lines.values()) == MEMBERS * SCANS
    assert len(seen) == len(HOSTS) * WORKERS

    quote = await family[0].post("/checkout/calculate", {"session_id": session_id})
    assert quote["totals"]["total_minor"] == total
    payment = await family[0].post(
        "/payment/initiate", {"quote_id": quote["quote_id"], "signature": quote["signature"]}
    )
    webhook = signed(gateway_event(payment), services.clock.now())
    settled = [await web.post("/payment/webhook/sandbox", **webhook) for _ in range(4)]
    assert [answer.status_code for answer in settled] == [200] * 4
    paid = await family[0].get(f"/payment/{payment['payment_id']}")
    issued = await family[0].post("/exit-pass/generate", {"order_id": paid["order_id"]})
    guard = await staff_member(services, web, store.store_id, Role.GATE)
    scan = {"store_id": store.store_id, "gate_id": "gate-1", "token": issued["token"]}
    first = [await guard.post("/gate/verify", {**scan, "nonce": "one"}) for _ in range(4)]
    assert [verdict["verdict"] for verdict in first] == ["open"] * 4
    second = [await guard.post("/gate/verify", {**scan, "nonce": f"more-{n}"}) for n in range(4)]
    assert [verdict["verdict"] for verdict in second] == ["refuse"] * 4
