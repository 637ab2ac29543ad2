"""A cost against a size, and the power law it grows by: cost = factor * size^exponent.

Decides: which points the law is fitted to: the upper half of the sizes, where fixed costs no longer count.
Refuses to know: what costs, and how it was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

_LEAST_POINTS = 3


@dataclass(frozen=True)
class Fit:
    """A straight line on log-log paper.

    Attributes:
        exponent: its slope.
        factor: the cost at size 1, > 0.
        start: the smallest size it was fitted to.
    """

    exponent: float
    factor: float
    start: float

    def at(self, size: float) -> float:
        """The cost that the law gives."""
        return float(self.factor * size**self.exponent)


@dataclass(frozen=True)
class Curve:
    """One cost, measured at several sizes.

    Attributes:
        what: costs: "client", "server", "bytes of a client".
        axis: of what the sizes are: "n" clients, "d" parameters.
        unit: of the costs.
        sizes: ascending, at least 3, > 0.
        costs: one for each size, > 0.
    """

    what: str
    axis: str
    unit: str
    sizes: Sequence[float]
    costs: Sequence[float]

    @cached_property
    def fit(self) -> Fit:
        """Least squares of log cost on log size over the upper half of the sizes, at least 3 of them."""
        upper = max(_LEAST_POINTS, (len(self.sizes) + 1) // 2)
        sizes, costs = self.sizes[-upper:], self.costs[-upper:]
        exponent, intercept = np.polyfit(np.log(sizes), np.log(costs), 1)
        return Fit(float(exponent), float(np.exp(intercept)), sizes[0])
