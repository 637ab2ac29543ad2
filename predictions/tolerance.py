"""How far an honest evaluation by the servers can be from plain fixed point, proven for each answer.

The servers truncate shares, which is off by a unit or two, and later layers multiply that. This module decides the
bound: whoever has the weights can say which answers an honest evaluation of an input can give, and no honest one is
ever refused. Refuses to know: masks, and why somebody asks.
"""

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from predictions import program as steps
from predictions import reference
from predictions.normalising import Normalising, normalising
from predictions.program import Operation, Program
from predictions.validity import sources
from predictions.weights import Weights

TRUNCATED: Final = 1.0  # a carry of two shares and one of their mask: floor - 1, floor or floor + 1
_TABLE: Final = 2.0**-14  # two evaluations, each within 2^-15 of the root
_WIDENING: Final = 1 + 2.0**-30  # float64 sums of a million terms are off by less


def tolerance(program: Program, weights: tuple[Weights, ...], inputs: NDArray[np.int64]) -> NDArray[np.int64]:
    """By how many units each logit of an honest evaluation may differ from `reference.evaluate`.

    Args:
        program: what is computed.
        weights: its integers.
        inputs: integers of wire 0, (rows, *shape).

    Returns:
        (rows, classes), never negative.

    Raises:
        PredictionRange: as `reference.evaluate`.
    """
    values = reference.wires(program, weights, inputs)
    errors = {0: torch.zeros(inputs.shape, dtype=torch.float64)}
    for operation in program.operations:
        read = [errors[source] for source in sources(operation)]
        error = _error(program, operation, weights, read, values)
        errors[operation.target] = error.reshape(len(inputs), *program.wires[operation.target].shape)
    found: NDArray[np.float64] = errors[program.operations[-1].target].numpy()
    return np.ceil(found).astype(np.int64)


def _error(
    program: Program,
    operation: Operation,
    weights: tuple[Weights, ...],
    read: list[Tensor],
    values: dict[int, NDArray[np.int64]],
) -> Tensor:
    match operation:
        case steps.Linear():
            matrix = _sizes(weights[operation.weights])
            return read[0] @ matrix.T * (_WIDENING / 2.0**operation.shift) + TRUNCATED
        case steps.Convolution(_, _, number, shift, kernel, stride, padding, dilation, groups):
            matrix = _sizes(weights[number])
            taps = matrix.reshape(len(matrix), -1, *kernel)
            reach = functional.conv2d(read[0], taps, None, stride, padding, dilation, groups)
            return reach * (_WIDENING / 2.0**shift) + TRUNCATED
        case steps.MaxPool(_, _, kernel, stride, padding, dilation):
            return functional.max_pool2d(read[0], kernel, stride, padding, dilation)
        case steps.SumPool(_, _, kernel, stride, padding):
            return functional.avg_pool2d(read[0], kernel, stride, padding, divisor_override=1)
        case steps.Add():
            return read[0] + read[1]
        case steps.LayerNorm(source, target):
            plan = normalising(operation, program.wires[source], program.wires[target])
            return _normalised(plan, torch.from_numpy(values[source]).double(), read[0])
        case _:
            return read[0]


def _normalised(plan: Normalising, values: Tensor, errors: Tensor) -> Tensor:
    """Of `x / r`, where r = sqrt(mean(x^2) + epsilon) is a norm, so it moves by the norm of the errors at most.

    What the arithmetic adds, here and in plain fixed point, is relative: that of the table, and that of the sum of
    squares, which is cut to few bits where it is small (`predictions.normalising`).
    """
    axes = tuple(range(1, values.ndim))
    root = torch.sqrt(values.square().mean(axes, keepdim=True) + plan.epsilon / plan.count)
    moved = torch.sqrt(errors.square().mean(axes, keepdim=True))
    least = (root - moved).clamp(min=math.sqrt(plan.epsilon / plan.count))
    shifted = errors / least + values.abs() * moved / (root * least)
    cut = least.square() * plan.count / 2.0**plan.cut
    relative = _TABLE + 2 * TRUNCATED / cut
    return plan.scale * (shifted + relative * (values.abs() + errors) / least) + 2 * TRUNCATED


def _sizes(held: Weights) -> Tensor:
    return torch.from_numpy(held.matrix).double().abs()
