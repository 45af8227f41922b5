"""The embedded MongoDB and Redis, with the real programs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern
from redis import Redis

from backend.kit import embedded
from backend.kit.embedded import EmbeddedError, EmbeddedMongo, EmbeddedRedis, free_port, missing_libraries

ROOT = Path(__file__).parents[2]
NOBODY = 65_534
"""A user who owns nothing."""


def open_mongo(server: EmbeddedMongo) -> MongoClient[dict[str, Any]]:
    return MongoClient(server.url, serverSelectionTimeoutMS=5_000)


def write(server: EmbeddedMongo, name: str) -> None:
    with open_mongo(server) as client:
        notes = client.trial.get_collection("notes", write_concern=WriteConcern(w="majority", j=True))
        notes.insert_one({"_id": name})


def names(server: EmbeddedMongo) -> list[str]:
    with open_mongo(server) as client:
        return sorted(client.trial.notes.distinct("_id"))


def pid_of(server: EmbeddedMongo | EmbeddedRedis) -> int:
    assert server.child is not None
    return server.child.pid


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


@contextmanager
def without_roots_rights() -> Iterator[None]:
    """As a user who may not write everywhere; nothing changes for one who is not root."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(mine)


def stub(folder: Path, script: str) -> Path:
    """A program that does not do what is expected of it."""
    path = folder / "stub"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def mongo(tmp_path: Path) -> Iterator[EmbeddedMongo]:
    with EmbeddedMongo(tmp_path / "mongo") as server:
        yield server


class TestMongo:
    def test_is_primary_of_a_replica_set_on_loopback_alone(self, mongo: EmbeddedMongo) -> None:
        with open_mongo(mongo) as client:
            hello = client.admin.command("hello")
            options = client.admin.command("getCmdLineOpts")["parsed"]
        assert (hello["setName"], hello["isWritablePrimary"], hello["hosts"]) == (
            "qless",
            True,
            [f"127.0.0.1:{mongo.port}"],
        )
        assert options["net"]["bindIp"] == "127.0.0.1"
        assert options["net"]["compression"] == {"compressors": "snappy"}

    def test_runs_transactions(self, mongo: EmbeddedMongo) -> None:
        with open_mongo(mongo) as client, client.start_session() as session, session.start_transaction():
            client.trial.notes.insert_one({"_id": "inside"}, session=session)
        assert names(mongo) == ["inside"]

    def test_keeps_its_data_and_leads_again_on_another_port(self, tmp_path: Path) -> None:
        ports = []
        for name in ("first", "second", "third"):
            with EmbeddedMongo(tmp_path) as server:
                ports.append(server.port)
                write(server, name)
        assert len(set(ports)) == 3
        with EmbeddedMongo(tmp_path, ports[0]) as server:
            assert names(server) == ["first", "second", "third"]

    @pytest.mark.parametrize("moves", [False, True])
    def test_survives_kill_9(self, tmp_path: Path, moves: bool) -> None:
        server = EmbeddedMongo(tmp_path).start()
        write(server, "acknowledged")
        os.kill(pid_of(server), signal.SIGKILL)
        server.stop()
        with EmbeddedMongo(tmp_path, None if moves else server.port) as again:
            assert names(again) == ["acknowledged"]

    def test_the_same_object_starts_again_under_its_url(self, tmp_path: Path) -> None:
        server = EmbeddedMongo(tmp_path)
        url = server.url
        for name in ("first", "second"):
            with server:
                write(server, name)
        assert server.url == url

    def test_ends_a_leftover_in_its_folder(self, tmp_path: Path) -> None:
        ours = EmbeddedMongo(tmp_path / "ours")
        ours.data_dir.mkdir()
        with (ours.data_dir / "out").open("wb") as out:
            options = ["--dbpath", str(ours.data_dir), "--port", str(free_port()), "--replSet", "qless"]
            leftover = subprocess.Popen([ours.program(), *options], stdout=out)
        try:
            deadline = time.monotonic() + 20
            while "Waiting for connections" not in (ours.data_dir / "out").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            with ours:
                assert leftover.poll() == 0
                write(ours, "ours")
        finally:
            leftover.kill()
            leftover.wait()

    def test_leaves_a_stranger_alone_whose_pid_is_in_the_lock_file(self, tmp_path: Path) -> None:
        stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", tmp_path])
        try:
            (tmp_path / "mongod.lock").write_text(f"{stranger.pid}\n")
            with EmbeddedMongo(tmp_path):
                assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    def test_ends_with_its_owner_even_if_that_is_killed(self, tmp_path: Path) -> None:
        code = (
            "import sys, time; from pathlib import Path; from backend.kit.embedded import EmbeddedMongo\n"
            "server = EmbeddedMongo(Path(sys.argv[1])).start(); print(server.child.pid, flush=True)\n"
            "time.sleep(60)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE
        ) as owner:
            assert owner.stdout is not None
            pid = int(owner.stdout.readline())
            owner.kill()
        with EmbeddedMongo(tmp_path) as server:
            write(server, "next owner")
        wait_until_gone(pid)

    def test_ctrl_c_of_the_terminal_does_not_reach_it(self, mongo: EmbeddedMongo) -> None:
        assert os.getsid(pid_of(mongo)) != os.getsid(0)
        assert os.getpgid(pid_of(mongo)) != os.getpgid(0)

    def test_stop_leaves_nothing_and_may_be_repeated(self, tmp_path: Path) -> None:
        server = EmbeddedMongo(tmp_path).start()
        pid = pid_of(server)
        server.stop()
        server.stop()
        wait_until_gone(pid)


class TestRedis:
    def test_serves_and_keeps_nothing(self, tmp_path: Path) -> None:
        server = EmbeddedRedis(tmp_path)
        with server, Redis.from_url(server.url) as client:
            client.set("key", "value")
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
        with server, Redis.from_url(server.url) as client:
            assert client.get("key") is None
        assert {path.name for path in tmp_path.iterdir()} == {"owner.lock", "redis-server.log"}


class TestErrors:
    """Each is one sentence, and nothing is left running or locked."""

    def test_program_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(EmbeddedMongo, "wheel", "no-such-wheel")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EmbeddedError, match=r"^mongod is missing: install mongod or set MONGODB_URL\.$"):
            EmbeddedMongo(tmp_path).start()

    def test_program_on_path_is_used_without_the_wheel(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "redis-server").symlink_to(EmbeddedRedis(tmp_path).program())
        monkeypatch.setattr(EmbeddedRedis, "wheel", "no-such-wheel")
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        with EmbeddedRedis(tmp_path / "data") as server:
            assert server.program() == tmp_path / "redis-server"

    def test_shared_library_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = tmp_path / "mongod"
        true = Path(shutil.which("true") or "")
        broken.write_bytes(true.read_bytes().replace(b"libc.so.6\0", b"libc.so.0\0"))
        broken.chmod(0o700)
        monkeypatch.setattr(EmbeddedMongo, "program", lambda _: broken)
        with pytest.raises(
            EmbeddedError, match=r"^mongod needs libc\.so\.0: install the package that has libc\.so\.0"
        ):
            EmbeddedMongo(tmp_path / "data").start()

    def test_names_the_package_of_a_known_library(self) -> None:
        listing = "\tlibcurl.so.4 => not found\n\tlibm.so.6 => /lib/libm.so.6 (0x0)\n\t/lib64/ld.so (0x1)\n"
        assert missing_libraries(listing) == ["libcurl.so.4"]
        assert embedded.PACKAGES["libcurl.so.4"] == "libcurl4"

    def test_folder_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EmbeddedError, match=r"file/mongo cannot be written: Not a directory\.$"):
            EmbeddedMongo(tmp_path / "file" / "mongo").start()

    def test_folder_cannot_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with (
            without_roots_rights(),
            pytest.raises(EmbeddedError, match=r"cannot be written: Permission denied\.$"),
        ):
            EmbeddedMongo(tmp_path).start()

    def test_folder_in_use(self, mongo: EmbeddedMongo) -> None:
        with pytest.raises(EmbeddedError, match=r"is in use by another process: stop it or give another\.$"):
            EmbeddedMongo(mongo.data_dir).start()
        write(mongo, "still served")

    def test_port_taken(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            for server in (EmbeddedMongo(tmp_path, port), EmbeddedRedis(tmp_path, port)):
                with pytest.raises(
                    EmbeddedError,
                    match=rf"^Port {port} of 127\.0\.0\.1 cannot be used \(Address already in use\)",
                ):
                    server.start()

    def test_dies_at_its_start(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        stray = stub(tmp_path, "echo first; echo the disk is full >&2; exit 3")
        monkeypatch.setattr(EmbeddedRedis, "program", lambda _: stray)
        with pytest.raises(EmbeddedError, match=r"^redis-server ended at its start: the disk is full "):
            EmbeddedRedis(tmp_path / "data").start()

    def test_damaged_data_is_told_in_mongod_own_words(self, tmp_path: Path) -> None:
        with EmbeddedMongo(tmp_path):
            pass
        for path in [*tmp_path.glob("*.wt"), *tmp_path.glob("WiredTiger*")]:
            path.write_bytes(b"damage" * 1_000)
        with pytest.raises(EmbeddedError, match=r"^mongod ended at its start: .*WiredTiger"):
            EmbeddedMongo(tmp_path).start()

    def test_does_not_serve_in_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        idle = stub(tmp_path, "exec sleep 60")
        monkeypatch.setattr(EmbeddedRedis, "program", lambda _: idle)
        monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.2)
        server = EmbeddedRedis(tmp_path / "data")
        with pytest.raises(EmbeddedError, match="did not serve within"):
            server.start()
        assert server.child is None
