"""Charts as one SVG file, written by hand: no package is needed to draw a few bars and lines."""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.report import Spread, number

WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 62, 52
COLUMNS = 2
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito, "Color Universal Design" (2008): told apart by the colour-blind too."""


class Bar(NamedTuple):
    label: str
    height: Spread


class Bars(NamedTuple):
    """One bar a label; the whisker goes from the least round to the most."""

    title: str
    unit: str
    bars: Sequence[Bar]


class Curve(NamedTuple):
    """Medians joined by a line, each with its whisker; x is over 0, its axis logarithmic."""

    label: str
    points: Sequence[tuple[float, Spread]]
    colour: int = 0
    dashed: bool = False


class Lines(NamedTuple):
    """Curves over one axis; `powers` makes the upright axis logarithmic too, for values over 0."""

    title: str
    x: str
    unit: str
    curves: Sequence[Curve]
    powers: bool = False


Chart = Bars | Lines


def write(charts: Sequence[Chart], path: Path) -> None:
    """Draw the charts side by side into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(charts), encoding="utf-8")


def draw(charts: Sequence[Chart]) -> str:
    """The charts as SVG."""
    width, height = COLUMNS * WIDTH, ceil(len(charts) / COLUMNS) * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for place, chart in enumerate(charts):
        row, column = divmod(place, COLUMNS)
        parts.append(f'<g transform="translate({column * WIDTH} {row * HEIGHT})">')
        parts += _bars(chart) if isinstance(chart, Bars) else _lines(chart)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


class _Scale:
    """From 0 to a round number over all values, in four steps; or over the powers of ten around them."""

    def __init__(self, values: Sequence[Spread], *, powers: bool = False) -> None:
        least, most = min(value.least for value in values), max(value.most for value in values)
        self._powers = powers
        if powers:
            low, high = floor(log10(least)), ceil(log10(most))
            self._marks = [10.0**power for power in range(low, max(high, low + 1) + 1)]
        else:
            magnitude = 10 ** (ceil(log10(most)) - 1) if most > 0 else 1.0
            steps = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)
            top = next(step * magnitude for step in steps if step * magnitude >= most)
            self._marks = [top * quarter / 4 for quarter in range(5)]

    def y(self, value: float) -> float:
        low, high = self._marks[0], self._marks[-1]
        share = log10(value / low) / log10(high / low) if self._powers else value / high
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

    def draw(self) -> Iterator[str]:
        for value in self._marks:
            y = self.y(value)
            yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            yield _text(LEFT - 6, y + 4, number(value), "end")


def _bars(chart: Bars) -> Iterator[str]:
    scale = _Scale([bar.height for bar in chart.bars])
    yield from _frame(chart.title, chart.unit, scale)
    wide = (WIDTH - LEFT - RIGHT) / len(chart.bars)
    for place, (label, height) in enumerate(chart.bars):
        middle, y = LEFT + (place + 0.5) * wide, scale.y(height.median)
        yield (
            f'<rect x="{middle - wide / 4:.1f}" y="{y:.1f}" width="{wide / 2:.1f}" '
            f'height="{HEIGHT - BOTTOM - y:.1f}" fill="{COLOURS[place % len(COLOURS)]}"/>'
        )
        yield _whisker(middle, height, scale)
        yield _text(middle, scale.y(height.most) - 6, number(height.median), "middle")
        yield _text(middle, HEIGHT - BOTTOM + 18, label, "middle")


def _lines(chart: Lines) -> Iterator[str]:
    heights = [height for curve in chart.curves for _, height in curve.points]
    scale = _Scale(heights, powers=chart.powers)
    yield from _frame(chart.title, chart.unit, scale)
    ticks = sorted({x for curve in chart.curves for x, _ in curve.points})
    low, high = log10(ticks[0]), log10(ticks[-1])

    def across(x: float) -> float:
        share = (log10(x) - low) / (high - low) if high > low else 0.5
        return LEFT + 16 + share * (WIDTH - LEFT - RIGHT - 32)

    for tick in ticks:
        yield _text(across(tick), HEIGHT - BOTTOM + 18, f"{tick:,g}", "middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 38, chart.x, "middle")
    for place, curve in enumerate(chart.curves):
        colour = COLOURS[curve.colour % len(COLOURS)]
        dash = ' stroke-dasharray="5 4"' if curve.dashed else ""
        path = "L".join(f"{across(x):.1f} {scale.y(height.median):.1f}" for x, height in curve.points)
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        for x, height in curve.points:
            yield f'<circle cx="{across(x):.1f}" cy="{scale.y(height.median):.1f}" r="3" fill="{colour}"/>'
            yield _whisker(across(x), height, scale)
        if len(chart.curves) > 1:
            yield _legend(place, curve.label, colour, dash)


def _frame(title: str, unit: str, scale: _Scale) -> Iterator[str]:
    yield _text(12, 20, title, "start", bold=True)
    yield from scale.draw()
    yield _text(12, TOP - 14, unit, "start")


def _legend(place: int, label: str, colour: str, dash: str) -> str:
    x = LEFT + 10 + place * 94
    line = f'<path d="M{x} 40h18" stroke="{colour}" stroke-width="2"{dash}/>'
    return line + _text(x + 23, 44, label, "start")


def _whisker(x: float, height: Spread, scale: _Scale) -> str:
    low, high = scale.y(height.least), scale.y(height.most)
    return f'<path d="M{x - 4:.1f} {low:.1f}h8m-4 0V{high:.1f}m-4 0h8" fill="none" stroke="#555"/>'


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
