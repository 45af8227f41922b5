"""A backup is the database as of one moment, whole or not there, and restoring changes nothing but what is empty."""

import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from backend import documents
from backend.kit import backup, mongo
from backend.kit.backup import BackupError
from backend.kit.ids import new_id
from backend.settings import Settings

Names = tuple[str, str]


@pytest.fixture
def client(mongodb_url: str) -> Iterator[backup.Client]:
    with backup.connect(mongodb_url) as client:
        yield client


@pytest.fixture
def names(client: backup.Client) -> Iterator[Names]:
    """Two databases, the first with two collections."""
    source, target = new_id("backup"), new_id("backup")
    rows = [{"_id": n, "text": "x" * 2_000, "at": datetime.now(UTC)} for n in range(2_500)]
    client[source]["many"].insert_many(rows)  # type: ignore[arg-type]
    client[source]["one"].insert_one({"_id": {"s": "ses_1", "n": 1}, "long": bson.Int64(1)})  # type: ignore[arg-type]
    yield source, target
    for name in (source, target):
        client.drop_database(name)


def contents(client: backup.Client, database: str) -> dict[str, list[bytes]]:
    """Every document's own bytes."""
    source = client[database]
    return {
        name: [bytes(document.raw) for document in source[name].find().sort("_id", 1)]
        for name in source.list_collection_names()
    }


class WriteBetween(CommandListener):
    """Does something once, when the second collection is about to be read."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write
        self.finds = 0

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.finds += 1
            if self.finds == 2:
                self._write()

    def succeeded(self, event: object) -> None: ...

    def failed(self, event: object) -> None: ...


class TestSave:
    def test_and_restore_give_every_byte_back(
        self, client: backup.Client, names: Names, tmp_path: Path
    ) -> None:
        source, target = names
        saved = backup.save(client, source, tmp_path / "b.zip")
        assert (saved.documents, set(saved.collections)) == (2_501, {"many", "one"})
        assert abs(datetime.now(UTC) - saved.as_of) < timedelta(seconds=10)
        assert backup.restore(client, target, tmp_path / "b.zip") == saved
        assert contents(client, target) == contents(client, source)

    def test_reads_all_collections_as_of_one_moment(
        self, client: backup.Client, names: Names, mongodb_url: str, tmp_path: Path
    ) -> None:
        source, target = names

        def write() -> None:
            for collection in ("many", "one"):
                client[source][collection].insert_one({"_id": "later"})  # type: ignore[arg-type]
            client[source]["one"].delete_one({"_id.s": "ses_1"})

        before = contents(client, source)
        listener = WriteBetween(write)
        with MongoClient[Any](
            mongodb_url, document_class=bson.raw_bson.RawBSONDocument, event_listeners=[listener]
        ) as watched:
            backup.save(watched, source, tmp_path / "b.zip")
        assert listener.finds == 2
        assert contents(client, source) != before
        backup.restore(client, target, tmp_path / "b.zip")
        assert contents(client, target) == before

    def test_leaves_a_file_for_its_owner_alone_and_replaces_none(
        self, client: backup.Client, names: Names, tmp_path: Path
    ) -> None:
        file = tmp_path / "b.zip"
        backup.save(client, names[0], file)
        assert file.stat().st_mode & 0o777 == 0o600
        before = file.read_bytes()
        with pytest.raises(BackupError, match="exists already"):
            backup.save(client, names[0], file)
        assert file.read_bytes() == before
        assert list(tmp_path.iterdir()) == [file]

    def test_leaves_nothing_when_it_fails(self, client: backup.Client, tmp_path: Path) -> None:
        with pytest.raises(BackupError, match="nothing in the database"):
            backup.save(client, new_id("backup"), tmp_path / "b.zip")
        assert list(tmp_path.iterdir()) == []

    def test_holds_what_other_tools_read(self, client: backup.Client, names: Names, tmp_path: Path) -> None:
        backup.save(client, names[0], tmp_path / "b.zip")
        with zipfile.ZipFile(tmp_path / "b.zip") as archive:
            assert archive.testzip() is None
            [one] = bson.decode_all(archive.read("one.bson"))
        assert one == {"_id": {"s": "ses_1", "n": 1}, "long": 1}


class TestRestore:
    def test_refuses_a_database_that_holds_anything_unless_told(
        self, client: backup.Client, names: Names, tmp_path: Path
    ) -> None:
        source, target = names
        backup.save(client, source, tmp_path / "b.zip")
        client[target]["other"].insert_one({"_id": 1})  # type: ignore[arg-type]
        with pytest.raises(BackupError, match="not empty"):
            backup.restore(client, target, tmp_path / "b.zip")
        assert set(contents(client, target)) == {"other"}
        backup.restore(client, target, tmp_path / "b.zip", replace=True)
        assert contents(client, target) == contents(client, source)

    @pytest.mark.parametrize("where", [0.1, 0.3, 0.5, 0.7, 0.9])
    def test_refuses_a_file_with_a_byte_changed_and_drops_nothing(
        self, client: backup.Client, names: Names, tmp_path: Path, where: float
    ) -> None:
        source, target = names
        file = tmp_path / "b.zip"
        backup.save(client, source, file)
        client[target]["other"].insert_one({"_id": 1})  # type: ignore[arg-type]
        content = bytearray(file.read_bytes())
        content[int(len(content) * where)] ^= 0xFF
        file.write_bytes(content)
        with pytest.raises(BackupError, match="damaged"):
            backup.restore(client, target, file, replace=True)
        assert set(contents(client, target)) == {"other"}

    def test_refuses_a_file_that_was_cut_off_is_none_or_is_missing(
        self, client: backup.Client, names: Names, tmp_path: Path
    ) -> None:
        file = tmp_path / "b.zip"
        backup.save(client, names[0], file)
        content = file.read_bytes()
        for part in (content[: len(content) // 2], content[:-1], b""):
            file.write_bytes(part)
            with pytest.raises(BackupError, match="no backup"):
                backup.restore(client, names[1], file)
        file.unlink()
        with pytest.raises(BackupError, match="There is no"):
            backup.restore(client, names[1], file)

    def test_refuses_a_document_replaced_behind_the_manifests_back(
        self, client: backup.Client, names: Names, tmp_path: Path
    ) -> None:
        backup.save(client, names[0], tmp_path / "b.zip")
        with (
            zipfile.ZipFile(tmp_path / "b.zip") as real,
            zipfile.ZipFile(tmp_path / "forged.zip", "w") as forged,
        ):
            forged.writestr("many.bson", real.read("many.bson"))
            forged.writestr("one.bson", bson.encode({"_id": "another"}))
            forged.writestr("manifest.json", real.read("manifest.json"))
        with pytest.raises(BackupError, match="one is not what the manifest says"):
            backup.restore(client, names[1], tmp_path / "forged.zip")


class TestCommand:
    @pytest.fixture
    async def target(self, settings: Settings, database: mongo.Database) -> AsyncIterator[str]:
        name = new_id("backup")
        yield name
        await database.client.drop_database(name)
        await documents.bind(database)

    async def test_restores_into_a_database_with_its_indexes_and_validators(
        self, settings: Settings, database: mongo.Database, target: str, tmp_path: Path, project: Path
    ) -> None:
        file = tmp_path / "b.zip"
        await database["stores"].update_one({"_id": "s-saved"}, {"$set": {"name": "Saved"}}, upsert=True)

        def run(action: str, name: str) -> str:
            environment = {"MONGODB_URL": settings.mongodb_url, "QLESS_DATABASE": name, "PATH": "/bin"}
            command = [sys.executable, "-m", "backend.backup", action, str(file)]
            done = subprocess.run(
                command, cwd=project, env=environment, capture_output=True, text=True, check=False
            )
            return done.stdout if done.returncode == 0 else f"failed: {done.stderr}"

        assert "documents of" in run("save", settings.qless_database)
        await database["stores"].delete_one({"_id": "s-saved"})  # the other tests' stores are whole
        assert f"restored to {target}" in run("restore", target)
        assert "is not empty" in run("restore", target)
        restored = database.client[target]
        assert await restored["stores"].find_one({"_id": "s-saved"})
        names = await database.list_collection_names()
        assert sorted(await restored.list_collection_names()) == sorted(names)
        for name in names:
            assert await restored[name].index_information() == await database[name].index_information()
            options = [(await each[name].options()).get("validator") for each in (restored, database)]
            assert options[0] == options[1]

    def test_says_what_it_needs(self, tmp_path: Path, project: Path) -> None:
        command = [sys.executable, "-m", "backend.backup", "save", str(tmp_path / "b.zip")]
        done = subprocess.run(command, cwd=project, env={}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (2, "MONGODB_URL is not set, or no address of MongoDB.\n")
