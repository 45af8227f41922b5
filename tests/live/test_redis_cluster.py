"""Two processes on a Redis Cluster of three masters: what they share, and what goes on when a master is lost."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

import httpx
import msgspec
import pytest
from litestar import Litestar
from redis.asyncio import RedisCluster

from backend.app import create_app
from backend.carts import registry
from backend.catalog import store
from backend.catalog.cache import Answer, Shelf
from backend.errors import ProductNotFound
from backend.kit import redis
from backend.kit.clock import SystemClock
from backend.kit.tasks import Background
from backend.lifespan import Services
from backend.live import Bus
from backend.settings import Settings
from tests.phones import Frame, phone_at
from tests.redis_cluster import Cluster, redis_cluster
from tests.world import (
    Person,
    guest,
    make_product,
    open_store,
    refusal,
    services_of,
    start_session,
    stock,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster in which nothing fails."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """The whole one where a test names that, else one of its own to break."""
    if "whole" in request.fixturenames:
        yield request.getfixturevalue("whole")
        return
    with redis_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[redis.Client]:
    client = redis.connect(cluster.url)
    yield client
    await client.aclose()


@pytest.fixture
def apps(settings: Settings, cluster: Cluster) -> list[Litestar]:
    clustered = msgspec.structs.replace(settings, redis_url=cluster.url)
    return [create_app(clustered), create_app(clustered)]


@pytest.fixture
async def shops(apps: list[Litestar], addresses: list[str]) -> list[Services]:
    """The services of the two, once they hear each other."""
    shops = [services_of(app) for app in apps]
    await until(lambda: all(shop.bus.connected for shop in shops))
    return shops


class Family(NamedTuple):
    """Two members of a cart, and what there is to scan."""

    session_id: str
    host: Person
    other: Person
    barcodes: list[str]


@pytest.fixture
async def family(shops: list[Services], web: httpx.AsyncClient) -> Family:
    products = await stock(shops[0], *range(1000, 1030))
    host, other = await guest(web, "Host"), await guest(web, "Other")
    session = await start_session(host, await open_store(shops[0]))
    await other.post("/session/join", {"token": session["join"]["token"]})
    return Family(session["session_id"], host, other, [product.barcode for product in products])


async def until(holds: Callable[[], bool], within_s: float = 15) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


def kill(cluster: Cluster, port: int) -> None:
    child = next(node.child for node in cluster.nodes if node.port == port)
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


def shows(*people: Person) -> Callable[[Frame], bool]:
    present = {person.user_id for person in people}
    return lambda frame: frame["type"] == "presence" and set(frame["members"]) == present


async def scan_in_turn(addresses: list[str], family: Family, barcodes: list[str]) -> None:
    """A phone at each process; what one scans the other must show, before that scans the next."""
    async with (
        phone_at(addresses[0], family.session_id, family.host.token) as one,
        phone_at(addresses[1], family.session_id, family.other.token) as two,
    ):
        await one.until(shows(family.host, family.other))
        await two.until(shows(family.host, family.other))
        for barcode in barcodes:
            await one.scan(barcode)
            await two.reaches(one.seq)
            one, two = two, one
        assert one.lines == two.lines
        assert {line["barcode"] for line in one.lines.values()} >= set(barcodes)


@pytest.mark.usefixtures("whole")
class TestTwoProcesses:
    @pytest.fixture(autouse=True)
    def _hear_nothing_but_each_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """MongoDB is not asked whether a cart went on."""
        monkeypatch.setattr(registry, "HEAD_CHECK_S", 3600.0)

    async def test_show_each_others_people_and_scans(self, addresses: list[str], family: Family) -> None:
        await scan_in_turn(addresses, family, family.barcodes)

    async def test_tell_each_other_of_changed_products(self, shops: list[Services], family: Family) -> None:
        here, there = (shop.catalog for shop in shops)
        for barcode in family.barcodes:
            old = await there.find(barcode)
            await here.put(msgspec.structs.replace(old, price_minor=1))
            await until(lambda barcode=barcode, old=old: there.peek(barcode) != old, 1)  # type: ignore[misc]
            assert (await there.find(barcode)).price_minor == 1

    async def test_share_what_they_read_of_products(self, shops: list[Services]) -> None:
        here, there = (shop.catalog for shop in shops)
        for _ in range(10):
            product = make_product(1000)
            with pytest.raises(ProductNotFound):
                await here.find(product.barcode)
            await store.write_if_unchanged(product)
            with pytest.raises(ProductNotFound):
                await there.find(product.barcode)

    async def test_are_ready_and_refuse_a_wrong_join_link(
        self, web: httpx.AsyncClient, family: Family
    ) -> None:
        ready = await web.get("/health/ready")
        assert ready.json() == {"status": "ready", "parts": {"mongodb": "ok", "redis": "ok"}}
        wrong = await family.other.call("POST", "/session/join", json={"token": "x" * 43})
        assert refusal(wrong) == (404, "join_link_invalid")


async def test_a_cart_goes_on_when_the_master_that_the_url_names_is_lost(
    cluster: Cluster, addresses: list[str], shops: list[Services], family: Family
) -> None:
    await scan_in_turn(addresses, family, family.barcodes[:10])
    kill(cluster, cluster.nodes[0].port)
    await scan_in_turn(addresses, family, family.barcodes[10:20])
    await until(lambda: all(shop.bus.connected for shop in shops))
    await scan_in_turn(addresses, family, family.barcodes[20:])


async def set_all(client: redis.Client, keys: list[str]) -> None:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.set(key, key)
    await pipeline.execute()


class TestClient:
    async def test_answers_for_every_node_that_is_left(self, cluster: Cluster, client: redis.Client) -> None:
        """Also when it is the one that the client asks for the cluster's form."""
        known = cast(RedisCluster, client)
        keys = [f"key-{number}" for number in range(100)]
        await set_all(client, keys)
        lost = known.get_default_node()
        left = [key for key in keys if known.get_node_from_key(key) != lost]
        kill(cluster, int(lost.port))
        with pytest.raises(redis.RedisDown):
            await set_all(client, keys)
        for key in keys:
            if key in left:
                assert await client.get(key) == key.encode()
            else:
                with pytest.raises(redis.RedisDown):
                    await client.get(key)

    async def test_raises_redis_down_alone_while_a_node_is_lost_under_load(
        self, cluster: Cluster, client: redis.Client
    ) -> None:
        answers, lost_at = 0, float("inf")

        async def ask(name: int) -> None:
            nonlocal answers
            number = 0
            while time.monotonic() < lost_at + 2:
                number += 1
                pipeline = client.pipeline(transaction=False)
                pipeline.set(f"{name}-{number}", "")
                with suppress(*redis.RedisDown):
                    await (client.get(f"{name}:{number}") if number % 2 else pipeline.execute())
                    answers += 1
                await asyncio.sleep(0.01)

        callers = [asyncio.create_task(ask(name)) for name in range(60)]
        await until(lambda: answers > 600)
        lost_at = time.monotonic()
        kill(cluster, cluster.nodes[0].port)
        await asyncio.gather(*callers)

    @pytest.mark.usefixtures("whole")
    async def test_lets_a_thousand_callers_wait_for_their_turn(self, client: redis.Client) -> None:
        assert await client.get("nothing") is None
        assert (
            await asyncio.gather(*(client.get(f"nothing-{number}") for number in range(1000)))
            == [None] * 1000
        )

    async def test_is_closed_without_a_trace_when_a_node_was_just_lost(
        self, cluster: Cluster, client: redis.Client
    ) -> None:
        before = cluster.clients()
        keys = [f"key-{number}" for number in range(20)]
        await set_all(client, keys)
        assert min(cluster.clients()) > max(before)
        kill(cluster, cluster.nodes[-1].port)
        cluster.nodes.pop()
        failed = False
        while not failed:
            try:
                await client.get(keys.pop())
            except redis.RedisDown:
                failed = True
        await client.aclose()
        await until(lambda: cluster.clients() == before[:-1])

    async def test_raises_no_more_than_redis_down_without_any_node(self, tmp_path: Path) -> None:
        client = redis.connect("redis+cluster://127.0.0.1:1")
        for _ in range(2):
            with pytest.raises(redis.RedisDown):
                await client.get("key")
        await client.aclose()

    @pytest.mark.usefixtures("whole")
    async def test_fences_products_of_all_nodes_at_once(self, client: redis.Client, whole: Cluster) -> None:
        shelf = Shelf(client, SystemClock(), "fenced")
        codes = [f"{number:014}" for number in range(30)]
        unknown = Answer(None)
        for code in codes:
            await shelf.put(code, unknown)
            assert await shelf.get(code) == unknown
        assert await shelf.fence(codes)
        for code in codes:
            await shelf.put(code, unknown)
            assert await shelf.get(code) is None
        assert min(whole.keys()) > 0


@pytest.mark.usefixtures("whole")
async def test_whoever_publishes_at_any_node_is_heard_at_all_in_order(client: redis.Client) -> None:
    heard: list[list[bytes]] = [[] for _ in range(5)]
    buses = [Bus(client) for _ in heard]
    listening: list[Bus] = []
    background = Background()
    for bus, messages in zip(buses, heard, strict=True):
        bus.subscribe("a", messages.append, lambda bus=bus: listening.append(bus))  # type: ignore[misc]
        background.start("sender", bus.run_sender)
        background.start("receiver", bus.run_receiver)
    await until(lambda: len(listening) == len(buses))
    sent = [(name, number) for number in range(2000) for name in range(len(buses))]
    for name, number in sent:
        buses[name].publish("a", b"%d %d" % (name, number))
    await until(lambda: all(len(messages) >= 4 * 2000 for messages in heard))
    for own, messages in enumerate(heard):
        told = [tuple(map(int, message.split())) for message in messages]
        for name in range(len(buses)):
            assert [number for by, number in told if by == name] == ([] if name == own else list(range(2000)))
    await background.stop()
