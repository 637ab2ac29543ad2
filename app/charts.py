"""A curve in a few lines of text, out of eighths of a block.

Decides: scaling, and which values stand for many. Refuses to know what is drawn, and colours.
"""

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_FULL: Final = 8


def curve(values: Sequence[float], width: int, height: int) -> list[str]:
    """Bars from the lowest to the highest value, newest at the right.

    Args:
        values: finite numbers; none gives empty lines.
        width: columns; more values than that are thinned out evenly, the last one stays.
        height: lines, at least 1.

    Returns:
        `height` lines, the highest first, of the same length.
    """
    shown = _thinned(values, width)
    if not shown:
        return [""] * height
    low, high = min(shown), max(shown)
    most = height * _FULL - 1
    # The lowest is one eighth, so that every value is seen; a flat curve runs through the middle.
    scaled = [1 + round((value - low) / (high - low) * most) if high > low else most // 2 for value in shown]
    return ["".join(_cell(level - line * _FULL) for level in scaled) for line in reversed(range(height))]


def stretched(values: Sequence[float], columns: int) -> list[float]:
    """One value a column, each several times or some not at all; the last one always."""
    if not values:
        return []
    columns = max(columns, 1)
    return [*(values[at * len(values) // columns] for at in range(columns - 1)), values[-1]]


def bar(part: float, width: int) -> str:
    """A horizontal bar filled to `part`, 0..1."""
    full = round(min(max(part, 0.0), 1.0) * width)
    return "━" * full + "─" * (width - full)


def _cell(level: int) -> str:
    return _EIGHTHS[min(max(level, 0), _FULL)]


def _thinned(values: Sequence[float], width: int) -> list[float]:
    if len(values) <= width:
        return list(values)
    last = len(values) - 1
    return [values[round(at * last / (width - 1))] for at in range(width)] if width > 1 else [values[-1]]
