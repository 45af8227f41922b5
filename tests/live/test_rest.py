"""A cart at rest: packed while its phones look at it, forgotten when nobody does, and awake at the first touch."""

import asyncio
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from litestar import Litestar

from backend.carts import registry
from backend.carts.rooms import Room
from tests.phones import phone_at
from tests.world import guest, open_store, services_of, start_session, stock


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server rings no bell
            await asyncio.sleep(0.05)


async def test_a_cart_is_packed_awakes_and_is_forgotten(
    apps: list[Litestar], addresses: list[str], web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PACK_AFTER_S", 0.2)
    monkeypatch.setattr(registry, "FORGET_AFTER_S", 0.4)
    monkeypatch.setattr("backend.carts.presence.LINGERS_S", 0.1)
    services = services_of(apps[0])
    (product,) = await stock(services, 1000)
    host = await guest(web)
    session_id = (await start_session(host, await open_store(services), limit_minor=5000))["session_id"]
    rooms = services.carts.rooms
    async with phone_at(addresses[0], session_id, host.token) as phone:
        await phone.scan(product.barcode)
        room = await rooms.get(session_id)
        await until(lambda: room._packed)
        assert room._state is None
        assert room.seq == 2
        repeat = await phone.command("add", id="again", barcode=product.barcode)
        await until(lambda: room._packed)
        assert await phone.command("add", id="again", barcode=product.barcode) == repeat
        await until(lambda: room._packed)
        async with phone_at(addresses[0], session_id, host.token) as other:
            assert other.lines == phone.lines
            assert other.budget == phone.budget
            await other.scan(product.barcode)
            await phone.reaches(other.seq)
            assert [line["qty"] for line in phone.lines.values()] == [3]
    await until(lambda: session_id not in rooms._rooms)
    session = await host.get(f"/session/{session_id}")
    assert session["totals"]["total_minor"] == 3000


async def test_a_cart_at_which_no_phone_looks_is_packed_too(
    apps: list[Litestar], web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PACK_AFTER_S", 0.2)
    services = services_of(apps[0])
    host = await guest(web)
    session_id = (await start_session(host, await open_store(services)))["session_id"]
    room = await services.carts.rooms.get(session_id)
    await until(lambda: room._packed)
    assert (await host.get(f"/session/{session_id}"))["status"] == "active"


async def test_many_carts_put_to_rest_at_once_leave_turns_to_others(
    apps: list[Litestar], web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = 0
    packed_in: Counter[int] = Counter()
    packs = Room.pack

    def pack(room: Room) -> None:
        packed_in[turn] += not room._packed
        packs(room)

    async def take_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    store = await open_store(services_of(apps[0]))
    monkeypatch.setattr(registry, "PACK_AFTER_S", 3600)
    hosts = [await guest(web) for _ in range(4)]
    for host in hosts * 10:
        await start_session(host, store)
    rooms = services_of(apps[0]).carts.rooms
    await until(lambda: all(room.saved_seq == room.seq for room in rooms._rooms.values()))
    monkeypatch.setattr(Room, "pack", pack)
    turns = asyncio.create_task(take_turns())
    monkeypatch.setattr(registry, "PACK_AFTER_S", 0)
    await until(lambda: packed_in.total() >= 40)
    turns.cancel()
    assert max(packed_in.values()) <= registry.AT_ONCE
