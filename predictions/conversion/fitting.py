"""From a draft to a program of proven bounds: integers for all weights, a shift for each linear step.

Decides: how weights are rounded, and that the integers themselves are proven to fit, by intervals of what the
servers really compute. Refuses to know: torch modules and how rings are chosen (`rings`).
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from predictions import program as steps
from predictions.conversion.draft import Draft, Matrix
from predictions.conversion.intervals import Interval, carried, product
from predictions.conversion.rings import Fit, fit, limits_of
from predictions.errors import PredictionRange
from predictions.program import Program, Wire
from predictions.validity import headroom, sources
from predictions.weights import Weights

TRUNCATION: Final = (-2, 3)  # a truncated product is off by so many units at most, floor included
_MOST_WIDE: Final = 2.0**61
_MOST_WEIGHT: Final = 2.0**62
_ATTEMPTS: Final = 4


def fitted(draft: Draft, low: float, high: float) -> tuple[Program, tuple[Weights, ...]]:
    """Scales, rings, shifts and integers for a draft.

    Args:
        draft: the operations and their floats.
        low: smallest value of an input.
        high: the largest.

    Raises:
        PredictionRange: some layer cannot be proven to fit.
    """
    multiples = _multiples(draft)
    amounts = [interval.largest for interval in _amounts(draft, multiples, low, high)]
    if not all(math.isfinite(amount) and amount < _MOST_WIDE for amount in amounts):
        raise PredictionRange(
            "the values of this model have no useful bound; train with weight decay, or a narrower range"
        )
    for _ in range(_ATTEMPTS):
        attempt = _Integers(draft, multiples, fit(draft, amounts), low, high)
        if attempt.fits():
            return attempt.program, attempt.weights
        amounts = [max(pair) for pair in zip(amounts, attempt.amounts(), strict=True)]
    raise PredictionRange("rounding moves the bounds of this model too far; declare a narrower range")


def _multiples(draft: Draft) -> list[int]:
    """Of each wire by how much its integers are larger than fraction bits say: sums that stand for averages."""
    multiples = [1] * len(draft.places)
    for number, operation in enumerate(draft.operations):
        match operation:
            case steps.Linear() | steps.Convolution() | steps.LayerNorm():
                pass
            case steps.Add(left, _, target):
                multiples[target] = multiples[left]
            case _:
                multiples[operation.target] = multiples[operation.source] * draft.divisors.get(number, 1)
    return multiples


def _amounts(draft: Draft, multiples: list[int], low: float, high: float) -> list[Interval]:
    """The intervals of the integers at no fraction bits and no rounding."""
    start = torch.full(draft.places[0].shape, 1.0, dtype=torch.float64)
    found = {0: Interval(start * low, start * high)}
    for operation in draft.operations:
        if isinstance(operation, steps.Linear | steps.Convolution):
            layer = draft.matrices[operation.weights]
            scaled = Matrix(layer.matrix / multiples[operation.source], layer.bias)
            interval = product(operation, found[operation.source], scaled)
        else:
            interval = carried(operation, _read(operation, found), draft.places[operation.target].shape, 1.0)
        found[operation.target] = interval
    return [found[wire] for wire in range(len(draft.places))]


def _read(operation: steps.Operation, found: dict[int, Interval]) -> tuple[Interval, ...]:
    return tuple(found[source] for source in sources(operation))


@dataclass(frozen=True)
class _Rounded:
    """A linear step in integers; its interval lies behind the shift."""

    weights: Weights
    shift: int
    interval: Interval


class _Integers:
    """One attempt at given rings: the program, its weights, and whether they are proven to fit."""

    def __init__(self, draft: Draft, multiples: list[int], rings: Fit, low: float, high: float) -> None:
        self._draft, self._multiples, self._rings = draft, multiples, rings
        self._weights: list[Weights] = []
        self._found: dict[int, Interval] = {}
        unit = self._unit(0)
        start = torch.ones(draft.places[0].shape, dtype=torch.float64)
        self._found[0] = Interval(start * round(low * unit), start * round(high * unit))
        operations = tuple(self._step(operation) for operation in draft.operations)
        wires = tuple(self._wire(number) for number in range(len(draft.places)))
        self.program = Program(wires, operations, low, high)
        self.weights = tuple(self._weights)

    def fits(self) -> bool:
        """Whether every wire keeps the headroom that its readers need."""
        needs, limits = headroom(self._draft.operations, len(self._draft.places)), limits_of(self._draft)
        return all(
            self._found[wire].largest
            < min(limits[wire], _MOST_WIDE if bits == steps.WIDE else 2.0 ** (bits - needs[wire]))
            for wire, bits in enumerate(self._rings.bits)
        )

    def amounts(self) -> list[float]:
        """Of each wire the largest |integer|, over its fraction bits."""
        return [self._found[wire].largest / 2.0**bits for wire, bits in enumerate(self._rings.fraction)]

    def _unit(self, wire: int) -> float:
        return self._multiples[wire] * 2.0 ** self._rings.fraction[wire]

    def _wire(self, number: int) -> Wire:
        unit = self._unit(number)
        bound = self._found[number].largest / unit
        return Wire(self._draft.places[number].shape, self._rings.bits[number], unit, bound)

    def _step(self, operation: steps.Operation) -> steps.Operation:
        if not isinstance(operation, steps.Linear | steps.Convolution):
            shape, unit = self._draft.places[operation.target].shape, self._unit(operation.target)
            self._found[operation.target] = carried(operation, _read(operation, self._found), shape, unit)
            return operation
        rounded = self._rounded(operation)
        self._weights.append(rounded.weights)
        self._found[operation.target] = rounded.interval
        return replace(operation, shift=rounded.shift)

    def _rounded(self, operation: steps.Linear | steps.Convolution) -> _Rounded:
        """As many bits of the weights as the ring of the target leaves room for."""
        layer = self._draft.matrices[operation.weights]
        unit = self._unit(operation.target)
        shift = steps.WIDE - 1 - self._rings.bits[operation.target]
        largest = max(
            float(layer.matrix.abs().max()) / self._unit(operation.source), float(layer.bias.abs().max())
        )
        while shift > 0 and largest * unit * 2.0**shift >= _MOST_WEIGHT:
            shift -= 1
        step = unit * 2.0**shift
        integers = Matrix(
            (layer.matrix * (step / self._unit(operation.source))).round(), (layer.bias * step).round()
        )
        if max(float(integers.matrix.abs().max()), float(integers.bias.abs().max())) >= _MOST_WEIGHT:
            raise PredictionRange("a weight is too large for 64 bits; train with weight decay")
        product_of = product(operation, self._found[operation.source], integers)
        below, above = TRUNCATION
        interval = Interval(
            torch.floor(product_of.low / 2.0**shift) + below,
            torch.floor(product_of.high / 2.0**shift) + above,
        )
        weights = Weights(_int64(integers.matrix), _int64(integers.bias))
        return _Rounded(weights, shift, interval)


def _int64(values: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.ascontiguousarray(values.numpy().astype(np.int64))
