"""Side effects that leave through the outbox: with the transaction or not at all, once when all goes well."""

import asyncio
from datetime import timedelta

import pytest

from backend.kit import mongo
from backend.kit.ids import new_id
from backend.kit.outbox import LEASE_S, Outbox, OutboxDocument, Payload
from tests.factories import FakeClock

pytestmark = pytest.mark.usefixtures("database")


class Post:
    """Two workers of one kind of row, as two processes would be, and what they carried out."""

    def __init__(self, clock: FakeClock) -> None:
        self.kind = new_id("kind")
        self.done: list[Payload] = []
        self.failures = 0
        self.hang = False
        self.workers = [Outbox(clock), Outbox(clock)]
        for worker in self.workers:
            worker.on(self.kind, self.handle)

    async def handle(self, payload: Payload) -> None:
        if self.hang:
            await asyncio.sleep(60)
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        await asyncio.sleep(0)
        self.done.append(payload)

    async def add(self, client: mongo.Client, payload: Payload, delay: timedelta = timedelta(0)) -> None:
        async def work(session: mongo.Session) -> None:
            await self.workers[0].add(session, self.kind, payload, delay)

        await mongo.in_transaction(client, work)

    async def work_off(self) -> None:
        for worker in self.workers:
            while await worker.work_one():
                pass


@pytest.fixture
def client(database: mongo.Database) -> mongo.Client:
    return database.client


@pytest.fixture
def post(clock: FakeClock) -> Post:
    return Post(clock)


async def test_a_transaction_undone_leaves_no_row(client: mongo.Client, post: Post) -> None:
    async def work(session: mongo.Session) -> None:
        await post.workers[0].add(session, post.kind, {})
        raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        await mongo.in_transaction(client, work)
    assert await OutboxDocument.find({"kind": post.kind}).count() == 0


async def test_each_row_is_carried_out_once_by_workers_at_once(client: mongo.Client, post: Post) -> None:
    for n in range(10):
        await post.add(client, {"n": n})
    await asyncio.gather(*(worker.work_one() for worker in post.workers for _ in range(10)))
    assert sorted(payload["n"] for payload in post.done) == list(range(10))


async def test_a_failed_row_is_tried_again_later(client: mongo.Client, post: Post, clock: FakeClock) -> None:
    post.failures = 1
    await post.add(client, {"n": 1})
    await post.work_off()
    assert post.done == []
    clock.advance(seconds=2)
    await post.work_off()
    assert post.done == [{"n": 1}]


async def test_the_row_of_a_worker_that_died_is_due_again(
    client: mongo.Client, post: Post, clock: FakeClock
) -> None:
    await post.add(client, {"n": 1})
    post.hang = True
    dying = asyncio.create_task(post.workers[0].work_one())
    await asyncio.sleep(0.2)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    post.hang = False
    await post.work_off()
    assert post.done == []
    clock.advance(seconds=LEASE_S)
    await post.work_off()
    assert post.done == [{"n": 1}]


async def test_a_delayed_row_waits(client: mongo.Client, post: Post, clock: FakeClock) -> None:
    await post.add(client, {}, delay=timedelta(seconds=60))
    await post.work_off()
    assert post.done == []
    clock.advance(seconds=60)
    await post.work_off()
    assert post.done == [{}]


async def test_a_kind_that_is_not_known_is_left_for_others(
    client: mongo.Client, post: Post, clock: FakeClock
) -> None:
    await post.add(client, {})
    assert await Outbox(clock).work_one() is False
    await post.work_off()
    assert post.done == [{}]


def test_a_kind_has_one_handler(post: Post) -> None:
    with pytest.raises(ValueError, match="two handlers"):
        post.workers[0].on(post.kind, post.handle)


async def test_running_ends_when_cancelled_in_the_middle_of_a_row(client: mongo.Client, post: Post) -> None:
    post.hang = True
    await post.add(client, {})
    running = asyncio.create_task(post.workers[0].run())
    await asyncio.sleep(0.2)
    running.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
