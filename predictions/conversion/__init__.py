"""Torch models become programs of private predictions: `convert` is the way in, `SUPPORTED` the table of layers.

Decides: the order of the passes, and that a program is compared with its model before anybody gets it. Refuses to know:
shares, servers and files. Everything happens on the owner's machine.
"""

import math
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from arithmetic.errors import ParameterError
from predictions import reference
from predictions.conversion.draft import draft
from predictions.conversion.fitting import fitted
from predictions.conversion.folding import fold
from predictions.conversion.layers import SUPPORTED, Supported
from predictions.conversion.tracing import evaluation_copy, trace
from predictions.errors import UnsupportedModel
from predictions.program import Program
from predictions.values import to_integers, to_logits
from predictions.weights import Weights

__all__ = ["SUPPORTED", "Supported", "convert"]

MOST_ERROR: Final = 0.02  # of a logit, or of the largest logit where that is above one
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
        UnsupportedModel: a layer that cannot be converted, by its name.
        PredictionRange: no bound can be proven within 40 bits, a calibration example is outside the declared range, or
            fixed point is further from the model than `MOST_ERROR`.
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
    program, weights = fitted(draft(graph), low, high)
    generator = np.random.default_rng(0)
    compare(module, program, weights, generator.uniform(low, high, (_TRIALS, *input_shape)))
    if calibration is not None:
        compare(module, program, weights, calibration)
    return program, weights


def compare(module: nn.Module, program: Program, weights: tuple[Weights, ...], inputs: NDArray[Any]) -> float:
    """The largest error of a logit in plain fixed point against the model itself.

    Args:
        module: the model.
        program: as converted.
        weights: as converted.
        inputs: examples (rows, *shape).

    Raises:
        PredictionRange: inputs outside the range, or an error above `MOST_ERROR`.
        UnsupportedModel: an error so large that the model does something that tracing cannot see.
    """
    ours = to_logits(program, reference.evaluate(program, weights, to_integers(program, inputs)))
    with torch.no_grad():
        theirs = evaluation_copy(module)(torch.from_numpy(np.asarray(inputs, np.float64))).numpy()
    error, size = float(np.abs(ours - theirs).max()), max(1.0, float(np.abs(theirs).max()))
    if not error <= MOST_ERROR * size:
        raise UnsupportedModel(
            f"in fixed point the model is off by {error:.3g} of {size:.3g}; it is too sensitive to rounding, or its "
            "forward does what tracing cannot see (hooks, values overwritten in place)"
        )
    return error
