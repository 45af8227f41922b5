"""Signing keys of a store, as several processes make, read and replace them."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from backend.exits import Author, ExitKeys, store_keys
from backend.exits.keys import READ_EVERY_S
from backend.exits.rules import Key
from backend.kit import mongo
from backend.kit.ids import new_id
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.factories import FakeClock

pytestmark = pytest.mark.usefixtures("database")

DAY = timedelta(days=1)
ROTATED = timedelta(days=90)
Process = Callable[..., ExitKeys]


@pytest.fixture
def process(settings: Settings, clock: FakeClock) -> Process:
    """Starts a process, as far as keys go; `secret` is its `QLESS_SECRET`."""

    def start(secret: str = settings.qless_secret, its_clock: FakeClock = clock) -> ExitKeys:
        return ExitKeys(settings, its_clock, Keyring(secret))

    return start


@pytest.fixture
def store_id() -> str:
    return new_id("s")


async def published(keys: ExitKeys, store_id: str) -> list[str]:
    return [key.kid for key in await keys.jwks() if key.store_id == store_id]


async def stored(store_id: str) -> list[Key]:
    return [key for key in await store_keys.all_public() if key.store_id == store_id]


class TestFirstKey:
    async def test_signs_at_once(self, process: Process, store_id: str) -> None:
        keys = process()
        key = await keys.signing(store_id)
        assert await published(keys, store_id) == [key.kid]

    async def test_is_made_once_by_all_who_need_it(self, process: Process, store_id: str) -> None:
        signing = await asyncio.gather(*(process().signing(store_id) for _ in range(10)))
        assert len({key.kid for key in signing}) == 1
        assert len(await stored(store_id)) == 1

    async def test_is_not_readable_in_the_database(
        self, process: Process, store_id: str, database: mongo.Database
    ) -> None:
        key = await process().signing(store_id)
        row = await database["exit_keys"].find_one({"_id": key.kid})
        assert row is not None
        assert key.private.private_bytes_raw() not in row["sealed_private"]


class TestNextKey:
    async def test_is_published_a_day_before_it_signs(
        self, process: Process, store_id: str, clock: FakeClock
    ) -> None:
        keys = process()
        first = (await keys.signing(store_id)).kid
        (made,) = await stored(store_id)
        at = made.signs_from + ROTATED
        clock.advance(seconds=(at - DAY - clock.now()).total_seconds() - 1)
        assert (await keys.signing(store_id)).kid == first
        assert len(await stored(store_id)) == 1
        clock.advance(seconds=1)
        assert (await keys.signing(store_id)).kid == first
        _, second = await published(keys, store_id)
        clock.advance(seconds=DAY.total_seconds() - 1)
        assert (await keys.signing(store_id)).kid == first
        clock.advance(seconds=1)
        assert (await keys.signing(store_id)).kid == second

    async def test_waits_out_its_day_when_the_date_was_slept_over(
        self, process: Process, store_id: str, clock: FakeClock
    ) -> None:
        keys = process()
        first = (await keys.signing(store_id)).kid
        clock.advance(days=400)
        assert (await keys.signing(store_id)).kid == first
        clock.advance(hours=23, minutes=59)
        assert (await keys.signing(store_id)).kid == first
        clock.advance(minutes=1)
        assert (await keys.signing(store_id)).kid != first

    async def test_is_made_once_by_all_who_notice(
        self, process: Process, store_id: str, clock: FakeClock
    ) -> None:
        processes = [process() for _ in range(10)]
        await processes[0].signing(store_id)
        clock.advance(days=95)
        await asyncio.gather(*(keys.signing(store_id) for keys in processes))
        assert [key.number for key in await stored(store_id)] == [1, 2]

    async def test_leaves_the_old_one_published_until_its_last_pass_ran_out(
        self, process: Process, store_id: str, clock: FakeClock
    ) -> None:
        keys = process()
        first = (await keys.signing(store_id)).kid
        clock.advance(days=95)
        await keys.signing(store_id)
        second = (await stored(store_id))[1]
        clock.advance(seconds=(second.signs_from - clock.now()).total_seconds() + 1800 + 299)
        assert await published(keys, store_id) == [first, second.kid]
        clock.advance(seconds=1)
        assert await published(keys, store_id) == [second.kid]

    async def test_has_the_oldest_forgotten(self, process: Process, store_id: str, clock: FakeClock) -> None:
        keys = process()
        for _ in range(6):
            await keys.signing(store_id)
            clock.advance(days=95)
        assert [key.number for key in await stored(store_id)] == [5, 6]


class TestOtherProcesses:
    async def test_notice_within_five_seconds(
        self, process: Process, store_id: str, clock: FakeClock
    ) -> None:
        here, there = process(), process()
        first = (await there.signing(store_id)).kid
        made, withdrawn = await here.rotate(store_id, Author("usr_m"), compromised=True)
        assert withdrawn == [first]
        clock.advance(seconds=5)
        assert (await there.signing(store_id)).kid == made.kid
        assert await published(there, store_id) == [made.kid]

    async def test_find_a_new_key_at_once(self, process: Process, store_id: str) -> None:
        here, there = process(), process()
        await there.find("none")
        key = await here.signing(store_id)
        found = await there.find(key.kid)
        assert found is not None
        assert found.store_id == store_id

    async def test_find_it_also_while_names_are_being_guessed(self, process: Process, store_id: str) -> None:
        here, there = process(), process()
        guessing = asyncio.gather(*(guess(there, n) for n in range(20)))
        for n in range(5):
            key = await here.signing(f"{store_id}-{n}")
            assert await there.find(key.kid) is not None
        assert await guessing == [None] * 20

    async def test_of_a_clock_a_minute_behind_sign_with_a_new_key_at_once(
        self, process: Process, store_id: str
    ) -> None:
        slow = FakeClock()
        slow.advance(seconds=-59)
        key = await process().signing(store_id)
        assert (await process(its_clock=slow).signing(store_id)).kid == key.kid

    async def test_do_not_all_make_one_when_a_manager_rotates_twice_at_once(
        self, process: Process, store_id: str
    ) -> None:
        await asyncio.gather(
            *(process().rotate(store_id, Author("usr_m"), compromised=False) for _ in range(5))
        )
        assert [key.number for key in await stored(store_id)] == [1, 2, 3, 4, 5]


async def guess(keys: ExitKeys, n: int) -> Key | None:
    found = None
    for m in range(10):
        found = found or await keys.find(f"guess-{n}-{m}")
    return found


class TestForgedNames:
    async def test_share_five_reads_a_second(self, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
        reads = 0
        really = store_keys.all_public

        async def counted() -> list[Key]:
            nonlocal reads
            reads += 1
            return await really()

        monkeypatch.setattr(store_keys, "all_public", counted)
        keys = process()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.gather(*(guess(keys, n) for n in range(50))) == [None] * 50
        assert reads <= 2 + (loop.time() - began) / READ_EVERY_S

    async def test_are_not_called_unknown_by_a_read_that_failed(
        self, process: Process, store_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = process(), process()
        await there.find("none")
        key = await here.signing(store_id)
        really, fails = store_keys.all_public, [True]

        async def fails_once() -> list[Key]:
            if fails:
                fails.clear()
                await asyncio.sleep(0.05)
                raise mongo.StorageError("no answer")
            return await really()

        monkeypatch.setattr(store_keys, "all_public", fails_once)
        answers = await asyncio.gather(
            there.find(key.kid), there.find(key.kid), there.find(key.kid), return_exceptions=True
        )
        assert sum(isinstance(answer, mongo.StorageError) for answer in answers) == 1
        assert [a.kid for a in answers if isinstance(a, Key)] == [key.kid] * 2


class TestLostSecret:
    OTHER = "another secret of thirty-two characters"

    async def test_gives_a_new_key_and_says_so(
        self, process: Process, store_id: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        old = await process().signing(store_id)
        with caplog.at_level(logging.ERROR):
            keys = process(self.OTHER)
            new = await keys.signing(store_id)
            again = await keys.signing(store_id)
        assert new.kid == again.kid != old.kid
        told = [record for record in caplog.records if "QLESS_SECRET" in record.message]
        assert [record.__dict__["kid"] for record in told] == [old.kid]
        assert await keys.named(old.kid) is None
        assert await published(keys, store_id) == [old.kid, new.kid]

    async def test_of_two_processes_makes_one_key_each(
        self, process: Process, store_id: str, clock: FakeClock
    ) -> None:
        here, there = process(), process(self.OTHER)
        for _ in range(4):
            await here.signing(store_id)
            await there.signing(store_id)
            clock.advance(seconds=6)
        assert [key.number for key in await stored(store_id)] == [1, 2]


async def test_keys_from_before_rotation_go_on(
    process: Process, store_id: str, clock: FakeClock, database: mongo.Database
) -> None:
    """They have neither a number nor a time from which they sign."""
    key = await process().signing(store_id)
    unset = {"number": "", "signs_from": "", "withdrawn_at": ""}
    await database["exit_keys"].update_one({"_id": key.kid}, {"$unset": unset})
    keys = process()
    assert (await keys.signing(store_id)).kid == key.kid
    clock.advance(days=95)
    await keys.signing(store_id)
    assert [found.number for found in await stored(store_id)] == [1, 2]
    await keys.rotate(store_id, Author("usr_m"), compromised=True)
    assert key.kid not in await published(keys, store_id)
