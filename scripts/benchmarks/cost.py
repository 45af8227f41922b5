"""What a scan costs the server, and how that grows with the cart's lines and members, carts and processes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from scripts.benchmarks.bench import Bench, say
from scripts.benchmarks.figures import Figures
from scripts.benchmarks.plans import Shape, Stretch
from scripts.benchmarks.plot import Curve, Lines
from scripts.benchmarks.report import Row, Section, spread

LINES = (1, 10, 40, 100, 400)
MEMBERS = (1, 2, 4, 8, 16)
CARTS = (1, 10, 50, 200)
PROCESSES = (1, 2)
SECONDS = 1.0
BASE = Shape()

Point = tuple[str, int]
"""What is varied, and to what; everything else is as in `BASE`."""
Cost = Mapping[Point, Sequence[Figures]]


def points() -> Iterator[tuple[Point, Shape]]:
    """Everything that is measured; what is `BASE` stands once, as so many lines."""
    yield from ((("lines", lines), BASE._replace(lines=lines)) for lines in LINES)
    yield from ((("members", n), BASE._replace(members=n)) for n in MEMBERS if n != BASE.members)
    yield from ((("carts", n), BASE._replace(carts=n)) for n in CARTS if n != BASE.carts)
    yield from ((("processes", n), BASE) for n in PROCESSES if n != 1)


def cost(bench: Bench, rounds: int) -> tuple[list[Section], list[Lines]]:
    """Short measurements of ours, round by round."""
    found: dict[Point, list[Figures]] = {point: [] for point, _ in points()}
    with ExitStack() as stops:
        alone, first, second = (stops.enter_context(bench.serve("ours")) for _ in range(3))
        for number in range(1, rounds + 1):
            say(f"CPU a scan, round {number} of {rounds} ...")
            for point, shape in points():
                servers = [first, second] if point == ("processes", 2) else [alone]
                found[point] += bench.load(servers, shape, Stretch(SECONDS))
    return [section(found)], plots(found)


def of(found: Cost, varied: str, value: int) -> list[float]:
    """CPU a scan in µs, round by round."""
    base = {"lines": BASE.lines, "members": BASE.members, "carts": BASE.carts, "processes": 1}
    point = ("lines", BASE.lines) if value == base[varied] else (varied, value)
    return [each.server_cpu_us for each in found[point]]


def section(found: Cost) -> Section:
    """A row a point, compared with the least of its kind."""
    rows = []
    for varied, values in (
        ("lines", LINES),
        ("members", MEMBERS),
        ("carts", CARTS),
        ("processes", PROCESSES),
    ):
        least = of(found, varied, values[0])
        rows.append(Row(f"{varied}: {values[0]}", least))
        rows += [
            Row(f"{varied}: {value}", of(found, varied, value), f"{varied}: {values[0]}", least)
            for value in values[1:]
        ]
    return Section(f"Server CPU a scan, µs, as fast as the answers come; {BASE}, but for what is named", rows)


def plots(found: Cost) -> list[Lines]:
    drawn = []
    for varied, values in (("lines", LINES), ("members", MEMBERS)):
        curve = Curve("ours", [(value, spread(of(found, varied, value))) for value in values])
        drawn.append(
            Lines(f"Server CPU a scan over {varied} of the cart", f"{varied} of the cart", "µs", [curve])
        )
    return drawn
