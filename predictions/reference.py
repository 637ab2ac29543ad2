"""Plain fixed point: what the three servers compute, by one party that knows everything.

Decides: the exact integer meaning of each operation; the servers may be off by the units that `predictions.program`
states, and by nothing else. Refuses to know: masks, parties, floats of the model. It never wraps: a value outside its
ring is refused, and bounds proven by the conversion say that there is none.
"""

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from predictions import program as steps
from predictions.errors import PredictionRange
from predictions.normalising import normalising, plain
from predictions.program import Operation, Program, Wire
from predictions.weights import Weights

_CHUNK: Final = 2**22  # values of one unfolded layer at a time: 32 MiB

Integers = NDArray[np.int64]


def evaluate(program: Program, weights: tuple[Weights, ...], inputs: Integers) -> Integers:
    """The integers of the logits.

    Args:
        program: the operations.
        weights: of its linear steps.
        inputs: of wire 0, (rows, *shape), e.g. of `predictions.values.to_integers`.

    Returns:
        signed integers (rows, classes).

    Raises:
        PredictionRange: some value does not fit its ring.
    """
    return wires(program, weights, inputs)[program.operations[-1].target]


def wires(program: Program, weights: tuple[Weights, ...], inputs: Integers) -> dict[int, Integers]:
    """The integers of every wire, (rows, *shape) each.

    Args:
        program: as of `evaluate`.
        weights: as of `evaluate`.
        inputs: as of `evaluate`.

    Raises:
        PredictionRange: as of `evaluate`.
    """
    found = {0: torch.tensor(inputs)}
    for operation in program.operations:
        value = _result(program, operation, weights, found)
        found[operation.target] = _checked(value, program.wires[operation.target])
    return {number: value.numpy() for number, value in found.items()}


def _result(
    program: Program, operation: Operation, weights: tuple[Weights, ...], found: dict[int, Tensor]
) -> Tensor:
    if isinstance(operation, steps.Add):
        return found[operation.left] + found[operation.right]
    source, wire = found[operation.source], program.wires[operation.target]
    match operation:
        case steps.Linear():
            held = weights[operation.weights]
            product = (
                torch.from_numpy(held.matrix) @ source.T.contiguous() + torch.from_numpy(held.bias)[:, None]
            )
            return (product >> operation.shift).T
        case steps.Convolution():
            return _in_chunks(operation, weights[operation.weights], source, wire)
        case steps.Relu():
            return source.clamp(min=0)
        case steps.MaxPool(_, _, kernel, stride, padding, dilation):
            windows = _windows(source, kernel, stride, padding, dilation, torch.iinfo(torch.int64).min)
            return _rows_first(windows.amax(1))
        case steps.SumPool(_, _, kernel, stride, padding):
            return _rows_first(_windows(source, kernel, stride, padding, (1, 1), 0).sum(1))
        case steps.LayerNorm():
            plan = normalising(operation, program.wires[operation.source], wire)
            return torch.from_numpy(plain(plan, source.numpy()))
        case _:  # Lift, Reduce, Reshape: the same numbers
            return source.reshape(len(source), *wire.shape)


def _in_chunks(operation: steps.Convolution, held: Weights, source: Tensor, wire: Wire) -> Tensor:
    each = source[0].numel() * math.prod(operation.kernel)
    rows = max(1, _CHUNK // each)
    starts = range(0, len(source), rows)
    parts = [_convolved(operation, held, source[start : start + rows]) for start in starts]
    return torch.cat(parts).reshape(len(source), *wire.shape)


def _convolved(operation: steps.Convolution, held: Weights, source: Tensor) -> Tensor:
    """Windows to columns, one product a group, with the rows of the batch in the long axis."""
    columns = _windows(source, operation.kernel, operation.stride, operation.padding, operation.dilation, 0)
    columns = columns.reshape(operation.groups, held.matrix.shape[1], -1)
    matrix = torch.from_numpy(held.matrix).reshape(operation.groups, -1, held.matrix.shape[1])
    product = torch.stack([one @ other for one, other in zip(matrix, columns, strict=True)])
    shifted = product.reshape(len(held.bias), -1) + torch.from_numpy(held.bias)[:, None] >> operation.shift
    return _rows_first(shifted.reshape(len(held.bias), -1, len(source)))


def _rows_first(values: Tensor) -> Tensor:
    return values.movedim(-1, 0).contiguous()


def _windows(
    source: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    outside: int,
) -> Tensor:
    """(channels, places of the kernel, output height, output width, rows): rows last, so that copies are runs."""
    rows, channels, height, width = source.shape
    padded = source.new_full((channels, height + 2 * padding[0], width + 2 * padding[1], rows), outside)
    padded[:, padding[0] : padding[0] + height, padding[1] : padding[1] + width] = source.movedim(0, -1)
    below, across = (
        (padded.shape[1 + axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
        for axis in (0, 1)
    )
    taps = []
    for high in range(kernel[0]):
        for wide in range(kernel[1]):
            top, left = high * dilation[0], wide * dilation[1]
            lines = slice(top, top + stride[0] * (below - 1) + 1, stride[0])
            taps.append(padded[:, lines, left : left + stride[1] * (across - 1) + 1 : stride[1]])
    return torch.stack(taps, 1)


def _checked(value: Tensor, wire: Wire) -> Tensor:
    limit = 2 ** (wire.bits - 1)
    if value.numel() and not (-limit <= int(value.min()) and int(value.max()) < limit):
        raise PredictionRange(f"a value does not fit its ring of {wire.bits} bits; convert the model anew")
    return value
