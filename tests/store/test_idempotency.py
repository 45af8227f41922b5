"""One key, one effect, one answer: at once, after a refusal, after a crash, from another process, for a day and longer."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from backend import errors
from backend.kit import mongo
from backend.kit.idempotency import LEASE, Idempotency
from backend.kit.ids import new_id
from backend.kit.secrets import Keyring
from tests.factories import FakeClock

pytestmark = pytest.mark.usefixtures("database")


class Wanted(msgspec.Struct):
    n: int


class Answer(msgspec.Struct):
    made: int
    under: str


class Process:
    """One server process, and what it did."""

    def __init__(self, clock: FakeClock, keyring: Keyring) -> None:
        self.idempotency = Idempotency(clock, keyring)
        self.done = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.fails: Exception | None = None

    async def work(self, request_id: str) -> Answer:
        await self.may_go_on.wait()
        if self.fails is not None:
            raise self.fails
        self.done += 1
        return Answer(self.done, request_id)

    async def ask(
        self, key: str | None, n: int = 1, caller: str = "usr_1", operation: str = "make"
    ) -> Answer:
        return await self.idempotency.once(key, caller, operation, Wanted(n), Answer, self.work)


@pytest.fixture
def keyring() -> Keyring:
    return Keyring("a secret of the tests, and long enough")


@pytest.fixture
def process(clock: FakeClock, keyring: Keyring) -> Process:
    return Process(clock, keyring)


@pytest.fixture
def key() -> str:
    return new_id("key")


async def test_a_repeat_gets_the_first_answer(process: Process, key: str) -> None:
    first = await process.ask(key)
    assert await process.ask(key) == first
    assert process.done == 1


async def test_from_another_process_too(
    process: Process, clock: FakeClock, keyring: Keyring, key: str
) -> None:
    first = await process.ask(key)
    restarted = Process(clock, keyring)
    assert await restarted.ask(key) == first
    assert restarted.done == 0


async def test_twenty_at_once_do_it_once(process: Process, key: str) -> None:
    process.may_go_on.clear()
    asked = [asyncio.create_task(process.ask(key)) for _ in range(20)]
    await asyncio.sleep(0.2)
    process.may_go_on.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Answer) for answer in answers) == 1
    assert sum(isinstance(answer, errors.InProgress) for answer in answers) == 19
    assert process.done == 1


@pytest.mark.parametrize("other", [{"n": 2}, {"operation": "another"}])
async def test_another_request_under_the_key_is_refused(
    process: Process, key: str, other: dict[str, object]
) -> None:
    await process.ask(key)
    with pytest.raises(errors.IdReused):
        await process.ask(key, **other)  # type: ignore[arg-type]
    assert process.done == 1


async def test_another_request_is_refused_while_the_first_is_in_flight(process: Process, key: str) -> None:
    process.may_go_on.clear()
    asked = asyncio.create_task(process.ask(key))
    await asyncio.sleep(0.1)
    with pytest.raises(errors.IdReused):
        await process.ask(key, n=2)
    process.may_go_on.set()
    assert (await asked).made == 1


async def test_the_key_is_the_callers_own(process: Process, key: str) -> None:
    ours, theirs = await process.ask(key), await process.ask(key, caller="usr_2")
    assert ours.under != theirs.under
    assert process.done == 2


async def test_without_a_key_every_request_counts(process: Process) -> None:
    await process.ask(None)
    await process.ask(None)
    assert process.done == 2


async def test_a_refusal_is_not_kept(process: Process, key: str) -> None:
    process.fails = errors.QuoteStale()
    with pytest.raises(errors.QuoteStale):
        await process.ask(key)
    process.fails = None
    assert (await process.ask(key, n=2)).made == 1


@pytest.mark.parametrize("failure", [errors.StorageUnavailable(), OSError("the network is away")])
async def test_a_failure_lets_the_same_request_try_again_and_no_other(
    process: Process, key: str, failure: Exception
) -> None:
    """Nobody knows whether it had its effect."""
    process.fails = failure
    with pytest.raises(type(failure)):
        await process.ask(key)
    process.fails = None
    with pytest.raises(errors.IdReused):
        await process.ask(key, n=2)
    assert (await process.ask(key)).made == 1


async def test_what_a_dead_process_began_is_done_again_under_the_same_id(
    process: Process, clock: FakeClock, keyring: Keyring, key: str
) -> None:
    process.may_go_on.clear()
    died = asyncio.create_task(process.ask(key))
    await asyncio.sleep(0.1)
    died.cancel()
    await asyncio.wait([died])
    alive = Process(clock, keyring)
    clock.advance(seconds=LEASE.total_seconds() - 0.1)
    with pytest.raises(errors.InProgress):
        await alive.ask(key)
    clock.advance(seconds=0.1)
    second = await alive.ask(key)
    assert second.under == (await process.ask(key)).under
    assert alive.done == 1


async def test_one_that_finishes_after_its_lease_leaves_the_others_answer(
    process: Process, clock: FakeClock, keyring: Keyring, key: str
) -> None:
    process.may_go_on.clear()
    slow = asyncio.create_task(process.ask(key))
    await asyncio.sleep(0.1)
    clock.advance(seconds=LEASE.total_seconds())
    other = Process(clock, keyring)
    other.done = 10
    kept = await other.ask(key)
    process.may_go_on.set()
    await slow
    assert await process.ask(key) == kept


async def test_is_kept_for_more_than_a_day_and_unreadable(
    process: Process, clock: FakeClock, database: mongo.Database, key: str
) -> None:
    answer = await process.ask(key)
    clock.advance(hours=24)
    assert await process.ask(key) == answer
    rows = await database["idempotency_keys"].find({"forget_at": {"$gt": clock.now()}}).to_list()
    assert rows
    assert all(row["forget_at"] > clock.now() + timedelta(hours=1) for row in rows)
    assert answer.under.encode() not in b"".join(row["answer"] or b"" for row in rows)
    indexes = await database["idempotency_keys"].index_information()
    assert indexes["forget"]["expireAfterSeconds"] == 0
