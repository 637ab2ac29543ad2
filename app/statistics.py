"""From a statistic to sums over rows and back.

Decides: which sums a statistic needs, in as many sessions as it takes (a search for quantiles needs several), and what
is too small to be told: an answer of fewer rows than `min-count`, or one that would tell of so few by what is left.
Every statistic is a generator that yields the sums it wants next and is sent what they came to.
Refuses to know: Flower, sessions, groups of rows (`app.survey`), how sums are masked, and how answers are shown.

Sums are exact, so that a variance needs no second pass: n * sum(x^2) - sum(x)^2 is taken in whole numbers.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from app.query import (
    Correlation,
    Count,
    Histogram,
    OfColumn,
    Quantiles,
    Share,
    WeightedMean,
)
from wire.questions import Bounds, Condition, Relation, Summand

Value = Fraction | float
Sums = Mapping[Summand, Value]
Layer = list[Summand]  # of sums of which a row is in one at most
Asking = Generator[
    list[Layer], Sums, "list[Answer]"
]  # each layer is of sums; the answers lack name and group

TOLERANCE: Final = 2.0**-21  # of a quantile, relative to it
_FLOOR: Final = 2.0**-42  # ... or to the range of its column, where it is next to nothing
NOISY: Final = ("count", "sum", "mean", "share-above", "share-below", "histogram")


@dataclass(frozen=True)
class Answer:
    """One number that was asked for.

    Attributes:
        name: of the statistic; `kind`, `column`: what it is of.
        group: the category; None without groups.
        part: which bin or quantile; empty for the only one.
        value: None where it is suppressed, or where there is no such number.
        suppressed: of too few rows.
        clamped: values outside the declared bounds; None: not counted, or too few to be told.
        low, high: edges of a bin.
    """

    name: str = ""
    kind: str = ""
    column: str = ""
    group: str | float | None = None
    part: str = ""
    value: int | float | None = None
    suppressed: bool = False
    clamped: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Rows:
    """The rows of one statistic and group, and what may be told of them.

    Attributes:
        where: what they meet.
        min_count: fewer are too few to be told of.
        noisy: sums of them come with noise.
    """

    where: tuple[Condition, ...]
    min_count: int
    noisy: bool

    def count(self, *more: Condition) -> Summand:
        """How many of them meet more."""
        return Summand(where=(*self.where, *more))

    def total(self, *columns: str) -> Summand:
        """The sum of a column, or of a product of two."""
        return Summand(of=columns, where=self.where)

    def few(self, *counts: Value) -> bool:
        """Whether any of these is below `min-count`."""
        return any(count < self.min_count for count in counts)

    def outside(self, bounds: Mapping[str, Bounds], columns: Sequence[str]) -> Layer:
        """Counts of values beyond their bounds; not with noise, which they would cost more of."""
        if self.noisy:
            return []
        below = [self.count(Condition(column=c, relation="<", value=bounds[c].low)) for c in columns]
        above = [self.count(Condition(column=c, relation=">", value=bounds[c].high)) for c in columns]
        return [*below, *above]

    def clamped(self, outside: Layer, found: Sums) -> int | None:
        """How many values were clamped; None where they are not counted, or too few to be told."""
        total = int(sum(found[each] for each in outside))
        return total if outside and (total == 0 or not self.few(total)) else None


Group = str | float | None
Columns = Mapping[str, Bounds]


def _count(asked: Count, rows: Rows, columns: Columns) -> Asking:
    count = rows.count()
    found = yield [[count]]
    return [Answer(suppressed=True) if rows.few(found[count]) else Answer(value=_plain(found[count]))]


def _of_column(asked: OfColumn, rows: Rows, columns: Columns) -> Asking:
    count, total, square = rows.count(), rows.total(asked.column), rows.total(asked.column, asked.column)
    outside = rows.outside(columns, [asked.column])
    found = yield [[count], [total], *([[square]] if asked.kind == "variance" else []), outside]
    n = found[count]
    if rows.few(n):
        return [Answer(suppressed=True)]
    if asked.kind == "sum":
        value: Value | None = found[total]
    elif asked.kind == "mean":
        value = _over(found[total], n)
    else:
        value = _over(n * found[square] - found[total] ** 2, n * (n - 1))
    return [Answer(value=_real(value), clamped=rows.clamped(outside, found))]


def _weighted_mean(asked: WeightedMean, rows: Rows, columns: Columns) -> Asking:
    count, weights = rows.count(), rows.total(asked.weights)
    weighted = rows.total(asked.weights, asked.column)
    outside = rows.outside(columns, [asked.column, asked.weights])
    found = yield [[count], [weights], [weighted], outside]
    if rows.few(found[count]):
        return [Answer(suppressed=True)]
    value = _over(found[weighted], found[weights])
    return [Answer(value=_real(value), clamped=rows.clamped(outside, found))]


def _share(asked: Share, rows: Rows, columns: Columns) -> Asking:
    relation: Relation = ">" if asked.kind == "share-above" else "<"
    part = rows.count(Condition(column=asked.column, relation=relation, value=asked.threshold))
    count = rows.count()
    found = yield [[count], [part]]
    if rows.few(found[part], found[count] - found[part]):
        return [Answer(suppressed=True)]
    return [Answer(value=_real(_over(found[part], found[count])))]


def _histogram(asked: Histogram, rows: Rows, columns: Columns) -> Asking:
    edges = list(pairwise(asked.edges))
    bins = [
        rows.count(*_within(asked.column, low, high, at == len(edges) - 1))
        for at, (low, high) in enumerate(edges)
    ]
    found = yield [bins]
    return [
        Answer(part=f"{low:g} to {high:g}", low=low, high=high, suppressed=rows.few(found[each]),
               value=None if rows.few(found[each]) else _plain(found[each]))
        for each, (low, high) in zip(bins, edges, strict=True)
    ]  # fmt: skip


def _within(column: str, low: float, high: float, last: bool) -> tuple[Condition, Condition]:
    upper: Relation = "<=" if last else "<"
    return (
        Condition(column=column, relation=">=", value=low),
        Condition(column=column, relation=upper, value=high),
    )


def _quantiles(asked: Quantiles, rows: Rows, columns: Columns) -> Asking:
    """All of them side by side; in every session n is counted anew, so that a client that left is left out of both."""
    bounds, count = columns[asked.column], rows.count()
    searches = {q: Search(bounds.low, bounds.high, asked.splits) for q in asked.quantiles}
    small: set[float] = set()
    while any(not each.done for each in searches.values()):
        asks = {
            t: rows.count(Condition(column=asked.column, relation="<=", value=t))
            for each in searches.values() for t in each.thresholds
        }  # fmt: skip
        found = yield [[count], list(asks.values())]
        n = found[count]
        for q, search in searches.items():
            rank = math.ceil(Fraction(repr(q)) * Fraction(n))
            if rows.few(rank, n - rank):
                small.add(q)
                search.done = True
            elif not search.done:
                search.narrow({t: found[asks[t]] >= rank for t in search.thresholds})
    return [
        Answer(part=f"{q:g}", suppressed=q in small, value=None if q in small else search.value)
        for q, search in searches.items()
    ]


class Search:
    """A quantile's bracket: it is above `low` and at most `high`, once it is known to be above the lower bound.

    Attributes:
        thresholds: what the next session counts the rows up to.
        done: the bracket is within `TOLERANCE`.
    """

    def __init__(self, low: float, high: float, splits: int) -> None:
        self._low, self._high, self._splits = low, high, splits
        self._floor = (high - low) * _FLOOR
        self.done = False
        self.thresholds = [low, *self._between()]

    @property
    def value(self) -> float:
        """The middle of the bracket."""
        return self._low + (self._high - self._low) / 2

    def narrow(self, reached: Mapping[float, bool]) -> None:
        """Take for each threshold whether it has the quantile at or below it."""
        above = [t for t in self.thresholds if reached[t]]
        if reached.get(self._low, False):
            self._high = self._low  # at the lower bound, or clamped to it
        else:
            self._high = min([self._high, *above])
            self._low = max([self._low, *(t for t in self.thresholds if t < self._high)])
        self.thresholds = self._between()
        width = self._high - self._low
        near = width <= max(TOLERANCE * min(abs(self._low), abs(self._high)), self._floor)
        self.done = near or not self.thresholds

    def _between(self) -> list[float]:
        width = self._high - self._low
        steps = (self._low + width * at / (self._splits + 1) for at in range(1, self._splits + 1))
        return sorted({t for t in steps if self._low < t < self._high})


def _correlation(asked: Correlation, rows: Rows, columns: Columns) -> Asking:
    one, other = asked.column, asked.other
    count, outside = rows.count(), rows.outside(columns, [one, other])
    x, y, xx, yy, xy = (
        rows.total(*each) for each in ((one,), (other,), (one, one), (other, other), (one, other))
    )
    found = yield [[count], [x], [y], [xx], [yy], [xy], outside]
    n = found[count]
    if rows.few(n):
        return [Answer(suppressed=True)]
    spread = (n * found[xx] - found[x] ** 2, n * found[yy] - found[y] ** 2)
    value = None
    if min(spread) > 0:
        value = float(n * found[xy] - found[x] * found[y]) / math.sqrt(spread[0]) / math.sqrt(spread[1])
    return [Answer(value=value, clamped=rows.clamped(outside, found))]


def _over(part: Value, whole: Value) -> Value | None:
    """A quotient; None where there is none."""
    return part / whole if whole > 0 else None


def _plain(count: Value) -> int | float:
    """A count: whole where it is exact."""
    return int(count) if isinstance(count, Fraction) else count


def _real(value: Value | None) -> float | None:
    return None if value is None else float(value)


KINDS: Final[Mapping[str, Callable[..., Asking]]] = {
    "count": _count,
    "sum": _of_column,
    "mean": _of_column,
    "variance": _of_column,
    "weighted-mean": _weighted_mean,
    "share-above": _share,
    "share-below": _share,
    "histogram": _histogram,
    "quantiles": _quantiles,
    "correlation": _correlation,
}
