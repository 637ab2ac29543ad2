"""Torch models become programs of private predictions: `convert` is the way in, `SUPPORTED` the table of layers.

Decides: the order of the passes, and that a program is compared with its model before anybody gets it. Refuses to know:
shares, servers and files. Everything happens on the owner's machine.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from arithmetic.errors import ParameterError
from predictions.conversion.calibration import Calibration, calibrate
from predictions.conversion.draft import draft
from predictions.conversion.fitting import fitted
from predictions.conversion.folding import fold
from predictions.conversion.layers import SUPPORTED, Supported
from predictions.conversion.tracing import evaluation_copy, trace
from predictions.program import Program
from predictions.weights import Weights

__all__ = ["SUPPORTED", "Calibration", "Supported", "calibrate", "convert"]

_TRIALS: Final = 5  # rows of the trial; not the number that tells shapes


def convert(
    module: nn.Module,
    input_shape: tuple[int, ...],
    low: float,
    high: float,
    calibration: NDArray[Any] | None = None,
) -> tuple[Program, tuple[Weights, ...]]:
    """A program and its integers that compute what a model computes in eval mode, up to rounding.

    Args:
        module: any that torch.fx can trace, of the layers in `SUPPORTED`; it is not changed.
        input_shape: of one example, after preprocessing.
        low: smallest number in any input, after preprocessing.
        high: the largest.
        calibration: examples (rows, *input_shape) that must lie in the range and come out right.

    Raises:
        ParameterError: a range or shape that is none.
        UnsupportedModel: a layer that cannot be converted, by its name; or a model that fixed point, or tracing, does
            not reproduce.
        PredictionRange: no bound can be proven within 40 bits, or a calibration example is outside the range.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high and max(-low, high) <= 2.0**24):
        raise ParameterError(
            f"inputs between {low} and {high} are no range; name two finite numbers, the lower first"
        )
    if not input_shape or min(input_shape) < 1:
        raise ParameterError(f"{input_shape} is no shape of an example; name its axes without the batch")
    twin = evaluation_copy(module)
    graph = trace(twin, tuple(input_shape))
    fold(graph)
    program, weights = fitted(draft(graph), float(low), float(high))
    generator = np.random.default_rng(0)
    calibrate(module, program, weights, generator.uniform(low, high, (_TRIALS, *input_shape)))
    if calibration is not None:
        calibrate(module, program, weights, calibration)
    return program, weights
