"""Measures the server beside others and beside itself, and prints one table of what was found."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backend.kit.embedded import EmbeddedError
from scripts.benchmarks import cost, growth, plot
from scripts.benchmarks.bench import Bench, LoadFailed, databases, say
from scripts.benchmarks.compare import compare
from scripts.benchmarks.parts import profile
from scripts.benchmarks.plans import Shape
from scripts.benchmarks.processes import processes
from scripts.benchmarks.report import Section, table, verdict
from scripts.benchmarks.requests import requests
from scripts.benchmarks.servers import ROOT, ServerFailed

PARTS = ("compare", "growth", "processes", "cost", "requests")
DATA = ROOT / ".data"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default all, about 14 minutes)")
    add(
        "--rounds",
        type=int,
        default=5,
        help="of compare, processes, requests; the others take half (default 5)",
    )
    add(
        "--seconds",
        type=float,
        default=3.0,
        help="of a measurement of compare, processes, profile (default 3)",
    )
    add("--carts", type=int, default=50, help="the same parts' at a time (default 50)")
    add("--members", type=int, default=4, help="of a cart there (default 4)")
    add("--lines", type=int, default=40, help="in each cart there before it is measured (default 40)")
    add(
        "--open",
        type=int,
        nargs="+",
        default=[100, 1_000, 10_000],
        help="open carts of growth (default 100 1000 10000)",
    )
    add("--plot", type=Path, default=DATA / "bench.svg", help="where the charts go (default .data/bench.svg)")
    add("--profile", action="store_true", help="tell where the time of a scan goes, and nothing else")
    add(
        "--shared", type=Path, help="folder of a floor.py and a seed_stack.py for compare to compare with too"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.parts = options.parts or list(PARTS)
    return options


Found = tuple[Sequence[Section], Sequence[plot.Chart]]


def measure(part: str, options: argparse.Namespace, bench: Bench) -> Found:
    """One part: its sections of the table and its charts."""
    shape = Shape(options.carts, options.members, options.lines)
    few = (options.rounds + 1) // 2
    match part:
        case "compare":
            return compare(bench, shape, options.rounds, options.seconds)
        case "growth":
            return growth.growth(bench, options.open, min(2, few))
        case "processes":
            return processes(bench, shape, options.rounds, options.seconds), []
        case "requests":
            return requests(bench, options.rounds), []
        case _:
            return cost.cost(bench, few)


def run(options: argparse.Namespace, folder: Path) -> bool:
    """Measure and print; False when a part failed, which does not take the others with it."""
    sections: list[Section] = []
    charts: list[plot.Chart] = []
    failed = []
    with databases(folder) as found:
        bench = Bench(folder, found, max(options.lines, *cost.LINES), options.shared)
        if options.profile:
            shape = Shape(options.carts, options.members, options.lines)
            print(profile(bench, shape, options.seconds, folder))
            return True
        for part in sorted(set(options.parts), key=PARTS.index):
            try:
                rows, drawn = measure(part, options, bench)
            except (ServerFailed, LoadFailed) as error:
                say(str(error))
                failed.append(part)
            else:
                sections += rows
                charts += drawn
    if sections:
        print(table(sections), verdict(sections), sep="\n\n")
    if charts:
        plot.write(charts, options.plot)
        print(f"Charts: {options.plot}")
    if failed:
        print(f"Could not be measured: {', '.join(failed)}")
    return not failed


def main() -> int:
    options = parse()
    DATA.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=DATA) as name:
            return 0 if run(options, Path(name)) else 1
    except (EmbeddedError, ServerFailed, LoadFailed) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
