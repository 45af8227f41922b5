"""The table of a run: medians over the rounds, ratios round by round, and whether the goals were met."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from scripts.benchmarks.figures import Figures

Rounds = Sequence[Mapping[str, Figures]]
"""One load, by round and by kind of server."""


class Ratio(NamedTuple):
    """A ratio of two servers over the rounds."""

    median: float
    least: float
    most: float


class Goal(NamedTuple):
    """What a median ratio has to be: at least, or at most, this."""

    figure: str
    over: str
    limit: float
    at_least: bool

    def judge(self, ratio: float) -> str:
        met = ratio >= self.limit if self.at_least else ratio <= self.limit
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g} {'met' if met else 'missed'}"


class Section(NamedTuple):
    """One load and what is asked of it."""

    title: str
    rounds: Rounds
    goals: tuple[Goal, ...] = ()


ROWS: tuple[tuple[str, str, Callable[[Figures], float]], ...] = (
    ("rate", "scans a second", lambda f: f.scans_a_second),
    ("own_p50", "own echo p50, ms", lambda f: f.own_p50),
    ("own_p99", "own echo p99, ms", lambda f: f.own_p99),
    ("all_p50", "all screens p50, ms", lambda f: f.all_p50),
    ("all_p99", "all screens p99, ms", lambda f: f.all_p99),
    ("cpu", "server CPU a scan, µs", lambda f: f.server_cpu_us),
)

FREE_GOALS = (Goal("rate", "floor", 0.7, at_least=True), Goal("rate", "plain", 7, at_least=True))
PACED_GOALS = (Goal("all_p99", "floor", 2, at_least=False),)
ALONE_GOALS = (Goal("all_p50", "floor", 1.3, at_least=False),)


def ratio(rounds: Rounds, of: str, over: str, figure: Callable[[Figures], float]) -> Ratio:
    """The ratio of two servers' figures, round by round."""
    values = [figure(each[of]) / figure(each[over]) for each in rounds]
    return Ratio(median(values), min(values), max(values))


def table(sections: Sequence[Section], of: str, others: Sequence[str]) -> str:
    """All sections as one table: a column a server, then a column a ratio and one for its goal."""
    kinds = (of, *others)
    lines = [["", *kinds, *(cell for other in others for cell in (f"{of}/{other}", ""))]]
    for section in sections:
        lines += [[], [section.title]]
        for key, label, figure in ROWS:
            medians = [_number(median(figure(each[kind]) for each in section.rounds)) for kind in kinds]
            lines.append([f"  {label}", *medians, *_ratios(section, key, figure, of, others)])
    return _aligned(lines)


def _ratios(
    section: Section, key: str, figure: Callable[[Figures], float], of: str, others: Sequence[str]
) -> list[str]:
    cells = []
    for other in others:
        found = ratio(section.rounds, of, other, figure)
        cells.append(f"{found.median:.2f} ({found.least:.2f}..{found.most:.2f})")
        goals = [goal for goal in section.goals if (goal.figure, goal.over) == (key, other)]
        cells.append("".join(goal.judge(found.median) for goal in goals))
    return cells


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width; a line of one cell is a heading and widens nothing."""
    rows = [line for line in lines if len(line) > 1]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_padded(line, widths) if len(line) > 1 else "".join(line) for line in lines)


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    label, *cells = zip(line, widths, strict=True)
    return "  ".join([label[0].ljust(label[1]), *(cell.rjust(width) for cell, width in cells)]).rstrip()
