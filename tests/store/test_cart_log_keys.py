"""How events are named, stored and found: one form of key, both bounds, never in a transaction."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import Int64
from bson.raw_bson import RawBSONDocument
from litestar import Litestar
from pymongo.errors import WriteError

from backend.carts import CartLog
from backend.carts.events import to_document
from backend.carts.log import COLLECTION, Outcome
from backend.kit import mongo
from backend.kit.ids import new_id
from backend.settings import Settings
from tests.carts import LogCommands, all_of, append, entries_of, first_entry, rival_of, running_log
from tests.world import pay, ready_to_pay

NAMES_THE_LOG = r"""["']cart_events["']|carts\.log import (\([^)]*|[^(\n]*)\bCOLLECTION\b"""


@pytest.fixture
async def log(settings: Settings, log_commands: LogCommands) -> AsyncIterator[CartLog]:
    client = mongo.connect(settings.mongodb_url)
    async with running_log(mongo.open_database(client, settings.qless_database)) as log:
        yield log
    await client.close()


class TestReading:
    """By the plans of the very commands that were sent."""

    @pytest.fixture
    async def carts(self, database: mongo.Database) -> list[str]:
        """Three carts with 40 entries each, in the order of their keys."""
        names = [f"{letter}_{new_id('ses')}" for letter in ("a", "m", "z")]
        await database[COLLECTION].insert_many(
            [to_document(entry) for name in names for entry in entries_of(40, name)]
        )
        return names

    async def test_a_tail_examines_what_it_returns_and_nothing_else(
        self, log: CartLog, log_commands: LogCommands, database: mongo.Database, carts: list[str]
    ) -> None:
        for after, count in [(0, 40), (35, 5), (39, 1), (40, 0)]:
            assert len(await log.tail(carts[1], after)) == count
            assert await examined(database, log_commands) == (count, count)

    async def test_a_tail_names_its_shard_and_examines_no_more_beside_the_index_that_sharding_needs(
        self, log: CartLog, log_commands: LogCommands, database: mongo.Database, carts: list[str]
    ) -> None:
        index = await database[COLLECTION].create_index([("_id.s", "hashed")])
        assert len(await log.tail(carts[1], 35)) == 5
        plan = await examined(database, log_commands)
        await database[COLLECTION].drop_index(index)
        assert log_commands.sent[-1]["filter"]["_id.s"] == carts[1]
        assert plan == (5, 5)

    async def test_the_head_check_examines_one_key_a_cart(
        self, log: CartLog, log_commands: LogCommands, database: mongo.Database, carts: list[str]
    ) -> None:
        heads = [(carts[0], 40), (carts[1], 12), (carts[2], 39)]
        assert sorted(await log.ahead(heads)) == carts[1:]
        keys, documents = await examined(database, log_commands)
        assert keys <= 2 * len(heads)
        assert documents <= 2

    async def test_whose_place_it_is_examines_the_duplicates_alone(
        self, log: CartLog, log_commands: LogCommands, database: mongo.Database
    ) -> None:
        entries = [first_entry() for _ in range(10)]
        await all_of(append(log, *entries[:2]))
        await all_of(append(log, *map(rival_of, entries[:2]), *entries[2:]))
        keys, documents = await examined(database, log_commands)
        assert keys <= 2 * 2
        assert documents == 2


async def examined(database: mongo.Database, log_commands: LogCommands) -> tuple[int, int]:
    """The keys and documents that mongod looks at for the last query of the log."""
    query = [command for command in log_commands.sent if "find" in command][-1]
    plain = {name: query[name] for name in ("find", "filter", "sort", "projection") if name in query}
    plan = await database.command({"explain": plain, "verbosity": "executionStats"})
    stats = plan["executionStats"]
    assert stats["executionSuccess"]
    return stats["totalKeysExamined"], stats["totalDocsExamined"]


class TestKeys:
    @pytest.mark.parametrize(
        "key",
        [
            {"s": "x", "n": Int64(1)},
            {"s": "x", "n": 1.0},
            {"s": "x", "n": "1"},
            {"s": "x", "n": True},
            {"s": "x", "n": None},
            {"s": "x", "n": 0},
            {"s": "x", "n": -1},
            {"s": 1, "n": 1},
            {"s": None, "n": 1},
            {"s": "x"},
            {"n": 1},
            {"s": "x", "n": 1, "z": 1},
            "x:1",
        ],
        ids=repr,
    )
    async def test_of_another_form_are_refused(self, database: mongo.Database, key: Any) -> None:
        with pytest.raises(WriteError) as refused:
            await database[COLLECTION].insert_one({**to_document(first_entry()), "_id": key})
        assert refused.value.code == 121

    @pytest.mark.parametrize("change", [{"w": 1}, {"w": 1.0}, {"v": "1"}, {"v": 0}], ids=repr)
    async def test_of_documents_with_other_marks_are_refused(
        self, database: mongo.Database, change: dict[str, Any]
    ) -> None:
        with pytest.raises(WriteError) as refused:
            await database[COLLECTION].insert_one({**to_document(first_entry()), **change})
        assert refused.value.code == 121

    @pytest.mark.parametrize(
        "missing", ["v", "w", "at", "by", "command_id", "digest", "event", "totals", "budget"]
    )
    async def test_of_documents_without_a_field_are_refused(
        self, database: mongo.Database, missing: str
    ) -> None:
        document = to_document(first_entry())
        del document[missing]
        with pytest.raises(WriteError) as refused:
            await database[COLLECTION].insert_one(document)
        assert refused.value.code == 121

    async def test_are_written_as_session_then_seq(self, log: CartLog, database: mongo.Database) -> None:
        """The order and the types of the fields are part of a key, and a validator cannot hold the order."""
        entries = entries_of(3)
        for entry in entries:
            assert await all_of(append(log, entry)) == [Outcome.APPENDED]
        raw = database[COLLECTION].with_options(
            codec_options=database.codec_options.with_options(document_class=RawBSONDocument)
        )
        stored = [bytes(document.raw) async for document in raw.find({"_id.s": entries[0].session_id})]
        assert len(stored) == 3
        session_id = entries[0].session_id.encode()
        for document in stored:
            key = re.search(rb"\x03_id\x00.{4}\x02s\x00.{4}(\w+)\x00\x10n\x00.{4}\x00", document, re.DOTALL)
            assert key is not None
            assert key[1] == session_id


class TestTransactions:
    async def test_hold_no_event_on_the_whole_way_to_the_pass(
        self, app: Litestar, api: httpx.AsyncClient, sandbox: str, database: mongo.Database
    ) -> None:
        """As the oplog has it, where a transaction's writes stand together in one entry."""
        began = (await database.client.admin.command("ping"))["operationTime"]
        trip = await ready_to_pay(app, api)
        await pay(app, api, trip)
        oplog = database.client["local"]["oplog.rs"]
        since = {"ts": {"$gt": began}}
        in_transactions = {
            operation["ns"].removeprefix(f"{database.name}.")
            async for entry in oplog.find(
                {**since, "o.applyOps": {"$exists": True}, "lsid": {"$exists": True}}
            )
            if not entry.get("multiOpType")
            for operation in entry["o"]["applyOps"]
        }
        events = await database[COLLECTION].count_documents({"_id.s": trip.session_id})
        assert events == 5
        assert {"payments", "exit_passes"} <= in_transactions
        assert COLLECTION not in in_transactions

    def test_are_unknown_to_the_log(self, project: Path) -> None:
        source = (project / "backend" / "carts" / "log.py").read_text(encoding="utf-8")
        assert not re.search(r"transaction|\bSession\b|\bsession=|start_session", source)

    def test_elsewhere_cannot_reach_the_log_as_no_other_file_names_it(self, project: Path) -> None:
        naming = {
            file.relative_to(project / "backend").as_posix()
            for file in (project / "backend").rglob("*.py")
            if re.search(NAMES_THE_LOG, file.read_text(encoding="utf-8"))
        }
        assert naming == {"carts/log.py"}
