"""Ours beside the floor and the plain build: as fast as answers come, at a fixed rate, and one cart alone."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from scripts.benchmarks.bench import Bench, say
from scripts.benchmarks.figures import Figures
from scripts.benchmarks.plans import Shape, Stretch
from scripts.benchmarks.plot import Bar, Bars
from scripts.benchmarks.report import Goal, Row, Section, spread

KINDS = ("ours", "floor", "plain")
SHARED_KINDS = ("shared floor", "shared plain")
RATE = 500
PACED_S = 2.0
ALONE_S = 2.0

Rounds = Sequence[Mapping[str, Figures]]
"""One load, by round and by kind of server."""
Goals = Mapping[tuple[str, str], Goal]
"""By figure and by the server that is compared with."""

LABELS = {
    "scans_a_second": "scans a second",
    "own_p50": "scan to its answer, p50, ms",
    "own_p99": "scan to its answer, p99, ms",
    "all_p50": "scan to all screens, p50, ms",
    "all_p99": "scan to all screens, p99, ms",
    "server_cpu_us": "server CPU a scan, µs",
    "client_busy": "load client, share of a core",
}
FREE_GOALS: Goals = {
    ("scans_a_second", "floor"): Goal(0.7, at_least=True),
    ("scans_a_second", "plain"): Goal(7, at_least=True),
}
PACED_GOALS: Goals = {("all_p99", "floor"): Goal(2)}
ALONE_GOALS: Goals = {("all_p50", "floor"): Goal(1.3)}


def compare(bench: Bench, shape: Shape, rounds: int, seconds: float) -> tuple[list[Section], list[Bars]]:
    """All servers, round by round."""
    kinds = (*KINDS, *(SHARED_KINDS if bench.shared else ()))
    free: list[Mapping[str, Figures]] = []
    paced: list[Mapping[str, Figures]] = []
    alone: list[Mapping[str, Figures]] = []
    single = shape._replace(carts=1)
    with ExitStack() as stops:
        servers = [stops.enter_context(bench.serve(kind)) for kind in kinds]
        for number in range(1, rounds + 1):
            say(f"Ours, the floor and the plain build, round {number} of {rounds} ...")
            stretches = Stretch(seconds), Stretch(PACED_S, RATE)
            many = {s.kind: bench.load([s], shape, *stretches) for s in servers}
            one = {s.kind: bench.load([s], single, Stretch(ALONE_S)) for s in servers}
            free.append({kind: figures[0] for kind, figures in many.items()})
            paced.append({kind: figures[1] for kind, figures in many.items()})
            alone.append({kind: figures[0] for kind, figures in one.items()})
    sections = [
        section(f"{shape}: a scan as soon as the one before is answered", free, FREE_GOALS),
        section(f"{shape}: {RATE} scans a second in all, whatever the answers", paced, PACED_GOALS),
        section(f"{single}: a scan as soon as the one before is answered", alone, ALONE_GOALS),
    ]
    return sections, [throughput(str(shape), free)]


def section(title: str, rounds: Rounds, goals: Goals) -> Section:
    """A row a figure and server that ours is compared with."""
    rows = []
    for name, label in LABELS.items():
        ours = [getattr(each["ours"], name) for each in rounds]
        for kind in rounds[0]:
            if kind != "ours":
                others = [getattr(each[kind], name) for each in rounds]
                rows.append(Row(label, ours, kind, others, goals.get((name, kind))))
    return Section(title, rows)


def throughput(title: str, rounds: Rounds) -> Bars:
    bars = [Bar(kind, spread([each[kind].scans_a_second for each in rounds])) for kind in rounds[0]]
    return Bars(title, "scans a second", bars)
