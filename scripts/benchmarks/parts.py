"""Where a profiled server's time went, by part of the work on a scan.

Each function named below belongs to a part. The time of every other one (the standard library, C functions,
packages) belongs to the parts of those who called it, in the proportion in which they did; what the event
loop called by itself belongs to its package's part.
"""

import pstats
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.plans import Shape, Stretch

Function = tuple[str, int, str]
"""File, line and name, as the profiler names a function."""
Shares = Mapping[str, float]
ROUNDS = 40
"""Callers of callers, this far."""
OTHER = "other"


class Place(NamedTuple):
    """Functions of a file, or all of a file or folder."""

    part: str
    path: str
    names: frozenset[str] | None = None

    def holds(self, function: Function) -> bool:
        return self.path in function[0] and (self.names is None or function[2] in self.names)


def _at(part: str, path: str, *names: str) -> Place:
    return Place(part, path, frozenset(names) or None)


PLACES = (
    _at("receive and dispatch", "uvicorn/protocols", "data_received", "receive"),
    _at("receive and dispatch", "live/protocol.py", "handle_text"),
    _at(
        "receive and dispatch",
        "carts/sockets.py",
        "_receive",
        "_read",
        "_handle",
        "_take_now",
        "_try_submit",
        "_request",
    ),
    _at("receive and dispatch", "benchmarks/floor.py", "_serve"),
    _at("decode the frame", "carts/frames.py", "decode"),
    _at("look up product and store", "backend/catalog/"),
    _at("look up product and store", "backend/stores/"),
    _at("look up product and store", "carts/service.py"),
    _at("rules", "carts/rules/"),
    _at("rules", "carts/commands.py"),
    _at("rules", "carts/budget.py"),
    _at("rules", "carts/rooms.py"),
    _at("price", "backend/pricing/"),
    _at("event to BSON", "carts/events.py"),
    _at("event to BSON", "carts/log.py", "append"),
    _at("commit", "carts/log.py"),
    _at("commit", "benchmarks/floor.py", "append", "run"),
    _at("encode frames", "carts/frames.py"),
    _at("encode frames", "live/frames.py"),
    _at("send", "uvicorn/protocols", "send"),
    _at("send", "live/connection.py"),
    _at("send", "live/protocol.py", "write_now"),
    _at("send", "carts/sockets.py", "_answer"),
    _at("send", "benchmarks/floor.py", "_show"),
    _at("tell other processes (Redis)", "live/bus.py"),
    _at("tell other processes (Redis)", "carts/registry.py", "_announce"),
    _at("snapshots", "carts/registry.py", "save_snapshots"),
    _at("snapshots", "carts/store.py"),
)
PACKAGES = (
    _at("receive and dispatch", "/uvicorn/"),
    _at("commit", "/pymongo/"),
    _at("tell other processes (Redis)", "/redis/"),
)
LOOP = "event loop, kernel, waiting"


def profile(bench: Bench, shape: Shape, seconds: float, folder: Path) -> str:
    """Where the time of a scan goes, in ours and in the floor."""
    return "\n\n".join(_profile_of(kind, bench, shape, seconds, folder) for kind in ("ours", "floor"))


def _profile_of(kind: str, bench: Bench, shape: Shape, seconds: float, folder: Path) -> str:
    with bench.serve(kind) as server:
        [bare] = bench.load([server], shape, Stretch(seconds))
    out = folder / f"{kind}.prof"
    app = ["--factory", f"scripts.benchmarks.profiled:profiled_{kind}"]
    with bench.serve(kind, app, BENCH_PROFILE=str(out)) as server:
        [watched] = bench.load([server], shape, Stretch(seconds), profile=True)
    cpu_us = bare.server_cpu_us
    lines = [f"{kind}: {cpu_us:.0f} µs of CPU a scan ({watched.server_cpu_us:.0f} under the profiler), about"]
    for part, us in by_part(out, watched.scans, 1e6 / watched.scans_a_second, cpu_us).items():
        lines.append(f"  {part:<30} {us:4.0f} µs  {us / cpu_us:4.0%}")
    return "\n".join(lines)


def by_part(profile: Path, scans: int, wall_us: float, cpu_us: float) -> dict[str, float]:
    """What each part costs in microseconds of CPU a scan, the largest first.

    A profiler slows the Python code that it watches, and does not see the event loop's own work. So the loop
    gets what no function took of the time under the profiler, and the parts share the rest of the CPU time
    without it.

    Args:
        profile: what the profiler wrote.
        scans: how many there were while it watched.
        wall_us: how long each took then, by the clock: the server is never idle then, or hardly.
        cpu_us: what each takes without a profiler.
    """
    stats: dict[Function, Any] = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    belongs = _belongings(stats)
    seen_us: dict[str, float] = defaultdict(float)
    for function, (_, _, own_s, _, _) in stats.items():
        for part, share in belongs[function].items():
            seen_us[part] += own_s * share / scans * 1e6
    seen = sum(seen_us.values())
    loop_us = min(cpu_us, max(0.0, wall_us - seen))
    costs = {part: us / seen * (cpu_us - loop_us) for part, us in seen_us.items()} | {LOOP: loop_us}
    return dict(sorted(costs.items(), key=lambda item: -item[1]))


def _belongings(stats: Mapping[Function, Any]) -> dict[Function, Shares]:
    """The parts of every function, as shares of 1."""
    named = {function: _place(PLACES, function) for function in stats}
    belongs: dict[Function, Shares] = {
        function: {part or _place(PACKAGES, function) or OTHER: 1.0} for function, part in named.items()
    }
    inherited = [function for function, part in named.items() if part is None]
    for _ in range(ROUNDS):
        belongs |= {function: _inherit(function, stats[function], belongs) for function in inherited}
    return belongs


def _inherit(function: Function, figures: Any, belongs: Mapping[Function, Shares]) -> Shares:
    """A mixture of its callers' parts, weighted by the time it took for each."""
    _, _, _, whole_s, callers = figures
    weights = {caller: called[3] for caller, called in callers.items() if caller != function}
    mixed: dict[str, float] = defaultdict(float)
    by_loop = max(0.0, whole_s - sum(weights.values()))
    if by_loop or not weights:
        mixed[_place(PACKAGES, function) or OTHER] += by_loop or 1.0
    for caller, weight in weights.items():
        for part, share in belongs[caller].items():
            mixed[part] += weight * share
    total = sum(mixed.values())
    return {part: share / total for part, share in mixed.items()} if total else {OTHER: 1.0}


def _place(places: Iterable[Place], function: Function) -> str | None:
    return next((place.part for place in places if place.holds(function)), None)
