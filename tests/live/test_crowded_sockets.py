"""Sockets that are too many or too slow: their owner is not locked out, and nobody else notices."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx
import pytest
from litestar import Litestar
from websockets.asyncio.client import ClientConnection, connect

from backend.carts import Notice, presence
from backend.catalog import Product
from backend.live import CloseCode
from backend.live.connection import CLOSE_WITHIN_S, MAX_QUEUED
from backend.live.sockets_of_user import MAX_SOCKETS
from tests.phones import Phone, phone_at, pick_up
from tests.world import Person, guest, open_store, services_of, start_session, stock


class Pair(NamedTuple):
    """Two members of one cart and something to scan."""

    host: Person
    member: Person
    session_id: str
    product: Product


@pytest.fixture
async def pair(apps: list[Litestar], web: httpx.AsyncClient) -> Pair:
    services = services_of(apps[0])
    store = await open_store(services)
    [product] = await stock(services, 100)
    host, member = await guest(web, "Host"), await guest(web, "Member")
    session = await start_session(host, store)
    await member.post("/session/join", {"token": session["join"]["token"]})
    return Pair(host, member, session["session_id"], product)


@pytest.fixture
async def drawer() -> AsyncIterator[AsyncExitStack]:
    """Where phones are put that are hung up at the end."""
    async with AsyncExitStack() as stack:
        yield stack


async def take(drawer: AsyncExitStack, address: str, session_id: str, person: Person) -> Phone:
    phone = await pick_up(address, session_id, person.token)
    drawer.push_async_callback(phone.hang_up)
    assert phone.frames[0]["type"] == "snapshot"
    return phone


def still_open(phones: list[Phone]) -> list[bool]:
    return [phone.close_code is None for phone in phones]


class TestTooMany:
    async def test_close_the_oldest_and_no_other(
        self, addresses: list[str], pair: Pair, drawer: AsyncExitStack
    ) -> None:
        phones = [await take(drawer, addresses[0], pair.session_id, pair.host) for _ in range(MAX_SOCKETS)]
        others = await take(drawer, addresses[0], pair.session_id, pair.member)
        elsewhere = await take(drawer, addresses[1], pair.session_id, pair.host)
        assert all(still_open(phones))
        for n in range(3):
            phones.append(await take(drawer, addresses[0], pair.session_id, pair.host))
            assert await phones[n].closed() == CloseCode.REPLACED
            assert still_open(phones) == [False] * (n + 1) + [True] * MAX_SOCKETS
        for phone in [*phones[3:], others, elsewhere]:
            await phone.scan(pair.product.barcode)

    async def test_are_counted_over_all_carts(
        self, addresses: list[str], pair: Pair, apps: list[Litestar], drawer: AsyncExitStack
    ) -> None:
        store = await open_store(services_of(apps[0]))
        second = (await start_session(pair.host, store))["session_id"]
        first = await take(drawer, addresses[0], pair.session_id, pair.host)
        for _ in range(MAX_SOCKETS):
            await take(drawer, addresses[0], second, pair.host)
        assert await first.closed() == CloseCode.REPLACED

    async def test_are_not_those_that_were_hung_up(
        self, addresses: list[str], pair: Pair, drawer: AsyncExitStack
    ) -> None:
        first = await take(drawer, addresses[0], pair.session_id, pair.host)
        for _ in range(2 * MAX_SOCKETS):
            phone = await pick_up(addresses[0], pair.session_id, pair.host.token)
            await phone.hang_up()
        # The server hears of the last ones a moment later.
        await asyncio.sleep(0.1)
        await first.scan(pair.product.barcode)

    async def test_at_once_leave_as_many_as_there_may_be(
        self, addresses: list[str], pair: Pair, drawer: AsyncExitStack
    ) -> None:
        phones = await asyncio.gather(
            *(pick_up(addresses[0], pair.session_id, pair.host.token) for _ in range(40))
        )
        for phone in phones:
            drawer.push_async_callback(phone.hang_up)
        closing = [asyncio.create_task(phone.closed()) for phone in phones]
        closed, left = await asyncio.wait(closing, timeout=2)
        assert {task.result() for task in closed} == {CloseCode.REPLACED}
        assert len(left) == MAX_SOCKETS
        for task in left:
            task.cancel()


async def deaf_phone(address: str, session_id: str, person: Person) -> ClientConnection:
    """A phone that says hello and reads nothing, with little room on the way to it."""
    host, port = address.removeprefix("http://").split(":")
    way = socket.socket()
    way.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    way.setblocking(False)
    await asyncio.get_running_loop().sock_connect(way, (host, int(port)))
    deaf = await connect(
        f"ws://{host}:{port}/ws/cart/{session_id}", sock=way, max_queue=1, compression=None, close_timeout=0.1
    )
    await deaf.send(f'{{"type":"hello","token":"{person.token}"}}')
    return deaf


async def scan_and_time(phone: Phone, barcode: str, times: int) -> list[float]:
    """How long each scan took from the phone to its screen."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await phone.scan(barcode)
        took.append(time.perf_counter() - began)
    return took


class TestTooSlow:
    async def test_a_phone_is_dropped_and_slows_nobody(
        self,
        apps: list[Litestar],
        addresses: list[str],
        pair: Pair,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(presence, "LINGERS_S", 0.1)
        carts = services_of(apps[0]).carts
        large = Notice(kind="large", data={"text": "x" * 40_000})

        def seen_by_host(members: list[str]) -> Any:
            return lambda frame: frame["type"] == "presence" and frame["members"] == sorted(members)

        async with phone_at(addresses[0], pair.session_id, pair.host.token) as quick:
            before = await scan_and_time(quick, pair.product.barcode, 30)
            deaf = await deaf_phone(addresses[0], pair.session_id, pair.member)
            await quick.until(seen_by_host([pair.host.user_id, pair.member.user_id]))
            seen = len(quick.frames)
            during = []
            began = time.monotonic()
            for _ in range(MAX_QUEUED // 8):
                for _ in range(16):
                    carts.notify(pair.session_id, pair.member.user_id, large)
                during += await scan_and_time(quick, pair.product.barcode, 1)
            await quick.until(seen_by_host([pair.host.user_id]), seen)
            assert time.monotonic() - began < CLOSE_WITHIN_S + 3
            assert sorted(during)[-2] < max(10 * sorted(before)[15], 0.2)
            assert quick.gaps == 0
            assert quick.lines["l3"]["qty"] == 30 + MAX_QUEUED // 8
            deaf.transport.abort()
            await deaf.wait_closed()
