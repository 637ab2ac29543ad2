"""Tails of the hypergeometric law, exact up to rounding.

Decides: how to sum a tail so that 2^-149 is as accurate as one half.
Refuses to know: what is drawn, and what a small probability is good for (`secagg.bounds`).

X is the number of marked items among `drawn` items taken without replacement from `population` items, of
which `marked` are marked. Neighbouring probabilities have the closed ratio
P[X = x + 1] / P[X = x] = (marked - x)(drawn - x) / ((x + 1)(population - marked - drawn + x + 1)),
so a tail is a sum of products of ratios over the same sum on the whole support: no factorial of the
population appears, and nothing cancels. Relative error below 1e-9 for populations up to 2^20.
"""

import math

import numpy as np
from numpy.typing import NDArray

# Mass that may be left outside the window, relative to the smallest probability of interest.
_SLACK_BITS = 40


def tail_below(population: int, marked: int, drawn: int, value: int) -> float:
    """P[X < value], in [0, 1].

    Args:
        population: items, >= 1.
        marked: marked items, 0..population.
        drawn: items drawn, 0..population.
        value: any whole number.
    """
    least, cumulative = _cumulative(population, marked, drawn, math.inf)
    if value <= least:
        return 0.0
    return float(cumulative[min(value - least, len(cumulative)) - 1])


def most_guaranteed(population: int, marked: int, drawn: int, probability: float) -> int:
    """The largest v in 0..drawn with P[X < v] < probability: "at least v, save with that probability".

    Args:
        population: items, >= 1.
        marked: marked items, 0..population.
        drawn: items drawn, 0..population.
        probability: in (0, 1).
    """
    reach = math.sqrt(drawn * (_SLACK_BITS * math.log(2) - math.log(probability)) / 2)
    least, cumulative = _cumulative(population, marked, drawn, reach)
    return least + int(np.searchsorted(cumulative, probability, side="left"))


def least_excluded(population: int, marked: int, drawn: int, probability: float) -> int:
    """The smallest v in 0..drawn + 1 with P[X >= v] < probability: "never v, save with that probability".

    X marked items are `drawn - X` unmarked ones, so this is `most_guaranteed` seen from the other side.
    """
    return drawn + 1 - most_guaranteed(population, population - marked, drawn, probability)


def _cumulative(population: int, marked: int, drawn: int, reach: float) -> tuple[int, NDArray[np.float64]]:
    """A value v and P[X <= v], P[X <= v + 1], ... up to 1.

    Values further than `reach` from the mean are left out. Hoeffding (JASA 1963, theorem 4: his bound
    holds without replacement) gives them at most exp(-2 reach^2 / drawn) on each side.
    """
    mean = drawn * marked / population
    least = max(0, drawn + marked - population, math.floor(mean - reach) if reach < mean else 0)
    most = min(drawn, marked, math.ceil(mean + reach) if reach < drawn else drawn)
    x = np.arange(least, most, dtype=np.float64)
    up = (marked - x) * (drawn - x)
    down = (x + 1) * (population - marked - drawn + x + 1)
    logarithms = np.concatenate(([0.0], np.cumsum(np.log(up / down))))
    masses = np.exp(logarithms - logarithms.max())
    cumulative = np.cumsum(masses)
    return least, cumulative / cumulative[-1]
