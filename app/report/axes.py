"""Where things stand in a small picture: round numbers on its axes, and points between them.

Decides: which numbers stand at an axis, and how they are written. Refuses to know what is drawn, and HTML.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

WIDTH: Final = 460.0
HEIGHT: Final = 250.0
LEFT: Final = 58.0
RIGHT: Final = 12.0
TOP: Final = 12.0
BOTTOM: Final = 40.0
_MINUS: Final = "\N{MINUS SIGN}"
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_PREFIXES: Final = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))  # from, divisor, letter


@dataclass(frozen=True)
class Axis:
    """A linear axis; numbers `low` to `high` lie from `start` to `end` in the picture's own units."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Where a number lies, in the picture's units."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def horizontal(low: float, high: float, whole: bool = False) -> Axis:
    """The axis at the bottom, from the lowest to the highest number.

    Args:
        low: the left end.
        high: the right one, raised where the two are the same.
        whole: whether the numbers are counts, so that no tick lies between two of them.
    """
    high = high if high > low else low + 1.0
    ticks = _ticks(low, high, 6, 1.0 if whole else 0.0)
    return Axis(low, high, LEFT, WIDTH - RIGHT, ticks)


def vertical(values: Sequence[float], floor: float | None = None, whole: bool = False) -> Axis:
    """The axis at the left, with room for all values; it ends at round numbers.

    Args:
        values: finite, at least one.
        floor: a number that the axis reaches down to whatever the values are.
        whole: whether the numbers are counts.
    """
    low = min(*values, floor) if floor is not None else min(values)
    high = max(*values, low)
    if high - low <= abs(high) * 1e-9:
        spread = abs(high) * 0.1 or 1.0
        low, high = (low if low == floor else low - spread), high + spread
    ticks = _ticks(low, high, 5, 1.0 if whole else 0.0)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(low, high, HEIGHT - BOTTOM, TOP, _ticks(low, high, 5, 1.0 if whole else 0.0))


def written(value: float, among: Sequence[float]) -> str:
    """A tick's number, with as many decimals as its neighbours need and a prefix where they are large."""
    largest = max(abs(each) for each in among)
    for least, size, prefix in _PREFIXES:
        if value and largest >= least:
            return f"{value / size:g}{prefix}".replace("-", _MINUS)
    gap = min((abs(b - a) for a, b in pairwise(among)), default=1.0)
    decimals = 0 if gap <= 0 else max(0, math.ceil(-math.log10(gap) - 1e-9))
    if decimals and round(gap, decimals) != round(gap, 9):
        decimals += 1
    return f"{value:.{min(decimals, 6)}f}".replace("-", _MINUS)


def _ticks(low: float, high: float, most: int, least_step: float) -> tuple[float, ...]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten within the range, at most `most` + 1 of them."""
    rough = max((high - low) / most, least_step, 1e-300)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in _STEPS if power * each >= rough * (1 - 1e-9))
    if least_step:
        step = float(max(round(step), 1))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(step * number for number in range(first, last + 1))
