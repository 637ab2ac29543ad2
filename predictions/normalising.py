"""The arithmetic of `LayerNorm`: how 1 / sqrt(variance) comes out of powers of two and one table.

Decides, from the public wires alone: the sum of squares s is cut to v = (s + eps) / 2^cut, whose leading bit is found
by comparisons with powers of two; v times a power of two is w in [1, 2), whose leading bits index a table of tangents
of 1 / sqrt (one place beside the right one does no harm), and a root of a power of two takes the result back.
Refuses to know: who computes, and masks.

The result is `source / sqrt(mean(source^2) + epsilon)` up to a relative error of 2^-15, and up to what the cut leaves
of a small v: 2^-10 where v has twelve bits, which `smallest_deviation` says in the source's integers. It is never too
large by more than 2^-15: two units are added to v, so that truncation never makes it too small, and the bound of the
wire holds for every input.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from arithmetic.errors import ParameterError
from predictions.errors import PredictionRange
from predictions.program import LayerNorm, Wire
from predictions.ring import volume

UNIT_BITS: Final = 24  # w < 2^24
UNIT_RING: Final = 28
INDEX_BITS: Final = 10
INDEX_DROP: Final = UNIT_BITS - INDEX_BITS
ENTRIES: Final = 1 << INDEX_BITS
ROOT_DROP: Final = 26  # bits that a point of a tangent loses
ROOT_RING: Final = 20  # what is left is at most 2^18
_ROOT_BITS: Final = 18
_TWELVE: Final = 12
_SPARE_UNITS: Final = 2
_MOST_BITS: Final = 40
_MOST_SQUARES: Final = 61
_LEAST_FACTOR: Final = 1 << 10
_RING_STEP: Final = 4
_LEAST_RING: Final = 28

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Normalising:
    """What is fixed before any value is known.

    Args:
        count: values under the norm.
        epsilon: an integer, added to the sum of squares; holds the two units of v.
        cut: bits that the sum of squares loses.
        bits: ring of what is left, v < 2^(bits - 2).
        lowest: leading bit of the smallest v.
        shift: bits that the last product loses.
        narrow: ring of the normalised values before they are lifted.
        scale: of the target.
    """

    count: int
    epsilon: int
    cut: int
    bits: int
    lowest: int
    shift: int
    narrow: int
    scale: float

    @property
    def highest(self) -> int:
        """Leading bit of the largest v."""
        return self.bits - 3

    @property
    def drop(self) -> int:
        """Bits that v times its power of two loses to be w."""
        return self.highest + 1 - UNIT_BITS

    @cached_property
    def thresholds(self) -> Integers:
        """Powers of two that v is compared with, ascending."""
        return np.left_shift(1, np.arange(self.lowest + 1, self.highest + 1))

    @cached_property
    def powers(self) -> Integers:
        """What v is multiplied with, by leading bit from `lowest` on."""
        return np.left_shift(1, self.highest - np.arange(self.lowest, self.highest + 1))

    @cached_property
    def roots(self) -> Integers:
        """What a table's entry is multiplied with, by leading bit from `lowest` on; all else is folded in."""
        leading = np.arange(self.lowest, self.highest + 1)
        unit = self.scale * math.sqrt(self.count) * 2.0 ** (self.shift - _ROOT_BITS)
        return np.rint(unit * 2.0 ** (-(leading + self.cut) / 2)).astype(np.int64)

    @property
    def smallest_deviation(self) -> float:
        """Root mean square of the source, in its integers, from which on v has twelve bits."""
        return math.sqrt((1 << (self.cut + _TWELVE - 1)) / self.count)


@cache
def tangents() -> npt.NDArray[np.uint64]:
    """Height and slope of tangents of `1 / sqrt(w / 2^23)` by index, times 2^44, shape (2, entries).

    An index is that of w or one above; those from 2^10 on have wrapped.
    """
    index = np.arange(ENTRIES)
    index[index < ENTRIES // 4] += ENTRIES
    touched = index.clip(min=ENTRIES // 2 - 1) * 2.0**INDEX_DROP
    root = 2.0 ** (_ROOT_BITS + ROOT_DROP) * np.sqrt(2.0 ** (UNIT_BITS - 1) / touched)
    both = np.stack([1.5 * root, -0.5 * root / touched])
    return np.rint(both).astype(np.int64).view(np.uint64)


def normalising(operation: LayerNorm, source: Wire, target: Wire) -> Normalising:
    """The plan of one operation.

    Args:
        operation: its epsilon is that of values.
        source: centred, in a small ring.
        target: its scale is that of the result.

    Raises:
        PredictionRange: the values may be so large that their squares do not fit.
        ParameterError: a target whose scale leaves no room.
    """
    count = volume(source.shape)
    epsilon = max(1, round(operation.epsilon * count * source.scale**2))
    largest = count * math.ceil(source.bound * source.scale) ** 2 + epsilon
    if largest.bit_length() > _MOST_SQUARES:
        raise PredictionRange(
            f"values up to {source.bound:.3g} under a LayerNorm of {count} are too large to be squared in 64 bits; "
            "declare a narrower range"
        )
    cut = max(0, largest.bit_length() - (_MOST_BITS - 3))
    epsilon += _SPARE_UNITS << cut
    needed = ((largest >> cut) + 2 * _SPARE_UNITS).bit_length() + 2
    bits = max(_LEAST_RING, needed + -needed % _RING_STEP)
    highest = bits - 3
    reach = math.ceil(math.log2(target.bound * target.scale)) + 3
    narrow = reach + -reach % _RING_STEP
    shift = min(60 - reach, 63 - narrow)
    plan = Normalising(
        count, epsilon, cut, bits, max(0, (epsilon >> cut).bit_length() - 2), shift, narrow, target.scale
    )
    if int(plan.roots[highest - plan.lowest]) < _LEAST_FACTOR or int(plan.roots[0]) >= 1 << 44:
        raise ParameterError(
            "the scales around a LayerNorm leave no room for its root; convert the model again"
        )
    return plan


def plain(plan: Normalising, source: Integers) -> Integers:
    """What the servers compute, without masks and with every truncation downwards.

    Args:
        plan: of the operation.
        source: integers of the source, (rows, ...).
    """
    flat = source.reshape(len(source), -1)
    cut = (np.square(flat).sum(1) + plan.epsilon) >> plan.cut
    chosen = (cut[:, np.newaxis] >= plan.thresholds).sum(1)
    unit = (cut * plan.powers[chosen]) >> plan.drop
    height, slope = tangents().view(np.int64)[:, (unit >> INDEX_DROP) % ENTRIES]
    root = ((height + slope * unit) >> ROOT_DROP) * plan.roots[chosen]
    result: Integers = (flat * root[:, np.newaxis]) >> plan.shift
    return result.reshape(source.shape)
