"""What a program must keep, checked whoever wrote it: shapes that fit, rings that exist, bounds with their headroom.

Decides: that nobody allocates, multiplies or shares anything for a program that breaks the contract of
`predictions.program`. Refuses to know: how a program was made, and whether its bounds were honestly proven.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from arithmetic.errors import ChorusError
from predictions import program as steps
from predictions.errors import ModelRejected
from predictions.normalising import normalising
from predictions.program import WIDE, Operation, Program, Wire
from predictions.weights import Weights

SMALL_RINGS: Final = range(8, 41, 4)
MOST_WIRES: Final = 2048
MOST_NUMBERS: Final = 2**24  # in one example on one wire, or in one matrix
MOST_AXIS: Final = 2**20
MOST_SCALE: Final = 2.0**40
MOST_INPUT: Final = 2.0**24

_Window = steps.Convolution | steps.MaxPool | steps.SumPool


def sources(operation: Operation) -> tuple[int, ...]:
    """The wires that an operation reads."""
    if isinstance(operation, steps.Add):
        return operation.left, operation.right
    return (operation.source,)


def headroom(operations: Sequence[Operation], wires: int) -> list[int]:
    """Of each wire h, where |integer| < 2^(bits - h) is what those who read it need.

    Args:
        operations: of a program.
        wires: how many there are.
    """
    needed = [1] * wires
    for operation in operations:
        match operation:
            case steps.Lift(source) | steps.LayerNorm(source):
                needed[source] = 2
            case steps.MaxPool(source, target):
                needed[source] = needed[target] = 2
    needed[operations[-1].target] = 2  # the largest logit is found by differences
    return needed


def most_normalised(shape: tuple[int, ...]) -> float:
    """Below what integers under a LayerNorm stay: the root of a larger sum of squares has no room in its plan.

    `predictions.normalising` has the exact rule; this one implies it, for any scale of the target.

    Args:
        shape: of one example.
    """
    return (1 - 2.0**-10) * 2.0**28 / math.sqrt(math.prod(shape))


def matrix_shape(program: Program, operation: steps.Linear | steps.Convolution) -> tuple[int, int]:
    """The shape (outputs, fan in) of the matrix that a linear step needs.

    Args:
        program: whose wires are meant.
        operation: one of its operations.
    """
    given, gives = program.wires[operation.source].shape, program.wires[operation.target].shape
    if isinstance(operation, steps.Linear):
        return gives[0], given[0]
    return gives[0], given[0] // operation.groups * math.prod(operation.kernel)


def check(program: Program, weights: Sequence[Weights] | None = None) -> None:
    """Refuse a program that breaks the contract, or weights that are not its own.

    Args:
        program: of any origin; its types are right.
        weights: to be checked as well, where they are known.

    Raises:
        ModelRejected: the first thing that is wrong.
    """
    if not 2 <= len(program.wires) <= MOST_WIRES:
        raise ModelRejected(f"a program has 2 to {MOST_WIRES} wires, not {len(program.wires)}")
    if not (-MOST_INPUT <= program.low < program.high <= MOST_INPUT):
        raise ModelRejected(f"inputs from {program.low} to {program.high} are no range of inputs")
    for number, wire in enumerate(program.wires):
        _require(_is_wire(wire), f"wire {number} has a shape, ring, scale or bound that there is not")
    _check_order(program)
    needs = headroom(program.operations, len(program.wires))
    for number, (wire, needed) in enumerate(zip(program.wires, needs, strict=True)):
        fits = wire.bound * wire.scale < 2.0 ** (wire.bits - needed)
        _require(fits, f"wire {number} may overflow its ring of {wire.bits} bits")
    for number, operation in enumerate(program.operations):
        wrong = next((what for what, right in _rules(program, operation) if not right), None)
        if wrong:
            raise ModelRejected(f"operation {number} ({type(operation).__name__}) has {wrong}")
    answer = program.wires[program.operations[-1].target]
    _require(answer.bits != WIDE and len(answer.shape) == 1, "the answer is no row of logits in a small ring")
    _check_weights(program, weights)


def _require(right: bool, what: str) -> None:
    if not right:
        raise ModelRejected(what)


def _is_wire(wire: Wire) -> bool:
    return (
        1 <= len(wire.shape) <= 8
        and all(1 <= axis <= MOST_AXIS for axis in wire.shape)
        and math.prod(wire.shape) <= MOST_NUMBERS
        and (wire.bits == WIDE or wire.bits in SMALL_RINGS)
        and 2.0**-40 <= wire.scale <= MOST_SCALE
        and 0 <= wire.bound < math.inf
    )


def _check_order(program: Program) -> None:
    """Every wire but the input is the target of one operation, behind those that give its sources."""
    ready = {0}
    for number, operation in enumerate(program.operations):
        _require(ready.issuperset(sources(operation)), f"operation {number} reads a wire that is not ready")
        fresh = 0 <= operation.target < len(program.wires) and operation.target not in ready
        _require(fresh, f"operation {number} writes a wire that there is not, or that is written already")
        ready.add(operation.target)
    _require(len(ready) == len(program.wires), "a wire is never written")
    _require(program.wires[0].bits == WIDE, "the input is not in 2^64")
    numbers = {each.weights for each in _linear(program)}
    _require(numbers == set(range(len(numbers))), "weights are not numbered from zero")
    _require(len(numbers) == len(list(_linear(program))), "two operations share their weights")


def _linear(program: Program) -> Iterator[steps.Linear | steps.Convolution]:
    return (each for each in program.operations if isinstance(each, steps.Linear | steps.Convolution))


def _rules(program: Program, operation: Operation) -> Iterator[tuple[str, bool]]:
    """What would be wrong, and whether it is right."""
    given = [program.wires[source] for source in sources(operation)]
    first, gives = given[0], program.wires[operation.target]
    match operation:
        case steps.Linear() | steps.Convolution():
            yield "a ring for a product that is none", first.bits == WIDE and gives.bits != WIDE
            yield "a shift that there is not", 0 <= operation.shift < WIDE - gives.bits
        case steps.Relu() | steps.Lift() | steps.LayerNorm():
            yield "rings other than small to 2^64", first.bits != WIDE and gives.bits == WIDE
        case steps.Reduce():
            yield "rings other than 2^64 to small", first.bits == WIDE and gives.bits != WIDE
        case steps.MaxPool():
            yield "a ring that is not small", first.bits != WIDE
    if isinstance(operation, steps.Add | steps.MaxPool | steps.SumPool | steps.Reshape):
        yield "several rings", all(wire.bits == gives.bits for wire in given)
    if isinstance(operation, steps.LayerNorm):
        yield "an epsilon that is none", 0 < operation.epsilon <= 1
        yield "no plan", _is_planned(operation, first, gives)
    if not isinstance(operation, steps.Linear | steps.Convolution | steps.LayerNorm | steps.SumPool):
        yield "several scales", all(wire.scale == gives.scale for wire in given)
    yield from _shape_rules(operation, [wire.shape for wire in given], gives.shape)


def _shape_rules(
    operation: Operation, given: list[tuple[int, ...]], gives: tuple[int, ...]
) -> Iterator[tuple[str, bool]]:
    match operation:
        case steps.Linear():
            yield "shapes that are not flat", len(given[0]) == len(gives) == 1
            yield "too many weights", given[0][0] * gives[0] <= MOST_NUMBERS
        case steps.Convolution() | steps.MaxPool() | steps.SumPool():
            yield "shapes that are no images", len(given[0]) == len(gives) == 3
            yield "a window that there is not", _is_window(operation, given[0], gives)
        case steps.Reshape():
            yield "another count of numbers", math.prod(given[0]) == math.prod(gives)
        case _:
            yield "several shapes", all(shape == gives for shape in given)
    if isinstance(operation, steps.Convolution):
        groups = operation.groups
        yield "groups that do not divide", groups >= 1 and given[0][0] % groups == gives[0] % groups == 0
        fan_in = given[0][0] // groups * math.prod(operation.kernel)
        yield "too many weights", gives[0] * fan_in <= MOST_NUMBERS


def _is_planned(operation: steps.LayerNorm, source: Wire, target: Wire) -> bool:
    """Whether a LayerNorm has room between its source and its target."""
    if not (2.0**4 <= target.bound * target.scale < 2.0**32 and source.bound * source.scale >= 1):
        return False
    try:
        plan = normalising(operation, source, target)
    except ChorusError:
        return False
    return max(plan.bits, plan.narrow) <= SMALL_RINGS[-1] and plan.drop >= 0 < plan.shift


def _is_window(operation: _Window, given: tuple[int, ...], gives: tuple[int, ...]) -> bool:
    dilation = (1, 1) if isinstance(operation, steps.SumPool) else operation.dilation
    if not isinstance(operation, steps.Convolution) and given[0] != gives[0]:
        return False
    for axis in (0, 1):
        kernel, stride, padding = operation.kernel[axis], operation.stride[axis], operation.padding[axis]
        if not (1 <= kernel <= MOST_AXIS and 1 <= stride <= MOST_AXIS and 1 <= dilation[axis] <= MOST_AXIS):
            return False
        pooling = isinstance(operation, steps.MaxPool | steps.SumPool)
        if not 0 <= padding <= (kernel // 2 if pooling else MOST_AXIS):
            return False
        room = given[1 + axis] + 2 * padding - dilation[axis] * (kernel - 1) - 1
        if room < 0 or room // stride + 1 != gives[1 + axis]:
            return False
    return True


def _check_weights(program: Program, weights: Sequence[Weights] | None) -> None:
    if weights is None:
        return
    linear = list(_linear(program))
    _require(len(weights) == len(linear), f"{len(linear)} linear steps do not go with {len(weights)} weights")
    for operation in linear:
        held, shape = weights[operation.weights], matrix_shape(program, operation)
        _require(held.matrix.shape == shape, f"weights {operation.weights} are not {shape[0]} x {shape[1]}")
        _require(held.matrix.dtype == np.int64, f"weights {operation.weights} are no integers of 64 bits")
