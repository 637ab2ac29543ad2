"""What sample data say of a converted model: how far off it is, and how much of each proven bound they use.

Decides: what makes a conversion unusable. Refuses to know: how bounds were proven; samples never change them.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from predictions import reference
from predictions.conversion.tracing import evaluation_copy
from predictions.errors import UnsupportedModel
from predictions.program import Program
from predictions.values import to_integers, to_logits
from predictions.weights import Weights

MOST_ERROR: Final = 0.02  # of a logit, or of the largest logit where that is above one


@dataclass(frozen=True)
class Calibration:
    """How some samples fared.

    Args:
        error: the largest difference of a logit from the model in float64.
        used: of each wire the largest |value| among the samples over its bound, 0 to 1.
    """

    error: float
    used: tuple[float, ...]


def calibrate(
    module: nn.Module, program: Program, weights: tuple[Weights, ...], samples: NDArray[Any]
) -> Calibration:
    """Compare a converted model with the model itself.

    Args:
        module: the model.
        program: as converted.
        weights: as converted.
        samples: (rows, *shape), in the declared range.

    Raises:
        PredictionRange: a sample outside the range.
        UnsupportedModel: an error above `MOST_ERROR`.
    """
    inputs = to_integers(program, samples)
    found = reference.wires(program, weights, inputs)
    ours = to_logits(program, found[program.operations[-1].target])
    with torch.no_grad():
        theirs = evaluation_copy(module)(torch.tensor(samples, dtype=torch.float64)).numpy()
    error, size = float(np.abs(ours - theirs).max()), max(1.0, float(np.abs(theirs).max()))
    if not error <= MOST_ERROR * size:
        raise UnsupportedModel(
            f"in fixed point the model is off by {error:.3g} of {size:.3g}; it is too sensitive to rounding, or its "
            "forward does what tracing cannot see (hooks, values overwritten in place)"
        )
    return Calibration(error, tuple(_used(program, found, number) for number in range(len(program.wires))))


def _used(program: Program, found: dict[int, NDArray[np.int64]], number: int) -> float:
    wire = program.wires[number]
    return float(np.abs(found[number]).max()) / max(1.0, wire.bound * wire.scale)
