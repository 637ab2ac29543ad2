"""The integers of one linear step; whoever holds them knows that part of the model.

This module decides their shapes and types; it refuses to know scales, shares and where the floats came from.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import ParameterError


@dataclass(frozen=True, eq=False, repr=False)
class Weights:
    """The integers behind the field `weights` of a `Linear` or a `Convolution`.

    Args:
        matrix: int64 (outputs, inputs); of a convolution (out channels, in channels / groups * kernel height *
            kernel width), as torch flattens a kernel.
        bias: int64 (outputs,), in the scale of the product `matrix @ source`, before the shift.

    Raises:
        ParameterError: another type or shape.
    """

    matrix: NDArray[np.int64]
    bias: NDArray[np.int64]

    def __post_init__(self) -> None:
        matrix, bias = _described(self.matrix), _described(self.bias)
        if self.matrix.dtype != np.int64 or self.bias.dtype != np.int64:
            raise ParameterError(f"weights must be int64, not {matrix} and {bias}")
        if self.matrix.ndim != 2 or self.bias.shape != self.matrix.shape[:1]:
            raise ParameterError(f"weights are a matrix and one bias a row of it, not {matrix} and {bias}")

    def __repr__(self) -> str:
        return f"Weights({_described(self.matrix)}, {_described(self.bias)})"


def _described(array: NDArray[Any]) -> str:
    """Type and shape, never a value: weights are the owner's secret."""
    return f"{array.dtype}{list(array.shape)}"
