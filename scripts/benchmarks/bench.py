"""A run: its databases, what is sold in them, the servers and the load clients that it starts."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

import msgspec

from backend.kit.embedded import EmbeddedMongo, EmbeddedRedis, free_port
from backend.settings import load
from scripts.benchmarks.figures import Figures
from scripts.benchmarks.plans import Order, Plan, Shape, Stretch
from scripts.benchmarks.seeded import seed_carts
from scripts.benchmarks.servers import (
    GUARD,
    ROOT,
    STORE,
    Databases,
    Server,
    application,
    environment,
    serve,
    simulate,
    stock,
)

PUBLIC_URL = "http://127.0.0.1"
"""One for all processes of ours, as behind a load balancer: its tokens name it."""


class LoadFailed(Exception):
    """The client gave up. What it wrote."""


@contextmanager
def databases(folder: Path) -> Iterator[Databases]:
    """Those that `MONGODB_URL` and `REDIS_URL` name, else servers of this run's own."""
    with ExitStack() as stops:
        mongodb_url = os.environ.get("MONGODB_URL")
        redis_url = os.environ.get("REDIS_URL")
        found = Databases(
            mongodb_url or stops.enter_context(EmbeddedMongo(folder / "mongo")).url,
            redis_url or stops.enter_context(EmbeddedRedis(folder / "redis")).url,
        )
        stops.callback(found.drop)
        yield found


class Holder:
    """A running `hold` client."""

    def __init__(self, plan: Plan) -> None:
        command = [sys.executable, "-m", "scripts.benchmarks.hold", msgspec.json.encode(plan).decode()]
        self._kind = plan.kind
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)
        self._orders = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)

    def tell(self, order: Order) -> Figures | None:
        """Have an order carried out.

        Raises:
            LoadFailed: it could not be.
        """
        try:
            self._orders.write(msgspec.json.encode(order) + b"\n")
            self._orders.flush()
        except BrokenPipeError:
            raise self._failure() from None
        if line := self._answers.readline():
            return msgspec.json.decode(line, type=Figures | None)
        raise self._failure()

    def _failure(self) -> LoadFailed:
        _, wrote = self._process.communicate()
        return LoadFailed(f"The load on `{self._kind}` failed:\n{wrote.decode()}")

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


class Bench:
    """One run."""

    def __init__(self, folder: Path, found: Databases, products: int, shared: Path | None) -> None:
        """`shared` is a folder of servers given from outside."""
        self.shared = shared
        self._folder = folder
        self._databases = found
        self._barcodes = asyncio.run(stock(found, products))

    @property
    def webhook_secret(self) -> str:
        return self._databases.secret

    @property
    def guard(self) -> dict[str, str]:
        """What signs the gate's guard in."""
        return {"email": GUARD, "password": self._databases.secret}

    def simulator(self) -> AbstractContextManager[dict[str, str]]:
        """The payment simulator; what servers are told of it."""
        return simulate(self._databases, free_port(), self._folder)

    def serve(self, kind: str, app: list[str] | None = None, **told: str) -> AbstractContextManager[Server]:
        """A server's process; each has a log of its own."""
        port = free_port()
        told = environment(kind, self._databases, port) | {"QLESS_PUBLIC_URL": PUBLIC_URL} | told
        folder = self._folder / f"server-{port}"
        folder.mkdir()
        return serve(kind, app or application(kind, self.shared), told, port, folder)

    def plan(self, servers: Sequence[Server], lines: int) -> Plan:
        """Scanning on these processes of one server, into carts of so many lines."""
        return Plan(
            kind=servers[0].kind,
            urls=[server.url for server in servers],
            pids=[server.child.pid for server in servers],
            store_id=STORE.store_id,
            barcodes=self._barcodes[:lines],
        )

    def open_carts(self, lines: int, carts: int) -> str:
        """Have so many open carts in the database; gives the file of the ways into them."""
        told = environment("ours", self._databases, free_port())
        settings = load(told | {"QLESS_PUBLIC_URL": PUBLIC_URL, "QLESS_ACCESS_TTL_S": "7200"})
        ways = self._folder / "ways.json"
        ways.write_bytes(
            msgspec.json.encode(asyncio.run(seed_carts(settings, self._barcodes[:lines], carts)))
        )
        return str(ways)

    def load(
        self,
        servers: Sequence[Server],
        shape: Shape,
        *stretches: Stretch,
        apart: bool = False,
        profile: bool = False,
    ) -> list[Figures]:
        """Scan on these processes of one server; gives what each stretch showed.

        Raises:
            LoadFailed: it could not be done.
        """
        plan = msgspec.structs.replace(
            self.plan(servers, shape.lines),
            carts=shape.carts,
            members=shape.members,
            stretches=stretches,
            apart=apart,
            profile=profile,
        )
        command = [sys.executable, "-m", "scripts.benchmarks.load", msgspec.json.encode(plan).decode()]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        if done.returncode:
            output = [line for server in servers for line in server.child.output()[-12:]]
            raise LoadFailed("\n".join([f"The load on `{plan.kind}` failed:", done.stderr.decode(), *output]))
        return msgspec.json.decode(done.stdout, type=list[Figures])


@contextmanager
def holding(plan: Plan) -> Iterator[Holder]:
    """A client that holds carts until the block ends."""
    holder = Holder(plan)
    try:
        yield holder
    finally:
        holder.stop()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
