"""Small pictures as inline SVG: lines, stacked columns, bars and histograms.

Decides: how they look. Colours are those of the page that they stand in, so that they are dark where it is; markers and
dashes say the same again for whoever does not tell colours apart, and a sentence says it for whoever does not see.
Refuses to know what is drawn.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from app.report import axes
from app.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis

Point = tuple[float, float]

_MOST: Final = 400


@dataclass(frozen=True)
class Series:
    """One curve, or one colour of columns.

    Attributes:
        label: for the legend.
        points: (x, y), ascending in x.
    """

    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Picture:
    """A drawing with what stands around it.

    Attributes:
        title: a heading.
        svg: the drawing.
        legend: labels in the order of their colours; empty where there is nothing to tell apart.
        note: a sentence below.
    """

    title: str
    svg: Markup
    legend: tuple[str, ...] = ()
    note: str = ""


def lines(
    series: Sequence[Series],
    says: str,
    *,
    x: str,
    y: str,
    floor: float | None = None,
    target: float | None = None,
) -> Markup:
    """Curves over whole numbers such as server rounds.

    Args:
        series: at least one point in all.
        says: what a person who does not see the picture is told.
        x: name of the horizontal axis.
        y: of the vertical one.
        floor: where the vertical axis begins at the latest.
        target: a level to be drawn across, such as a budget.
    """
    xs = [at for each in series for at, _ in each.points]
    ys = [value for each in series for _, value in each.points]
    ys += [] if target is None else [target]
    across, up = axes.horizontal(min(xs), max(xs), whole=True), axes.vertical(ys, floor)
    parts = [_frame(across, up, x, y)]
    if target is not None:
        level = up.at(target)
        parts.append(
            f'<line class="target" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>'
        )
    for number, each in enumerate(series):
        parts.append(_curve(number, [(across.at(at), up.at(value)) for at, value in each.points]))
    return _svg(says, parts)


def columns(series: Sequence[Series], says: str, *, x: str, y: str, step: float = 1.0) -> Markup:
    """Stacked columns over whole numbers; each series is one colour, from the bottom.

    Args:
        series: of the same x, at least one.
        says: as for `lines`.
        x: name of the horizontal axis.
        y: of the vertical one.
        step: from one column to the next.
    """
    places = [at for at, _ in series[0].points]
    heights = [sum(each.points[at][1] for each in series) for at in range(len(places))]
    low, high = min(places) - step / 2, max(places) + step / 2
    across = axes.horizontal(low, high, whole=True)
    up = axes.vertical([*heights, 1.0], 0.0, whole=True)
    width = max((across.at(low + step) - across.at(low)) * 0.72, 0.8)
    parts = [_frame(across, up, x, y)]
    for at, place in enumerate(places):
        base = 0.0
        for number, each in enumerate(series):
            top = base + each.points[at][1]
            if top > base:
                box = (across.at(place) - width / 2, up.at(top), width, up.at(base) - up.at(top))
                parts.append(_box(f"f{number}", *box))
            base = top
    return _svg(says, parts)


def bars(
    labels: Sequence[str], groups: Sequence[Series], shown: Sequence[Sequence[str]], says: str
) -> Markup:
    """Horizontal bars, a group a label, each with its number at its end.

    Args:
        labels: from the top.
        groups: a colour each; the y of its points, one a label, are the lengths.
        shown: for each group the numbers as they are written.
        says: as for `lines`.
    """
    left, right, gap = 148.0, 84.0, 12.0
    high = max((value for group in groups for _, value in group.points), default=0.0) or 1.0
    each, thick = (HEIGHT - 2 * gap) / max(len(labels), 1), 15.0
    parts = []
    for at, label in enumerate(labels):
        middle = gap + each * (at + 0.5)
        parts.append(
            f'<text class="name" x="{left - 10}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(label)}</text>'
        )
        for number, group in enumerate(groups):
            top = middle + (number - len(groups) / 2) * (thick + 2)
            length = group.points[at][1] / high * (WIDTH - left - right)
            parts.append(_box(f"f{number}", left, top, max(length, 1.0), thick))
            told = escape(shown[number][at])
            parts.append(f'<text x="{left + length + 6:.1f}" y="{top + thick - 3:.1f}">{told}</text>')
    return _svg(says, parts)


def histogram(
    counts: Sequence[int], low: float, high: float, says: str, *, x: str, colour: int = 0
) -> Markup:
    """Counts of equal bins from `low` to `high`.

    Args:
        counts: one a bin.
        low: the outer edge at the left.
        high: at the right.
        says: as for `lines`.
        x: name of the horizontal axis.
        colour: number of the page's colour.
    """
    across, up = axes.horizontal(low, high), axes.vertical([*map(float, counts), 1.0], 0.0, whole=True)
    edges = [across.at(low + (high - low) * at / len(counts)) for at in range(len(counts) + 1)]
    parts = [_frame(across, up, x, "weights")]
    for at, count in enumerate(counts):
        if count:
            box = (edges[at], up.at(count), edges[at + 1] - edges[at] - 0.6, up.at(0) - up.at(count))
            parts.append(_box(f"f{colour}", *box))
    return _svg(says, parts)


def finite(points: Iterable[tuple[float, float | None]]) -> tuple[Point, ...]:
    """Those that can be drawn."""
    return tuple((at, value) for at, value in points if value is not None and math.isfinite(value))


def _curve(number: int, points: Sequence[Point]) -> str:
    points = _thinned(points)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn = f'<polyline class="l{number}" points="{path}"/>' if len(points) > 1 else ""
    few = points if len(points) <= 40 else points[-1:]
    return drawn + "".join(_marker(number, x, y) for x, y in few)


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """More points than a curve has pixels are thinned out evenly; the first and the last stay."""
    if len(points) <= _MOST:
        return points
    last = len(points) - 1
    return [points[round(at * last / (_MOST - 1))] for at in range(_MOST)]


def _marker(number: int, x: float, y: float) -> str:
    if number % 4 == 0:
        return f'<circle class="f{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>'
    if number % 4 == 1:
        return _box(f"f{number}", x - 3.1, y - 3.1, 6.2, 6.2)
    if number % 4 == 2:
        return f'<path class="f{number}" d="M{x:.1f} {y - 4.2:.1f} l4.2 4.2 -4.2 4.2 -4.2 -4.2z"/>'
    return f'<path class="f{number}" d="M{x:.1f} {y - 4:.1f} l4 7 h-8z"/>'


def _box(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _frame(across: Axis, up: Axis, x: str, y: str) -> str:
    """Grid, ticks and the names of the axes."""
    parts = []
    for tick in up.ticks:
        level = up.at(tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>'
        )
        told = axes.written(tick, up.ticks)
        parts.append(f'<text x="{LEFT - 7}" y="{level + 4:.1f}" text-anchor="end">{told}</text>')
    for tick in across.ticks:
        told = axes.written(tick, across.ticks)
        parts.append(
            f'<text x="{across.at(tick):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{told}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x)}</text>')
    height = (TOP + HEIGHT - BOTTOM) / 2
    turn = f'transform="rotate(-90 12 {height})"'
    parts.append(f'<text class="axis" x="12" y="{height}" text-anchor="middle" {turn}>{escape(y)}</text>')
    return "".join(parts)


def _svg(says: str, parts: Iterable[str]) -> Markup:
    told = escape(says)
    head = f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{told}"><title>{told}</title>'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - every text in it was escaped
