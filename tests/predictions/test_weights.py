"""The integers of one step: what they must look like, and that they are never shown."""

import numpy as np
import pytest

from arithmetic.errors import ParameterError
from predictions.weights import Weights


def test_weights_are_never_shown() -> None:
    weights = Weights(np.full((2, 3), 424242, np.int64), np.full(2, 434343, np.int64))
    assert repr(weights) == "Weights(int64[2, 3], int64[2])"


@pytest.mark.parametrize(
    ("matrix", "bias"),
    [
        (np.zeros((2, 3), np.int32), np.zeros(2, np.int64)),
        (np.zeros((2, 3), np.int64), np.zeros(2)),
        (np.zeros((2, 3), np.int64), np.zeros(3, np.int64)),
        (np.zeros(6, np.int64), np.zeros(6, np.int64)),
        (np.zeros((2, 3), np.int64), np.zeros((2, 1), np.int64)),
    ],
    ids=["int32", "float bias", "bias of another length", "flat matrix", "bias of two axes"],
)
def test_other_types_and_shapes_are_refused(matrix: np.ndarray, bias: np.ndarray) -> None:
    with pytest.raises(ParameterError, match=r"int64|one bias a row"):
        Weights(matrix, bias)
