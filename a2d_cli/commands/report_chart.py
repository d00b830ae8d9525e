"""Small charts as SVG inside HTML: no library, no script.

The page's style sheet gives colours (classes c0 … c7) and letters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 360, 210  # about the pixels of a phone's width: letters keep their size
LEFT, RIGHT, TOP, BOTTOM = 44, 350, 10, 176  # of the area that is drawn in
ROW_HEIGHT = 34  # of a dot chart
NUM_COLOURS = 8
DASHES = ("", "6 3", "2 3")  # once the colours are used up
LOG_FROM = 20.0  # a logarithmic scale where the largest value is so many times the smallest
MAX_POINTS = 200  # of a line; what has more is drawn as means of neighbours
MAX_DOTS = 12  # a line of so few points shows each, with its value

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    name: str  # lines of one name are one entry of the legend
    points: Sequence[Point]
    colour: int


@dataclass(frozen=True)
class LineChart:
    """y over x from 0; the scale of y is logarithmic where values of very different size are shown."""

    title: str
    x_title: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Dots:
    """Single values, their mean, and its interval's half-width (NaN: none)."""

    name: str
    values: Sequence[float]
    mean: float
    half_width: float
    colour: int


@dataclass(frozen=True)
class Level:
    """A dashed line that dots are held against."""

    name: str
    value: float


@dataclass(frozen=True)
class DotChart:
    """A row a name, values to the right."""

    title: str
    rows: Sequence[Dots]
    level: Level | None = None


@dataclass(frozen=True)
class Scale:
    """From values to places, in pixels."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        low, high, here = (math.log(each) if self.is_log else each for each in (self.low, self.high, value))
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """A few round numbers from `low` to `high`."""
        if self.is_log:
            for factors in ((1,), (1, 3), (1, 2, 5)):
                exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
                found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
                found = [value for value in found if self.low <= value <= self.high]
                if len(found) >= 3:
                    return found[:: math.ceil(len(found) / 6)]
        step = round_step((self.high - self.low) / 6)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def round_step(wanted: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is at least `wanted`."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted * (1 - 1e-9))


LARGEST = 3.4e38  # float32


def scale_over(
    values: Sequence[float], start: float, end: float, may_be_log: bool = False, padding: float = 0.05
) -> Scale:
    """One that shows all values, with some room at both ends."""
    low, high = min(values), max(values)
    if may_be_log and low > 0 and high / low >= LOG_FROM:
        room = (high / low) ** padding
        return Scale(low / room, high * room, start, end, is_log=True)
    room = (high - low) * padding or abs(high) * padding or 1.0
    return Scale(low - room, high + room, start, end)


def tick_text(value: float) -> str:
    """'0.02', '35', '5,000', '20k', '3M'."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (letter == "M" and abs(value) >= size):
            return f"{value / size:g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def thinned(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most `limit` points: means of neighbours, in equal groups.

    What is no number, or one that no model computes, is left out.
    """
    finite = [point for point in points if all(abs(each) <= LARGEST for each in point)]
    size = math.ceil(len(finite) / limit) or 1
    groups = [finite[i : i + size] for i in range(0, len(finite), size)]
    return [
        (math.fsum(x for x, _ in group) / len(group), math.fsum(y for _, y in group) / len(group)) for group in groups
    ]


def draw(chart: LineChart | DotChart) -> str:
    """A <figure>; where there is nothing to show it says so."""
    kind, (title, drawing, legend) = (
        ("lines", _lines(chart)) if isinstance(chart, LineChart) else ("dots", _dots(chart))
    )
    return f'<figure class="chart {kind}"><figcaption>{escape(title)}</figcaption>{drawing}{legend}</figure>'


def _lines(chart: LineChart) -> tuple[str, str, str]:
    lines = [(line, thinned(line.points)) for line in chart.lines]
    lines = [(line, points) for line, points in lines if points]
    if not lines:
        return chart.title, '<p class="quiet">nothing logged</p>', ""
    x = scale_over([0.0, *(x for _, points in lines for x, _ in points)], LEFT, RIGHT, padding=0.02)
    y = scale_over([y for _, points in lines for _, y in points], BOTTOM, TOP, may_be_log=True)
    parts = [*_y_axis(y), *_x_axis(x, BOTTOM)]
    parts.append(f'<text class="axis" x="{RIGHT}" y="{BOTTOM + 29}" text-anchor="end">{escape(chart.x_title)}</text>')
    for line, points in lines:
        places = [(x.place(a), y.place(b)) for a, b in points]
        parts.append(
            f'<polyline class="{_colour(line)}"{_dash(line)} '
            f'points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in places)}"/>'
        )
        if len(points) <= MAX_DOTS:
            parts += [
                f'<circle class="{_colour(line)}" cx="{a:.1f}" cy="{b:.1f}" r="2.4"><title>{escape(line.name)}: '
                f"{value:.4g} at {at:,.0f}</title></circle>"
                for (a, b), (at, value) in zip(places, points, strict=True)
            ]
    title = f"{chart.title} (logarithmic)" if y.is_log else chart.title
    return title, _svg(chart.title, HEIGHT, parts), _legend([line for line, _ in lines])


def _dots(chart: DotChart) -> tuple[str, str, str]:
    if not chart.rows:
        return chart.title, '<p class="quiet">nothing measured</p>', ""
    halves = [0.0 if math.isnan(row.half_width) else row.half_width for row in chart.rows]
    ends = [
        end
        for row, half in zip(chart.rows, halves, strict=True)
        for end in (row.mean - half, row.mean + half, *row.values)
    ]
    x = scale_over([*ends, *([chart.level.value] if chart.level else [])], LEFT / 2, RIGHT, padding=0.03)
    bottom = TOP + ROW_HEIGHT * len(chart.rows) + 18 * bool(chart.level)
    parts = [*_x_axis(x, bottom, top=TOP)]
    if chart.level:
        place = x.place(chart.level.value)
        anchor = "end" if place > WIDTH / 2 else "start"
        parts.append(f'<line class="level" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{bottom}"/>')
        shift = -4 if anchor == "end" else 4
        words = f"{chart.level.name} {chart.level.value:.2f}"
        parts.append(
            f'<text class="axis" x="{place + shift:.1f}" y="{bottom - 5}" text-anchor="{anchor}">{escape(words)}</text>'
        )
    for number, (row, half) in enumerate(zip(chart.rows, halves, strict=True)):
        top = TOP + ROW_HEIGHT * number
        middle = top + 24
        mean = x.place(row.mean)
        words = f"{row.name}  {row.mean:.2f}" + (f" ± {half:.2f}" if half else "")
        parts.append(f'<text class="name" x="{LEFT / 2:.0f}" y="{top + 14}">{escape(words)}</text>')
        if half:
            low, high = x.place(row.mean - half), x.place(row.mean + half)
            parts.append(
                f'<line class="bar {_colour(row)}" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
            )
        parts += [
            f'<circle class="faint {_colour(row)}" cx="{x.place(value):.1f}" cy="{middle}" r="3">'
            f"<title>{value:.2f}</title></circle>"
            for value in row.values
        ]
        parts.append(
            f'<line class="bar {_colour(row)}" x1="{mean:.1f}" x2="{mean:.1f}" y1="{middle - 6}" y2="{middle + 6}"/>'
        )
    return chart.title, _svg(chart.title, bottom + 24, parts), ""


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _y_axis(scale: Scale) -> Iterator[str]:
    for tick in scale.ticks():
        place = scale.place(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
        yield f'<text class="axis" x="{LEFT - 6}" y="{place + 3.5:.1f}" text-anchor="end">{tick_text(tick)}</text>'


def _x_axis(scale: Scale, bottom: float, top: float | None = None) -> Iterator[str]:
    """Numbers below `bottom`; lines from there up to `top`, where it is given."""
    for tick in scale.ticks():
        place = scale.place(tick)
        up_to = bottom + 4 if top is None else top
        yield f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{bottom}" y2="{up_to}"/>'
        yield f'<text class="axis" x="{place:.1f}" y="{bottom + 15}" text-anchor="middle">{tick_text(tick)}</text>'


def _legend(lines: Sequence[Line]) -> str:
    """Nothing for a single name, which is the chart's."""
    entries = {line.name: line for line in lines}
    if len(entries) < 2:
        return ""
    items = [
        '<li><svg class="key" viewBox="0 0 18 8" aria-hidden="true">'
        f'<polyline class="{_colour(line)}"{_dash(line)} points="0,4 18,4"/></svg>'
        f"{escape(name)}</li>"
        for name, line in entries.items()
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _colour(shown: Line | Dots) -> str:
    return f"c{shown.colour % NUM_COLOURS}"


def _dash(line: Line) -> str:
    dash = DASHES[line.colour // NUM_COLOURS % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""
