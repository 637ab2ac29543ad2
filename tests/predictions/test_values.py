"""Inputs to integers: rounding, and nothing outside the declared range."""

from typing import Any

import numpy as np
import pytest

from predictions import program as steps
from predictions.errors import PredictionRange
from predictions.program import Program, Wire
from predictions.values import to_integers, to_logits

PROGRAM = Program((Wire((2,), 64, 256.0, 1.0), Wire((2,), 16, 128.0, 1.0)), (steps.Reduce(0, 1),), -1.0, 0.5)


def test_values_are_rounded_to_the_nearest() -> None:
    found = to_integers(PROGRAM, np.array([[-1.0, 0.5], [0.1, -0.1]], np.float32))
    assert found.tolist() == [[-256, 128], [26, -26]]
    assert to_integers(PROGRAM, np.array([[0, -1]])).dtype == np.int64
    assert to_logits(PROGRAM, np.array([[-64, 128]])).tolist() == [[-0.5, 1.0]]


@pytest.mark.parametrize("value", [-1.001, 0.501, float("nan"), float("inf"), -float("inf")])
def test_a_value_outside_the_range_is_refused(value: float) -> None:
    with pytest.raises(PredictionRange, match=r"outside the declared range \[-1, 0.5\]"):
        to_integers(PROGRAM, np.array([[0.0, 0.0], [0.0, value]]))


@pytest.mark.parametrize(
    "inputs",
    [np.zeros(2), np.zeros((1, 3)), np.zeros((0, 2)), np.zeros((1, 2), complex), np.zeros((1, 2), bool)],
    ids=["one row", "three numbers", "no row", "complex", "truth values"],
)
def test_other_shapes_and_types_are_refused(inputs: np.ndarray[Any, Any]) -> None:
    with pytest.raises(PredictionRange, match="prepare them as the owner did"):
        to_integers(PROGRAM, inputs)
