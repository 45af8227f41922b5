"""The real parts, each a process that can be killed, frozen and started again: servers, mongods, a redis-server."""

import asyncio
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from backend.kit.embedded import LOCALHOST, Child, EmbeddedMongo, EmbeddedRedis

ROOT = Path(__file__).parents[2]
STARTS_WITHIN_S = 60.0
STARTS_AT_MOST = 20
"""How often a program that ends at its start is started again, as its supervisor would."""


class NotStarted(Exception):
    """A program does not serve. One sentence, and the end of what it wrote."""


def steady_port() -> int:
    """A free port below those that outgoing connections get, so that nobody takes it while its program is down."""
    while True:
        port = random.randint(15_000, 31_999)
        with suppress(OSError), socket.create_server((LOCALHOST, port)):
            return port


class Program(ABC):
    """A program on a port of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = steady_port()
        self.starts = 0
        self._folder = folder
        self._child: Child | None = None
        self._closed = False

    @abstractmethod
    def command(self) -> list[str]: ...

    def environment(self) -> Mapping[str, str] | None:
        """None for this process's own."""
        return None

    async def is_ready(self) -> bool:
        """Whether it serves."""
        try:
            _, writer = await asyncio.open_connection(LOCALHOST, self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def start(self) -> None:
        """Start it, again where it ends at once, and wait until it serves.

        Raises:
            NotStarted: it does not.
        """
        said: list[str] = []
        for _ in range(STARTS_AT_MOST):
            if self._closed:
                break
            self.starts += 1
            log = self._folder / f"{self.name}-{self.starts}.log"
            child = self._child = Child(self.name, self.command(), log, ROOT, self.environment())
            if await self._serves(child):
                return
            said = child.output()
        raise NotStarted("\n".join([f"{self.name} does not start:", *said[-12:]]))

    async def _serves(self, child: Child) -> bool:
        """True once it does; False if it ended first."""
        async with asyncio.timeout(STARTS_WITHIN_S):
            while child.exit_code is None:
                if await self.is_ready():
                    return True
                await asyncio.sleep(0.02)
        return False

    @property
    def runs(self) -> bool:
        return self._child is not None and self._child.exit_code is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT freeze and thaw it."""
        assert self._child is not None
        with suppress(ProcessLookupError):
            os.kill(self._child.pid, number)

    async def end(self, number: signal.Signals, within_s: float = 30.0) -> int:
        """Send it a signal and wait until it is gone; its exit code.

        Raises:
            TimeoutError: it lives on.
        """
        self.send(number)
        return await self.gone(within_s)

    async def gone(self, within_s: float = 30.0) -> int:
        """Wait until it is gone; its exit code.

        Raises:
            TimeoutError: it lives on.
        """
        assert self._child is not None
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self._child.exit_code is not None:
                return self._child.exit_code
            await asyncio.sleep(0.005)
        raise TimeoutError(f"{self.name} did not end within {within_s:g} s.")

    async def kill(self) -> None:
        """`kill -9`."""
        await self.end(signal.SIGKILL)

    async def close(self) -> None:
        """Leave nothing of it running, nor anything that would start it."""
        self._closed = True
        if self._child is not None:
            await self.kill()
            self._child.stop(0)


class RedisServer(Program):
    """A redis-server that keeps nothing."""

    @property
    def url(self) -> str:
        return f"redis://{LOCALHOST}:{self.port}/0"

    def command(self) -> list[str]:
        program = EmbeddedRedis(self._folder).program()
        options = {"bind": LOCALHOST, "port": str(self.port), "save": "", "appendonly": "no"}
        return [str(program), *(part for name, value in options.items() for part in (f"--{name}", value))]


class Server(Program):
    """A process of ours under uvicorn."""

    def __init__(self, name: str, folder: Path, told: Mapping[str, str]) -> None:
        super().__init__(name, folder)
        self._told = told

    @property
    def url(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", "--factory", "backend.app:from_environment"),
            *("--host", LOCALHOST, "--port", str(self.port), "--loop", "uvloop", "--http", "httptools"),
            *("--ws", "websockets-sansio", "--ws-max-size", "16384", "--ws-per-message-deflate", "false"),
            *("--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "10"),
        ]

    def environment(self) -> Mapping[str, str]:
        return os.environ | self._told


class Mongod(Program):
    """One member of a replica set."""

    PARAMETERS: ClassVar = {"oplogNetworkTimeoutBufferSeconds": "2", "transactionLifetimeLimitSeconds": "5"}
    """As in `docker-compose.yml`. The first, together with the set's settings, is how long a secondary waits for a
    member that stands still; the second, how long a transaction lives whose server was killed."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder)
        self.data = folder / name
        self.data.mkdir()

    @property
    def host(self) -> str:
        return f"{LOCALHOST}:{self.port}"

    def command(self) -> list[str]:
        options = {
            "dbpath": str(self.data),
            "bind_ip": LOCALHOST,
            "port": str(self.port),
            "replSet": "chaos",
            "oplogSize": "256",
            "wiredTigerCacheSizeGB": "0.25",
            "networkMessageCompressors": "snappy",
        }
        parameters = {"diagnosticDataCollectionEnabled": "false", **self.PARAMETERS}
        program = str(EmbeddedMongo(self.data).program())
        return [
            *(program, "--quiet", "--nounixsocket"),
            *(part for name, value in options.items() for part in (f"--{name}", value)),
            *(part for name, value in parameters.items() for part in ("--setParameter", f"{name}={value}")),
        ]

    async def hello(self) -> dict[str, Any]:
        """What it says of itself; empty when it says nothing."""
        with suppress(PyMongoError):
            async with direct(self.host) as client:
                return await client.admin.command("hello")
        return {}

    async def is_ready(self) -> bool:
        return await super().is_ready() and bool(await self.hello())


def direct(host: str) -> AsyncMongoClient[dict[str, Any]]:
    """A client of this member alone, with little patience: it may be dead or frozen."""
    return AsyncMongoClient(
        host, directConnection=True, serverSelectionTimeoutMS=500, timeoutMS=2_000, connectTimeoutMS=500
    )


class ReplicaSet:
    """mongods on this machine as one replica set, tuned for a primary that stands still.

    With MongoDB's defaults it stops all majority writes for longer than 15 s (bare driver, MongoDB 6.0.5: 17.9, 17.9,
    18.3, 23.1 s), as the other secondary goes on waiting for it. With these settings, and those of the members, writes
    went on after 5.1 to 8.4 s (16 times, two servers).
    """

    SETTINGS: ClassVar = {
        "electionTimeoutMillis": 3_000,
        "heartbeatTimeoutSecs": 2,
        "heartbeatIntervalMillis": 500,
    }

    def __init__(self, folder: Path, members: int) -> None:
        self.members = [Mongod(f"mongod-{n}", folder) for n in range(members)]

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(member.host for member in self.members)}/?replicaSet=chaos"

    async def start(self) -> None:
        """Start all members as a new set and wait until it has a primary and every other follows it."""
        await asyncio.gather(*(member.start() for member in self.members))
        hosts = [{"_id": n, "host": member.host} for n, member in enumerate(self.members)]
        async with direct(self.members[0].host) as client:
            config = {"_id": "chaos", "members": hosts, "settings": self.SETTINGS}
            await client.admin.command("replSetInitiate", config)
        await self.healthy()

    async def primary(self) -> Mongod | None:
        """The member that takes writes, if there is one that says so."""
        for member in self.members:
            if member.runs and (await member.hello()).get("isWritablePrimary"):
                return member
        return None

    async def healthy(self, within_s: float = 60.0) -> Mongod:
        """Wait until one member is primary and all others follow it; the primary.

        One that came back says that it is a secondary before it finds out that it has to roll back. Were the primary
        to fail then, two of three would be away.

        Raises:
            TimeoutError: the set does not heal.
        """
        async with asyncio.timeout(within_s):
            while True:
                primary = await self.primary()
                if primary is not None and await self._is_followed(primary):
                    return primary
                await asyncio.sleep(0.1)

    async def _is_followed(self, primary: Mongod) -> bool:
        """Whether a write reaches every member."""
        everywhere = WriteConcern(w=len(self.members), wtimeout=1_000)
        with suppress(PyMongoError):
            async with direct(primary.host) as client:
                await client["chaos"].get_collection("health", write_concern=everywhere).insert_one({})
            return True
        return False

    async def close(self) -> None:
        for member in self.members:
            await member.close()
            shutil.rmtree(member.data, ignore_errors=True)


@dataclass(frozen=True)
class Machines:
    """Everything that runs, and the database it shares."""

    mongo: ReplicaSet
    redis: RedisServer
    servers: list[Server]
    database: str
    password: str
    """Of the demo store's staff."""

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]


@asynccontextmanager
async def running(
    folder: Path, told: Mapping[str, str], lasts_s: float, *, members: int = 1
) -> AsyncIterator[Machines]:
    """Two servers on one replica set and one Redis, the demo store in it; nothing of it outlives the block.

    Args:
        told: what the servers' environment has besides.
        lasts_s: when the block is ended, should it hang; before the test is, which would leave all of it running.
        members: mongods in the replica set.

    Raises:
        TimeoutError: the block was ended.
    """
    mongo, redis = ReplicaSet(folder, members), RedisServer("redis", folder)
    servers: list[Server] = []
    try:
        await asyncio.gather(mongo.start(), redis.start())
        database, password = f"chaos_{secrets.token_hex(4)}", secrets.token_urlsafe(12)
        told = {
            **told,
            "MONGODB_URL": mongo.url,
            "REDIS_URL": redis.url,
            "QLESS_DATABASE": database,
            "QLESS_MODE": "demo",
            "QLESS_PUBLIC_URL": f"http://{LOCALHOST}:{steady_port()}",
            "QLESS_SECRET": secrets.token_urlsafe(32),
            "QLESS_ACCESS_TTL_S": "86400",
            "QLESS_LOG_LEVEL": "WARNING",
            "QLESS_DEMO_PASSWORD": password,
        }
        servers += [Server(f"server-{n}", folder, told) for n in range(2)]
        await _prepare(servers[0].environment())
        await asyncio.gather(*(server.start() for server in servers))
        async with asyncio.timeout(lasts_s):
            yield Machines(mongo, redis, servers, database, password)
    finally:
        for server in servers:
            await server.close()
        await redis.close()
        await mongo.close()


async def _prepare(environment: Mapping[str, str]) -> None:
    """Collections, indexes and the demo store, as a deployment makes them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.prepare"), cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )
    _, stderr = await process.communicate()
    if process.returncode:
        raise NotStarted(f"backend.prepare failed: {stderr.decode()[-1000:]}")
