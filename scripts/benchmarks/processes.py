"""Two server processes beside one: what the way over Redis adds, and what a second process brings."""

import os
from contextlib import ExitStack

from scripts.benchmarks.bench import Bench, say
from scripts.benchmarks.figures import Figures
from scripts.benchmarks.plans import Shape, Stretch
from scripts.benchmarks.report import Goal, Of, Row, Section

RATE = 200
PACED_S = 3.0
SCREEN_GOAL = Goal(3, of=Of.DIFFERENCE)


def processes(bench: Bench, shape: Shape, rounds: int, seconds: float) -> list[Section]:
    """One process and two of the same build on the same databases, round by round."""
    one, mixed, apart, paced = [], [], [], []
    with ExitStack() as stops:
        alone, first, second = (stops.enter_context(bench.serve("ours")) for _ in range(3))
        for number in range(1, rounds + 1):
            say(f"Two processes and one, round {number} of {rounds} ...")
            one += bench.load([alone], shape, Stretch(seconds))
            both = bench.load([first, second], shape, Stretch(seconds), Stretch(PACED_S, RATE))
            mixed.append(both[0])
            paced.append(both[1])
            apart += bench.load([first, second], shape, Stretch(seconds), apart=True)
    return sections(shape, one, mixed, apart, paced)


def sections(
    shape: Shape, one: list[Figures], mixed: list[Figures], apart: list[Figures], paced: list[Figures]
) -> list[Section]:
    """The rounds as rows."""
    there = [each.there_p50 or 0.0 for each in paced]
    here = [each.here_p50 or 0.0 for each in paced]
    screens = Row("scan to a screen on the other process, p50, ms", there, "same process", here, SCREEN_GOAL)
    rows = []
    for figures, where in ((mixed, "each cart's phones on both"), (apart, "each cart's phones on one")):
        for name, label in (
            ("scans_a_second", "scans a second"),
            ("server_cpu_us", "CPU a scan of both, µs"),
        ):
            ours = [getattr(each, name) for each in figures]
            rows.append(Row(f"{label}, {where}", ours, "one process", [getattr(each, name) for each in one]))
    cores = f"{os.cpu_count()} cores for servers, client, MongoDB and Redis together"
    return [
        Section(f"Two processes, {shape}: {RATE} scans a second in all", [screens]),
        Section(f"Two processes, {shape}: as fast as the answers come; {cores}", rows),
    ]
