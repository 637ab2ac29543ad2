"""Numbers of the asker to integers of a program, and logits back.

Decides: rounding to the nearest, and that a number outside the declared range is refused, since nothing was proven
for it. Refuses to know: masks and the network.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictions.errors import PredictionRange
from predictions.program import Program


def to_integers(program: Program, inputs: NDArray[Any]) -> NDArray[np.int64]:
    """The integers of wire 0.

    Args:
        program: whose input is meant.
        inputs: numbers (rows, *shape of the input) between the program's `low` and `high`.

    Raises:
        PredictionRange: another shape, no row, a number outside the range, NaN or infinity.
    """
    wire, values = program.wires[0], np.asarray(inputs)
    if values.dtype.kind not in "fiu" or values.shape[1:] != wire.shape or values.ndim < 1 or not len(values):
        raise PredictionRange(
            f"inputs are numbers (rows, {', '.join(map(str, wire.shape))}), not {values.dtype}{list(values.shape)}; "
            "prepare them as the owner did"
        )
    wide = values.astype(np.float64)
    if not (wide.min() >= program.low and wide.max() <= program.high):  # false for NaN, too
        raise PredictionRange(
            f"an input is outside the declared range [{program.low:g}, {program.high:g}], for which fixed point was "
            "proven; prepare inputs as the owner did"
        )
    return np.rint(wide * wire.scale).astype(np.int64)


def to_logits(program: Program, integers: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logits of the integers of the last wire.

    Args:
        program: whose answer is meant.
        integers: signed (rows, classes).
    """
    return integers.astype(np.float64) / program.wires[program.operations[-1].target].scale
