"""The table of a run: a row a figure, with what it is compared with, and whether the goal was met."""

from collections.abc import Sequence
from enum import Enum
from statistics import median
from typing import NamedTuple

HEADINGS = ("", "ours", "compared with", "", "ratio [min..max]", "goal", "met")


class Of(Enum):
    """What of a row a goal judges."""

    RATIO = "times"
    DIFFERENCE = "more"
    OURS = "ours"


class Goal(NamedTuple):
    """What the median has to be: at least, or at most, this."""

    limit: float
    at_least: bool = False
    of: Of = Of.RATIO

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {'+' if self.of is Of.DIFFERENCE else ''}{self.limit:g}"


class Spread(NamedTuple):
    """Values over the rounds."""

    median: float
    least: float
    most: float


class Row(NamedTuple):
    """One figure of ours, round by round, beside another's of the same rounds.

    Attributes:
        what: names the figure and its unit.
        compared_with: whose `others` are; without one the row is ours alone.
    """

    what: str
    ours: Sequence[float]
    compared_with: str = ""
    others: Sequence[float] = ()
    goal: Goal | None = None

    @property
    def comparison(self) -> Spread | None:
        """The ratio to the other, taken round by round; the difference, where the goal is one."""
        if not self.others:
            return None
        pairs = zip(self.ours, self.others, strict=True)
        if self.goal and self.goal.of is Of.DIFFERENCE:
            return spread([own - other for own, other in pairs])
        return spread([own / other for own, other in pairs])

    @property
    def judged(self) -> Spread | None:
        """What the goal is about."""
        return spread(self.ours) if self.goal and self.goal.of is Of.OURS else self.comparison

    @property
    def is_met(self) -> bool | None:
        """Whether the median meets the goal; None without a goal."""
        if self.goal is None or self.judged is None:
            return None
        return self.goal.is_met(self.judged.median)


class Section(NamedTuple):
    """Rows under one load."""

    title: str
    rows: Sequence[Row]


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def table(sections: Sequence[Section]) -> str:
    """All sections under one head; a figure that is compared with several is named once."""
    lines: list[Sequence[str]] = [HEADINGS]
    for section in sections:
        lines += [[], [section.title]]
        named = ""
        for row in section.rows:
            cells = _cells(row)
            lines.append(cells if row.what != named else ("", "", *cells[2:]))
            named = row.what
    return _aligned(lines)


def verdict(sections: Sequence[Section]) -> str:
    """How many goals were met, and which were not."""
    judged = [(section, row) for section in sections for row in section.rows if row.goal]
    if not judged:
        return "Nothing that was measured has a goal."
    missed = [_miss(section, row) for section, row in judged if not row.is_met]
    met = f"{len(judged) - len(missed)} of {len(judged)} goals met"
    return "\n".join([f"{met}, missed:", *missed]) if missed else f"{met}."


def _miss(section: Section, row: Row) -> str:
    what = f"{row.what}, {row.compared_with}" if row.compared_with else row.what
    found = f"{row.judged.median:.3g}" if row.judged else "nothing"
    return f"  {section.title}: {what}: {found}, goal {row.goal}"


def _cells(row: Row) -> Sequence[str]:
    other = number(median(row.others)) if row.others else ""
    goal = str(row.goal) if row.goal else ""
    met = {True: "yes", False: "no", None: ""}[row.is_met]
    found = row.comparison
    if found is None:
        compared = ""
    elif row.goal and row.goal.of is Of.DIFFERENCE:
        compared = f"{found.median:+.2f} [{found.least:+.2f}..{found.most:+.2f}]"
    else:
        compared = f"{found.median:.2f} [{found.least:.2f}..{found.most:.2f}]"
    return (f"  {row.what}", number(median(row.ours)), row.compared_with, other, compared, goal, met)


def number(value: float) -> str:
    """Three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width; a line of one cell is a heading and widens nothing."""
    rows = [line for line in lines if len(line) > 1]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_padded(line, widths) if len(line) > 1 else "".join(line) for line in lines)


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    left = {0, 2}
    cells = zip(line, widths, strict=True)
    aligned = (cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(cells))
    return "  ".join(aligned).rstrip()
