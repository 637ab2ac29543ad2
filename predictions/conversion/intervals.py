"""Interval arithmetic: between which two numbers each coordinate of a wire stays, whatever the input within its range.

Decides: how each operation carries intervals. Refuses to know: scales and rings; the numbers are those of the wires,
or the same over a power of two. Intervals are of float64 and widened by far more than its rounding.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from predictions import program as steps
from predictions.conversion.draft import Matrix
from predictions.conversion.graph import Shape

_WIDENING: Final = 2.0**-30  # of a radius; float64 sums of a million terms are off by less than 2^-33
NORMALISED_SLACK: Final = 2.0**-10  # how much longer than sqrt(values) a normalised example may come out


@dataclass(frozen=True, eq=False)
class Interval:
    """Lowest and highest number of each coordinate, float64 of the wire's shape."""

    low: Tensor
    high: Tensor

    @property
    def largest(self) -> float:
        """No |coordinate| is larger."""
        return max(float(self.low.abs().max()), float(self.high.abs().max()))


def product(operation: steps.Linear | steps.Convolution, source: Interval, layer: Matrix) -> Interval:
    """`matrix @ x + bias` for every x of an interval.

    Args:
        operation: whose windows are meant.
        source: one example's.
        layer: its matrix and bias.
    """
    middle, radius = (source.high + source.low) / 2, (source.high - source.low) / 2
    centre = _applied(operation, layer.matrix, middle)
    centre = centre + layer.bias.reshape(-1, *(1,) * (centre.ndim - 1))
    reach = _applied(operation, layer.matrix.abs(), radius)
    size = _applied(operation, layer.matrix.abs(), middle.abs())
    reach = reach + _WIDENING * (reach + size + layer.bias.abs().max())
    return Interval(centre - reach, centre + reach)


def carried(operation: steps.Operation, sources: tuple[Interval, ...], shape: Shape, unit: float) -> Interval:
    """The interval behind an operation without weights.

    Args:
        operation: any but `Linear` and `Convolution`.
        sources: one of each source.
        shape: of the target.
        unit: the number that stands for one in the target.
    """
    first = sources[0]
    match operation:
        case steps.Relu():
            return Interval(first.low.clamp(min=0), first.high.clamp(min=0))
        case steps.MaxPool(_, _, kernel, stride, padding, dilation):
            low, high = (
                functional.max_pool2d(side[None], kernel, stride, padding, dilation)[0]
                for side in (first.low, first.high)
            )
            return Interval(low, high)
        case steps.SumPool(_, _, kernel, stride, padding):
            low, high = (
                functional.avg_pool2d(side[None], kernel, stride, padding, divisor_override=1)[0]
                for side in (first.low, first.high)
            )
            return Interval(low, high)
        case steps.Add():
            return Interval(first.low + sources[1].low, first.high + sources[1].high)
        case steps.LayerNorm():
            most = torch.full(shape, math.sqrt(math.prod(shape)) * unit * (1 + NORMALISED_SLACK)).double()
            return Interval(-most, most)
        case _:
            return Interval(first.low.reshape(shape), first.high.reshape(shape))


def _applied(operation: steps.Linear | steps.Convolution, matrix: Tensor, values: Tensor) -> Tensor:
    if isinstance(operation, steps.Linear):
        return matrix @ values
    kernel = matrix.reshape(len(matrix), -1, *operation.kernel)
    return functional.conv2d(
        values[None], kernel, None, operation.stride, operation.padding, operation.dilation, operation.groups
    )[0]
