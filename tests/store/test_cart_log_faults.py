"""The log when answers are late, lost or doubtful: every entry is in once, and nobody is told what is not known."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo.read_concern import ReadConcern

from backend.carts import CartLog, prepare_log
from backend.carts.events import event_id
from backend.carts.log import COLLECTION, Outcome
from backend.kit import mongo
from backend.kit.embedded import EmbeddedMongo
from backend.settings import Settings
from tests.carts import LogCommands, all_of, append, eventually, first_entry, logged, rival_of, running_log
from tests.proxy import Proxy

LOG = COLLECTION.encode()
WRITE = b"insert"
APPENDED, TAKEN = Outcome.APPENDED, Outcome.TAKEN


class TestDuplicates:
    """One mongod, nothing wrong but that somebody was faster."""

    async def test_others_of_the_batch_are_written_and_the_loser_is_told(
        self, database: mongo.Database
    ) -> None:
        first, last, *others = [first_entry() for _ in range(5)]
        async with running_log(database) as log:
            await all_of(append(log, first, last))
            batch = [rival_of(first), *others, rival_of(last)]
            assert await all_of(append(log, *batch)) == [TAKEN, APPENDED, APPENDED, APPENDED, TAKEN]
        for entry in [first, last, *others]:
            assert await logged(database, entry.session_id) == [entry]

    async def test_own_entry_that_is_in_already_counts_as_appended(self, database: mongo.Database) -> None:
        mine, others = first_entry(), first_entry()
        async with running_log(database) as log:
            await all_of(append(log, mine, others))
            assert await all_of(append(log, mine, rival_of(others))) == [APPENDED, TAKEN]


@pytest.fixture
async def slow(
    settings: Settings, database: mongo.Database, monkeypatch: pytest.MonkeyPatch, log_commands: LogCommands
) -> AsyncIterator[tuple[CartLog, Proxy]]:
    """A log whose way to mongod can be disturbed, and whose operations time out soon."""
    monkeypatch.setattr(mongo, "TIMEOUT_MS", 400)
    async with Proxy(settings.mongodb_url) as proxy:
        client = mongo.connect(proxy.url)
        try:
            async with running_log(mongo.open_database(client, settings.qless_database)) as log:
                await all_of(append(log, first_entry()))
                log_commands.sent.clear()
                yield log, proxy
        finally:
            await client.close()


Slow = tuple[CartLog, Proxy]


class TestTimeOuts:
    async def test_a_write_that_lands_after_its_repeat_changes_nothing(
        self, slow: Slow, database: mongo.Database
    ) -> None:
        log, proxy = slow
        entry = first_entry()
        proxy.requests.hold(to=LOG, times=1)
        assert await all_of(append(log, entry)) == [APPENDED]
        proxy.replies.lose(to=LOG)
        proxy.requests.release()
        await proxy.replies.caught()
        assert await logged(database, entry.session_id) == [entry]

    async def test_a_write_that_lands_before_its_repeat_is_ours(
        self, slow: Slow, database: mongo.Database, log_commands: LogCommands
    ) -> None:
        log, proxy = slow
        entry = first_entry()
        proxy.requests.hold(to=LOG)
        (outcome,) = append(log, entry)
        await proxy.requests.caught(2)
        assert await logged(database, entry.session_id) == []
        assert not outcome.done()
        proxy.requests.release()
        assert await all_of([outcome]) == [APPENDED]
        assert await logged(database, entry.session_id) == [entry]
        assert_identical(log_commands)

    async def test_a_rival_who_comes_in_between_wins(self, slow: Slow, database: mongo.Database) -> None:
        log, proxy = slow
        entry = first_entry()
        proxy.requests.hold(to=LOG)
        (outcome,) = append(log, entry)
        await proxy.requests.caught()
        async with running_log(database) as elsewhere:
            assert await all_of(append(elsewhere, rival_of(entry))) == [APPENDED]
        proxy.requests.release()
        assert await all_of([outcome]) == [TAKEN]
        assert await logged(database, entry.session_id) == [rival_of(entry)]

    async def test_whose_place_it_is_is_not_guessed_when_it_cannot_be_read(
        self, slow: Slow, database: mongo.Database
    ) -> None:
        """The write is answered as a duplicate, and then mongod is silent."""
        log, proxy = slow
        taken, mine = first_entry(), first_entry()
        async with running_log(database) as elsewhere:
            await all_of(append(elsewhere, rival_of(taken), mine))
        proxy.requests.hold(to=b"find")
        outcomes = append(log, taken, mine)
        await proxy.requests.caught(2)
        assert not any(outcome.done() for outcome in outcomes)
        proxy.requests.release()
        assert await all_of(outcomes) == [TAKEN, APPENDED]

    async def test_everything_that_waited_meanwhile_is_written(
        self, slow: Slow, database: mongo.Database
    ) -> None:
        log, proxy = slow
        first, *others = [first_entry() for _ in range(20)]
        proxy.requests.hold(to=LOG)
        outcomes = append(log, first)
        await proxy.requests.caught()
        outcomes += append(log, *others)
        await proxy.requests.caught(2)
        proxy.requests.release()
        assert await all_of(outcomes) == [APPENDED] * 20
        assert [await logged(database, entry.session_id) for entry in [first, *others]] == [
            [entry] for entry in [first, *others]
        ]


class TestLostAnswers:
    async def test_are_asked_for_again_and_it_is_in_once(
        self, slow: Slow, database: mongo.Database, log_commands: LogCommands
    ) -> None:
        log, proxy = slow
        entry = first_entry()
        proxy.replies.lose(to=LOG, times=1)
        (outcome,) = append(log, entry)
        await proxy.replies.caught()
        assert await logged(database, entry.session_id) == [entry]
        assert not outcome.done()
        assert await all_of([outcome]) == [APPENDED]
        assert await logged(database, entry.session_id) == [entry]
        assert len(log_commands.inserts) >= 2
        assert_identical(log_commands)

    @pytest.mark.parametrize("away_s", [0, 0.6], ids=["back at once", "away past the time-out"])
    async def test_by_a_cut_after_the_write_are_too(
        self, slow: Slow, database: mongo.Database, away_s: float
    ) -> None:
        log, proxy = slow
        entry, other = first_entry(), first_entry()
        proxy.replies.hold(to=WRITE, times=1)
        outcomes = append(log, entry)
        await proxy.replies.caught()
        proxy.accepting = away_s == 0
        proxy.cut()
        outcomes += append(log, other)
        await asyncio.sleep(away_s)
        proxy.accepting = True
        assert await all_of(outcomes) == [APPENDED, APPENDED]
        for written in (entry, other):
            assert await logged(database, written.session_id) == [written]


def assert_identical(log_commands: LogCommands) -> None:
    """Every insert carried the same bytes."""
    assert len({b"".join(document.raw for document in documents) for documents in log_commands.inserts}) == 1


@pytest.fixture(scope="module")
def faulty_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A mongod that fails when told to, which takes a parameter from its start."""

    class Faulty(EmbeddedMongo):
        def _arguments(self) -> list[str]:
            return [*super()._arguments(), "--setParameter", "enableTestCommands=1"]

    with Faulty(tmp_path_factory.mktemp("faulty")) as server:
        yield server.url


@pytest.fixture
async def faulty(faulty_url: str, log_commands: LogCommands) -> AsyncIterator[mongo.Database]:
    client = mongo.connect(faulty_url)
    database = mongo.open_database(client, "qless_faulty")
    await prepare_log(database)
    yield database
    for fail_point in ("failCommand", "disableSnapshotting"):
        await fail(database, fail_point, "off")
    await client.close()


async def fail(database: mongo.Database, fail_point: str, mode: Any, **how: Any) -> None:
    """Switch a fail point; `failCommand` strikes inserts into the log alone."""
    data = {"failCommands": ["insert"], "namespace": f"{database.name}.{COLLECTION}", **how}
    await database.client.admin.command({"configureFailPoint": fail_point, "mode": mode, "data": data})


class TestWriteConcernErrors:
    """The write is made, but mongod cannot say that a majority has it."""

    ERROR = {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "told to"}

    async def test_make_everything_but_a_duplicate_unknown(
        self, faulty: mongo.Database, log_commands: LogCommands
    ) -> None:
        taken, *others = [first_entry() for _ in range(3)]
        async with running_log(faulty) as log:
            await all_of(append(log, taken))
            log_commands.sent.clear()
            await fail(faulty, "failCommand", {"times": 1}, writeConcernError=self.ERROR)
            outcomes = append(log, others[0], rival_of(taken), others[1])
            assert await all_of([outcomes[1]]) == [TAKEN]
            assert not outcomes[0].done()
            assert not outcomes[2].done()
            assert await all_of(outcomes) == [APPENDED, TAKEN, APPENDED]
        first, again = [[bytes(document.raw) for document in sent] for sent in log_commands.inserts]
        assert again == [first[0], first[2]]
        for entry in [taken, *others]:
            assert await logged(faulty, entry.session_id) == [entry]

    async def test_without_a_duplicate_make_everything_unknown(
        self, faulty: mongo.Database, log_commands: LogCommands
    ) -> None:
        entry = first_entry()
        await fail(faulty, "failCommand", {"times": 1}, writeConcernError=self.ERROR)
        async with running_log(faulty) as log:
            assert await all_of(append(log, entry)) == [APPENDED]
        assert len(log_commands.inserts) == 2
        assert_identical(log_commands)
        assert await logged(faulty, entry.session_id) == [entry]

    async def test_last_until_a_majority_has_it_and_nothing_is_told_before(
        self, faulty: mongo.Database, log_commands: LogCommands
    ) -> None:
        """The primary has the entries on its own disk, says at once that it cannot wait for the others, and the
        majority's commit stands still."""
        taken, *others = [first_entry() for _ in range(3)]
        async with running_log(faulty) as log:
            await all_of(append(log, taken))
            log_commands.sent.clear()
            await fail(faulty, "failCommand", "alwaysOn", writeConcernError=self.ERROR)
            await fail(faulty, "disableSnapshotting", "alwaysOn")
            outcomes = append(log, others[0], rival_of(taken), others[1])
            await eventually(lambda: len(log_commands.inserts) >= 3)
            local = faulty[COLLECTION].with_options(read_concern=ReadConcern("local"))
            for entry in others:
                assert await local.count_documents({"_id": event_id(entry.session_id, 1)}) == 1
            assert not outcomes[0].done()
            assert not outcomes[2].done()
            await fail(faulty, "failCommand", "off")
            await fail(faulty, "disableSnapshotting", "off")
            assert await all_of(outcomes) == [APPENDED, TAKEN, APPENDED]


async def test_a_refused_command_is_sent_again(faulty: mongo.Database) -> None:
    """As by a member that is the primary no longer; without its label, the driver does not try again itself."""
    entries = [first_entry() for _ in range(3)]
    await fail(faulty, "failCommand", {"times": 2}, errorCode=10107, errorLabels=[])
    async with running_log(faulty) as log:
        assert await all_of(append(log, *entries)) == [APPENDED] * 3
    for entry in entries:
        assert await logged(faulty, entry.session_id) == [entry]
