"""Which wires share a ring or a scale, and which ring and scale the proven bounds allow.

Decides: L (8 to 40 bits in steps of four) of each class of wires in one small ring, and the fraction bits of each
group of wires of one scale: as many as give the smallest rings, within limits. Refuses to know: weights.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from predictions import program as steps
from predictions.conversion.draft import Draft
from predictions.errors import PredictionRange
from predictions.validity import SMALL_RINGS, headroom, most_normalised

MOST_FRACTION_BITS: Final = 16
GOOD_FRACTION_BITS: Final = 14  # down to here bits are given up for a smaller, faster ring
LEAST_FRACTION_BITS: Final = 10  # and down to here for a ring of 40 bits at all

Demand = tuple[
    float, int, float
]  # of a wire: the largest amount, its headroom, and below which its integers stay

_SLACK_UNITS: Final = 8  # rounding of inputs, weights and truncation, before the integers are known


@dataclass(frozen=True)
class Fit:
    """Of each wire: the ring's bits and the fraction bits."""

    bits: tuple[int, ...]
    fraction: tuple[int, ...]


def fit(draft: Draft, amounts: list[float]) -> Fit:
    """Rings and fraction bits for proven bounds.

    Args:
        draft: the operations.
        amounts: of each wire the largest |integer| at no fraction bits.

    Raises:
        PredictionRange: a layer needs more than 40 bits at the least precision.
    """
    needs, small = headroom(draft.operations, len(draft.places)), [place.small for place in draft.places]
    limits = limits_of(draft)
    bits, fraction = [steps.WIDE] * len(small), [0] * len(small)
    rings = [ring for ring in _groups(len(small), _same_ring(draft)) if small[ring[0]]]
    for group in _groups(len(small), _same_scale(draft)):
        within = [ring for ring in rings if ring[0] in group]
        demands = [[(amounts[wire], needs[wire], limits[wire]) for wire in ring] for ring in within]
        chosen = _fraction_bits(demands)
        if chosen is None:
            raise _refusal(draft, amounts, [wire for ring in within for wire in ring])
        for wire in group:
            fraction[wire] = chosen
        for ring, demand in zip(within, demands, strict=True):
            for wire in ring:
                bits[wire] = _ring(demand, chosen)
    return Fit(tuple(bits), tuple(fraction))


def _fraction_bits(rings: list[list[Demand]]) -> int | None:
    """The most fraction bits among those of the smallest rings; fewer only where nothing else fits."""
    good = range(MOST_FRACTION_BITS, GOOD_FRACTION_BITS - 1, -1)
    fitting = [bits for bits in good if all(_ring(ring, bits) <= SMALL_RINGS[-1] for ring in rings)]
    if fitting:
        return min(fitting, key=lambda bits: sum(_ring(ring, bits) for ring in rings))  # the first of equals
    fewer = range(GOOD_FRACTION_BITS - 1, LEAST_FRACTION_BITS - 1, -1)
    return next((bits for bits in fewer if all(_ring(ring, bits) <= SMALL_RINGS[-1] for ring in rings)), None)


def _ring(demands: list[Demand], fraction: int) -> int:
    """The bits of the smallest ring that holds all, in steps of four; may be more than there are."""
    needed = SMALL_RINGS[0]
    for amount, headroom_bits, limit in demands:
        integer = math.ceil(amount * 2.0**fraction * (1 + 2.0**-10)) + _SLACK_UNITS
        needed = max(needed, steps.WIDE if integer >= limit else integer.bit_length() + headroom_bits)
    return -(-needed // 4) * 4


def limits_of(draft: Draft) -> list[float]:
    """Of each wire below what its integers stay, whatever their ring: a LayerNorm sums their squares in 2^64."""
    limits = [2.0**steps.WIDE] * len(draft.places)
    for operation in draft.operations:
        if isinstance(operation, steps.LayerNorm):
            limits[operation.source] = most_normalised(draft.places[operation.source].shape)
    return limits


def _same_scale(draft: Draft) -> Iterable[tuple[int, int]]:
    """Wires of one fraction: all that an operation without weights joins."""
    for operation in draft.operations:
        match operation:
            case steps.Linear() | steps.Convolution() | steps.LayerNorm():
                pass
            case steps.Add(left, right, target):
                yield from ((left, target), (right, target))
            case _:
                yield operation.source, operation.target


def _same_ring(draft: Draft) -> Iterable[tuple[int, int]]:
    for operation in draft.operations:
        match operation:
            case steps.Add(left, right, target):
                yield from ((left, target), (right, target))
            case steps.MaxPool() | steps.SumPool() | steps.Reshape():
                yield operation.source, operation.target


def _groups(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected parts of a graph."""
    part = list(range(count))
    for one, other in pairs:
        old, new = part[one], part[other]
        part = [new if each == old else each for each in part]
    return [[wire for wire in range(count) if part[wire] == each] for each in sorted(set(part))]


def _refusal(draft: Draft, amounts: list[float], wires: list[int]) -> PredictionRange:
    worst = max(wires, key=lambda wire: amounts[wire])
    name = next(
        name
        for operation, name in zip(draft.operations, draft.names, strict=True)
        if operation.target == worst
    )
    return PredictionRange(
        f"layer {name!r} may reach {amounts[worst]:.3g} for some input of the declared range, which does not fit "
        f"{SMALL_RINGS[-1]} bits at {LEAST_FRACTION_BITS} fraction bits; declare a narrower range, train with "
        "weight decay, or put a LayerNorm before it"
    )
