"""Plain fixed point against Python's own integers, and its refusal to wrap."""

from typing import Any

import numpy as np
import pytest

from predictions import program as steps
from predictions import reference
from predictions.errors import PredictionRange
from predictions.program import Program, Wire
from predictions.weights import Weights

Integers = np.ndarray[Any, np.dtype[np.int64]]


def wire(*shape: int, bits: int = 64, bound: float = 100.0) -> Wire:
    return Wire(shape, bits, 256.0, bound)


def drawn(*shape: int, most: int = 1000) -> Integers:
    return np.random.default_rng(3).integers(-most, most, shape)


def test_a_linear_step_rounds_down() -> None:
    program = Program((wire(3), wire(2, bits=24)), (steps.Linear(0, 1, 0, 5),), -1.0, 1.0)
    matrix, bias, inputs = drawn(2, 3), drawn(2), drawn(6, 3)
    found = reference.evaluate(program, (Weights(matrix, bias),), inputs)
    for row, line in zip(inputs.tolist(), found.tolist(), strict=True):
        for weights, offset, logit in zip(matrix.tolist(), bias.tolist(), line, strict=True):
            assert logit == (sum(w * x for w, x in zip(weights, row, strict=True)) + offset) // 32
    assert (found < 0).any()


def test_a_convolution_is_what_its_windows_say() -> None:
    step = steps.Convolution(0, 1, 0, 3, (2, 3), (2, 1), (1, 2), (1, 2), 2)
    program = Program((wire(4, 5, 6), wire(6, 3, 6, bits=40)), (step,), -1.0, 1.0)
    matrix, bias, inputs = drawn(6, 12), drawn(6), drawn(3, 4, 5, 6)
    found = reference.wires(program, (Weights(matrix, bias),), inputs)[1]
    assert found.shape == (3, 6, 3, 6)
    padded = np.pad(inputs, ((0, 0), (0, 0), (1, 1), (2, 2)))
    for row, channel, below, across in np.ndindex(found.shape):
        total = int(bias[channel])
        for tap, (inner, high, wide) in enumerate(np.ndindex(2, 2, 3)):
            given = 2 * (channel // 3) + inner
            total += int(matrix[channel, tap]) * int(padded[row, given, 2 * below + high, across + 2 * wide])
        assert found[row, channel, below, across] == total // 8


def test_pools_leave_padding_out_of_the_largest_and_count_it_in_sums() -> None:
    inputs = -1 - drawn(2, 3, 4, 5) ** 2
    largest = steps.MaxPool(1, 2, (2, 2), (2, 2), (1, 1), (1, 1))
    total = steps.SumPool(1, 3, (2, 2), (2, 2), (1, 1))
    wires = (wire(3, 4, 5), wire(3, 4, 5, bits=32), wire(3, 3, 3, bits=32), wire(3, 3, 3, bits=32))
    found = reference.wires(Program(wires, (steps.Reduce(0, 1), largest, total), -1, 1), (), inputs)
    for row, channel, below, across in np.ndindex(2, 3, 3, 3):
        lines, places = (slice(max(0, 2 * at - 1), 2 * at + 1) for at in (below, across))
        window = inputs[row, channel, lines, places]
        assert found[2][row, channel, below, across] == window.max()
        assert found[3][row, channel, below, across] == window.sum()


def test_a_value_that_does_not_fit_is_refused_and_never_wraps() -> None:
    program = Program((wire(1), wire(1, bits=8)), (steps.Linear(0, 1, 0, 0),), -1.0, 1.0)
    weights = (Weights(np.ones((1, 1), np.int64), np.zeros(1, np.int64)),)
    assert reference.evaluate(program, weights, np.array([[127], [-128]])).tolist() == [[127], [-128]]
    for value in (128, -129):
        with pytest.raises(PredictionRange, match="ring of 8 bits"):
            reference.evaluate(program, weights, np.array([[value]]))
