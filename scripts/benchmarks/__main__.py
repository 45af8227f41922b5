"""Measures the servers side by side and prints one table. With `--profile`: where the time of a scan goes."""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import msgspec

from backend.kit.embedded import EmbeddedError, EmbeddedMongo, EmbeddedRedis, free_port
from scripts.benchmarks.load import Plan, Result
from scripts.benchmarks.parts import by_part
from scripts.benchmarks.report import ALONE_GOALS, FREE_GOALS, PACED_GOALS, Section, table
from scripts.benchmarks.servers import (
    ROOT,
    STORE,
    Databases,
    Server,
    ServerFailed,
    application,
    environment,
    serve,
    stock,
)

KINDS = ("ours", "floor", "plain")
SHARED_KINDS = ("shared floor", "shared plain")
RATE = 500
PACED_S = 2.0
ALONE_S = 2.0


class LoadFailed(Exception):
    """The client gave up. What it wrote."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="how often each server is measured (default 5)")
    add("--seconds", type=float, default=3.0, help="of each measurement (default 3)")
    add("--carts", type=int, default=50, help="at a time (default 50)")
    add("--members", type=int, default=4, help="of a cart (default 4)")
    add("--lines", type=int, default=40, help="in each cart before it is measured (default 40)")
    add("--profile", action="store_true", help="tell where the time of a scan goes, and nothing else")
    add("--shared", type=Path, help="folder of a floor.py and a seed_stack.py to compare with too")
    return parser.parse_args(arguments)


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


class Bench:
    """One run: its options, its databases and what is sold in them."""

    def __init__(self, options: argparse.Namespace, folder: Path, found: Databases) -> None:
        self._options = options
        self._folder = folder
        self._databases = found
        self._barcodes = asyncio.run(stock(found, options.lines))

    def serve(self, kind: str, app: list[str], **told: str) -> AbstractContextManager[Server]:
        port = free_port()
        return serve(kind, app, environment(kind, self._databases, port) | told, port, self._folder)

    def load(self, server: Server, **changes: object) -> Result:
        """Run the client against a server."""
        plan = Plan(
            kind=server.kind,
            url=server.url,
            pid=server.child.pid,
            store_id=STORE.store_id,
            barcodes=self._barcodes,
            carts=self._options.carts,
            members=self._options.members,
            seconds=self._options.seconds,
        )
        argument = msgspec.json.encode(msgspec.structs.replace(plan, **changes)).decode()
        command = [sys.executable, "-m", "scripts.benchmarks.load", argument]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        if done.returncode:
            output = [done.stderr.decode(), *server.child.output()[-12:]]
            raise LoadFailed("\n".join([f"The load on `{server.kind}` failed:", *output]))
        return msgspec.json.decode(done.stdout, type=Result)

    def compare(self) -> str:
        """All servers, round by round, as a table."""
        options = self._options
        kinds = (*KINDS, *(SHARED_KINDS if options.shared else ()))
        free, paced, alone = [], [], []
        with ExitStack() as stops:
            running = [self.serve(kind, application(kind, options.shared)) for kind in kinds]
            servers = [stops.enter_context(server) for server in running]
            for number in range(1, options.rounds + 1):
                say(f"Round {number} of {options.rounds} ...")
                many = {s.kind: self.load(s, rate=RATE, rate_seconds=PACED_S) for s in servers}
                one = {s.kind: self.load(s, carts=1, seconds=ALONE_S) for s in servers}
                free.append({kind: result.free for kind, result in many.items()})
                paced.append({kind: result.paced for kind, result in many.items() if result.paced})
                alone.append({kind: result.free for kind, result in one.items()})
        shape = f"{options.carts} carts of {options.members}, {options.lines} lines each"
        sections = [
            Section(f"{shape}; a scan as soon as the one before is answered", free, FREE_GOALS),
            Section(f"{shape}; {RATE} scans a second in all, whatever the answers", paced, PACED_GOALS),
            Section(f"one cart of {options.members}, alone", alone, ALONE_GOALS),
        ]
        tables = [table(sections, "ours", ("floor", "plain"))]
        if options.shared:
            bare = [section._replace(goals=()) for section in sections]
            tables += [table(bare, kind, (f"shared {kind}",)) for kind in ("floor", "plain")]
        busy = max(figures.client_busy for each in free for figures in each.values())
        return "\n\n".join([*tables, f"The load client took at most {busy:.0%} of a core."])

    def profile(self) -> str:
        """Where the time of a scan goes, in ours and in the floor."""
        return "\n\n".join(self._profile_of(kind) for kind in ("ours", "floor"))

    def _profile_of(self, kind: str) -> str:
        with self.serve(kind, application(kind, None)) as server:
            cpu_us = self.load(server).free.server_cpu_us
        out = self._folder / f"{kind}.prof"
        app = ["--factory", f"scripts.benchmarks.profiled:profiled_{kind}"]
        with self.serve(kind, app, BENCH_PROFILE=str(out)) as server:
            watched = self.load(server, profile=True).free
        lines = [
            f"{kind}: {cpu_us:.0f} µs of CPU a scan ({watched.server_cpu_us:.0f} under the profiler), about"
        ]
        for part, us in by_part(out, watched.scans, 1e6 / watched.scans_a_second, cpu_us).items():
            lines.append(f"  {part:<30} {us:4.0f} µs  {us / cpu_us:4.0%}")
        return "\n".join(lines)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    options = parse()
    kept = ROOT / ".data"
    kept.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=kept) as name, databases(Path(name)) as found:
            bench = Bench(options, Path(name), found)
            print(bench.profile() if options.profile else bench.compare())
    except (EmbeddedError, ServerFailed, LoadFailed) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
