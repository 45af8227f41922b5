"""Phones at the live cart when MongoDB is slow, Redis loses messages, or the process is killed."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from backend import documents
from backend.app import create_app
from backend.carts import LockCheckout, MarkPaid, Notice, presence, registry
from backend.carts.log import COLLECTION
from backend.kit import mongo
from backend.kit.embedded import Child, free_port
from backend.lifespan import Services
from backend.settings import Settings
from tests.carts import eventually, logged
from tests.phones import Phone, phone_at, pick_up
from tests.proxy import Proxy
from tests.support import serving
from tests.world import Person, guest, open_store, services_of, start_session, stock

LOG = COLLECTION.encode()


class Shop(NamedTuple):
    """Two servers and a cart of two. The ways of `far` to MongoDB and to Redis can be disturbed."""

    near: str
    far: str
    services: list[Services]
    mongodb: Proxy
    redis: Proxy
    host: Person
    member: Person
    session_id: str
    barcode: str

    @asynccontextmanager
    async def phones(self, *at: tuple[str, Person]) -> AsyncIterator[list[Phone]]:
        """Phones that show the cart, each process knowing of the other's."""
        async with AsyncExitStack() as stack:
            phones = [
                await stack.enter_async_context(phone_at(address, self.session_id, who.token))
                for address, who in at
            ]
            everybody = sorted({who.user_id for _, who in at})
            for phone in phones:
                await phone.until(lambda frame: frame.get("members") == everybody)
            yield phones


class Servers(NamedTuple):
    near: str
    far: str
    services: list[Services]
    mongodb: Proxy
    redis: Proxy


@pytest.fixture(scope="module")
async def servers(settings: Settings, database: mongo.Database) -> AsyncIterator[Servers]:
    async with Proxy(settings.mongodb_url) as mongodb, Proxy(settings.redis_url) as redis:
        disturbed = msgspec.structs.replace(settings, mongodb_url=mongodb.url, redis_url=redis.url)
        apps = [create_app(settings), create_app(disturbed)]
        async with serving(apps[0]) as near, serving(apps[1]) as far:
            await documents.bind(database)
            yield Servers(near, far, [services_of(app) for app in apps], mongodb, redis)


@pytest.fixture
async def shop(servers: Servers) -> AsyncIterator[Shop]:
    services = servers.services[0]
    store = await open_store(services)
    (product,) = await stock(services, 1000)
    async with httpx.AsyncClient(base_url=servers.near) as web:
        host, member = await guest(web, "Host"), await guest(web, "Member")
        session = await start_session(host, store)
        await member.post("/session/join", {"token": session["join"]["token"]})
        yield Shop(*servers, host, member, session["session_id"], product.barcode)
    for proxy in (servers.mongodb, servers.redis):
        proxy.requests.release()
        proxy.replies.release()


def told(*phones: Phone) -> list[str]:
    """What the phones were told of the cart since they came."""
    return [frame["type"] for phone in phones for frame in phone.frames if frame["type"] in {"ack", "event"}]


class TestCommitFirst:
    async def test_nobody_is_told_of_a_scan_that_is_not_on_disk(
        self, shop: Shop, database: mongo.Database
    ) -> None:
        at = [(shop.far, shop.member), (shop.far, shop.host), (shop.near, shop.host)]
        async with shop.phones(*at) as phones:
            shop.mongodb.requests.hold(to=b"insert")
            await phones[0].send({"type": "add", "id": "x", "barcode": shop.barcode})
            await shop.mongodb.requests.caught()
            await asyncio.sleep(0.3)
            assert told(*phones) == []
            assert len(await logged(database, shop.session_id)) == 2
            shop.mongodb.requests.release()
            for phone in phones:
                await phone.reaches(3)
            await phones[0].until(lambda frame: frame["type"] == "ack" and frame["seq"] == 3)

    async def test_nobody_is_told_before_mongod_has_said_so(
        self, shop: Shop, database: mongo.Database
    ) -> None:
        """The scan is on disk, but this process cannot know it: no answer about the log reaches it."""
        async with shop.phones((shop.far, shop.member), (shop.far, shop.host)) as phones:
            shop.mongodb.replies.hold(to=LOG)
            await phones[0].send({"type": "add", "id": "x", "barcode": shop.barcode})
            async with asyncio.timeout(10):
                while len(await logged(database, shop.session_id)) < 3:  # noqa: ASYNC110 - mongod rings no bell
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            assert told(*phones) == []
            shop.mongodb.replies.release()
            for phone in phones:
                await phone.reaches(3)
            await phones[0].until(lambda frame: frame["type"] == "ack" and frame["seq"] == 3)

    async def test_a_posted_scan_is_not_answered_before(self, shop: Shop) -> None:
        async with httpx.AsyncClient(base_url=shop.far) as web:
            headers = {"authorization": f"Bearer {shop.host.token}"}
            body = {"session_id": shop.session_id, "barcode": shop.barcode}
            shop.mongodb.replies.hold(to=b"insert")
            answer = asyncio.create_task(web.post("/cart/add", json=body, headers=headers))
            await shop.mongodb.replies.caught()
            done, _ = await asyncio.wait([answer], timeout=0.3)
            assert not done
            shop.mongodb.replies.release()
            assert (await answer).json()["seq"] == 3


class TestOnePersonAlone:
    async def test_gets_a_notice_on_every_phone_in_both_processes(self, shop: Shop) -> None:
        at = [(address, who) for address in (shop.near, shop.far) for who in (shop.member, shop.host)]
        async with shop.phones(*at) as (near_member, near_host, far_member, far_host):
            for services in shop.services:
                notice = Notice(kind="hint", data={"vpa": "asha@upi"})
                services.carts.notify(shop.session_id, shop.member.user_id, notice)
            for phone in (near_member, far_member):
                await eventually(lambda phone=phone: count_notices(phone) == 2)  # type: ignore[misc]
            for address in (near_member, far_member):
                await address.scan(shop.barcode)
            for phone in (near_host, far_host):
                await phone.reaches(4)
                assert count_notices(phone) == 0

    async def test_knows_of_the_payment_that_holds_the_familys_cart(self, shop: Shop) -> None:
        """The others see that, and by whom; no id of quote, payment or order is in what they get."""
        async with shop.phones((shop.near, shop.host), (shop.far, shop.member)) as phones:
            await phones[0].scan(shop.barcode)
            till = shop.services[0].carts.till
            await till(shop.session_id, LockCheckout("quo_1", "pay_1", shop.host.user_id, expected_seq=3))
            await till(shop.session_id, MarkPaid("pay_1", "ord_1"))
            for phone in phones:
                await phone.reaches(5)
            locked, paid = phones[1].frames[-2:]
            assert (locked["event"], locked["payer"]) == ("checkout_locked", shop.host.user_id)
            assert paid["event"] == "cart_paid"
            session = await shop.member.get(f"/session/{shop.session_id}")
            seen = msgspec.json.encode([phones[1].frames, session]).decode()
            assert not [secret for secret in ("quo_1", "pay_1", "ord_1") if secret in seen]


def count_notices(phone: Phone) -> int:
    return [frame["type"] for frame in phone.frames].count("notice")


ENTRY_OF_A_SCAN = b"item_added"
HEAD_CHECK_AND_MARGIN_S = 2 + 6
"""Less than the bus takes to notice that Redis is silent, which would help too."""


class TestRedis:
    """What one process commits is lost on its way to the other."""

    async def test_losing_the_last_message_is_found_by_the_head_check(self, shop: Shop) -> None:
        """The connection stays as it is, so nothing else tells of it."""
        async with shop.phones((shop.near, shop.host), (shop.far, shop.member)) as (near, far):
            resyncs: list[None] = []
            shop.services[1].bus.on_resync.append(lambda: resyncs.append(None))
            shop.redis.replies.lose(having=ENTRY_OF_A_SCAN)
            ack = await near.scan(shop.barcode)
            await shop.redis.replies.caught()
            began = time.monotonic()
            await far.reaches(ack["seq"])
            assert time.monotonic() - began < HEAD_CHECK_AND_MARGIN_S
            assert far.lines == near.lines
            assert shop.services[1].bus.connected
            assert resyncs == []

    async def test_losing_a_message_shows_by_the_next(self, shop: Shop) -> None:
        """Without the head check, whose question does not get through."""
        async with shop.phones((shop.near, shop.host), (shop.far, shop.member)) as (near, far):
            shop.mongodb.requests.hold(to=b"$in")
            shop.redis.replies.lose(having=ENTRY_OF_A_SCAN, times=1)
            await near.scan(shop.barcode)
            await shop.redis.replies.caught()
            assert far.seq == 2
            await near.scan(shop.barcode)
            await far.reaches(4)
            assert far.gaps == 0
            assert [frame["seq"] for frame in far.frames if frame["type"] == "event"] == [3, 4]
            assert far.lines == near.lines

    async def test_that_is_silent_keeps_no_screen_behind(self, shop: Shop) -> None:
        """Its connections are open, and nothing comes through them; each side scans."""
        async with shop.phones((shop.near, shop.host), (shop.far, shop.member)) as (near, far):
            shop.redis.replies.lose()
            ack = await near.scan(shop.barcode)
            began = time.monotonic()
            await far.reaches(ack["seq"])
            assert time.monotonic() - began < HEAD_CHECK_AND_MARGIN_S
            shop.redis.requests.lose()
            ack = await far.scan(shop.barcode)
            began = time.monotonic()
            await near.reaches(ack["seq"])
            assert time.monotonic() - began < HEAD_CHECK_AND_MARGIN_S
            assert far.lines == near.lines

    async def test_that_comes_back_late_brings_the_processes_together_at_once(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each had forgotten the other, and tells nothing to a process that it does not know of."""
        monkeypatch.setattr(presence, "FADES_AFTER_S", 0.5)
        monkeypatch.setattr(registry, "REPEAT_EVERY_S", 3600.0)
        async with shop.phones((shop.near, shop.host), (shop.far, shop.member)) as (near, _):
            await asyncio.sleep(0.6)
            seen = len(near.frames)
            shop.redis.cut()
            everybody = sorted([shop.host.user_id, shop.member.user_id])
            await near.until(lambda frame: frame.get("members") == everybody, seen)


@asynccontextmanager
async def process_of(settings: Settings, folder: Path, project: Path) -> AsyncIterator[tuple[str, Child]]:
    """A server as it is in production: a process of its own."""
    port = free_port()
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", "backend.app:from_environment"]
    options = ["--port", str(port), "--ws", "websockets-sansio", "--no-access-log"]
    given = {name.upper(): str(value) for name, value in msgspec.structs.asdict(settings).items()}
    server = Child("server", [*uvicorn, *options], folder / "server.log", project, os.environ | given)
    try:
        address = f"http://127.0.0.1:{port}"
        await answers(address, server)
        yield address, server
    finally:
        server.stop()


async def answers(address: str, server: Child) -> None:
    async with httpx.AsyncClient(base_url=address) as web, asyncio.timeout(30):
        while True:
            assert server.exit_code is None, server.output()[-5:]
            try:
                await web.get("/health/live")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


class TestKilled:
    """`kill -9` of the process between the write and its ack; the phone comes back at another one."""

    @pytest.fixture
    async def doomed(
        self, shop: Shop, settings: Settings, tmp_path: Path, project: Path
    ) -> AsyncIterator[tuple[Phone, Child]]:
        """The host's phone at a process that shares the way to MongoDB with `far`."""
        behind_it = msgspec.structs.replace(settings, mongodb_url=shop.mongodb.url)
        async with process_of(behind_it, tmp_path, project) as (address, server):
            phone = await pick_up(address, shop.session_id, shop.host.token)
            await phone.scan(shop.barcode)
            yield phone, server
            await phone.hang_up()

    async def test_after_the_write_it_counts_once_and_the_repeat_gets_its_seq(
        self, shop: Shop, doomed: tuple[Phone, Child], database: mongo.Database
    ) -> None:
        phone, server = doomed
        scan = {"type": "add", "id": "last-words", "barcode": shop.barcode}
        shop.mongodb.replies.hold(to=b"insert")
        await phone.send(scan)
        await shop.mongodb.replies.caught()
        await kill(server, phone)
        assert [entry.command_id for entry in await logged(database, shop.session_id)][3:] == ["last-words"]
        await repeats(shop, phone, scan)
        assert len(await logged(database, shop.session_id)) == 4

    async def test_during_the_write_it_counts_once_although_it_lands_after_the_repeat(
        self, shop: Shop, doomed: tuple[Phone, Child], database: mongo.Database
    ) -> None:
        phone, server = doomed
        scan = {"type": "add", "id": "last-words", "barcode": shop.barcode}
        shop.mongodb.requests.hold(to=LOG)
        await phone.send(scan)
        await shop.mongodb.requests.caught()
        await kill(server, phone)
        assert len(await logged(database, shop.session_id)) == 3
        await repeats(shop, phone, scan)
        shop.mongodb.replies.lose(to=b"insert")
        shop.mongodb.requests.release()
        await shop.mongodb.replies.caught()
        entries = await logged(database, shop.session_id)
        assert [entry.command_id for entry in entries][3:] == ["last-words"]


async def kill(server: Child, phone: Phone) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await phone.closed()
    assert [frame for frame in phone.frames if frame.get("id") == "last-words"] == []


async def repeats(shop: Shop, before: Phone, scan: dict[str, Any]) -> None:
    """The phone comes back with what it has, and sends again, twice, what it got no answer to."""
    async with phone_at(shop.near, shop.session_id, shop.host.token, before) as phone:
        for _ in range(2):
            answer = await phone.command("add", id=scan["id"], barcode=scan["barcode"])
            assert (answer["type"], answer["seq"]) == ("ack", 4)
        assert [line["qty"] for line in phone.lines.values()] == [2]
        assert phone.gaps == 0
