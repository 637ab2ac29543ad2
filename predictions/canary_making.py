"""How the owner makes canaries: inputs that look like any other, close to the border between two labels.

Decides: that a canary's label is one that honest rounding cannot change and that a lie changes easily (halving the way
between two inputs of different labels), and that labels are mixed. Refuses to know: how canaries are used (`canaries`).
"""

import os
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import ConfigError
from predictions import reference
from predictions.canaries import Canaries, Integers, sharp
from predictions.program import Program
from predictions.tolerance import tolerance
from predictions.values import to_integers
from predictions.weights import Weights

_HALVINGS: Final = 10
_NOISE: Final = 0.05


def make_canaries(
    program: Program, weights: tuple[Weights, ...], samples: NDArray[Any] | None, number: int
) -> Canaries:
    """Secret inputs with their exact answers.

    Args:
        program: of the model.
        weights: of the model.
        samples: examples like those that will be asked (rows, *shape); canaries are mixtures of them, or of noise
            where there are none.
        number: how many, at least one.

    Raises:
        ConfigError: labels are all too close for rounding to leave them, so nothing could be checked.
    """
    ends = to_integers(program, _plausible(program, samples, 2 * number))
    found = _Found(program, weights)
    labels = found.add(ends)
    apart = np.flatnonzero(labels[:number] != labels[number:])
    near, far = ends[:number][apart], ends[number:][apart]
    label = labels[:number][apart]
    for _ in range(_HALVINGS if len(apart) else 0):
        middle = near + (far - near) // 2
        same = found.add(middle) == label
        near[same], far[~same] = middle[same], middle[~same]
    return found.closest(number)


class _Found:
    """Candidates whose label rounding leaves alone."""

    def __init__(self, program: Program, weights: tuple[Weights, ...]) -> None:
        self._program, self._weights = program, weights
        self._parts: list[tuple[Integers, Integers, Integers]] = []

    def add(self, inputs: Integers) -> Integers:
        """Take what is good of some inputs; the labels of all."""
        logits = reference.evaluate(self._program, self._weights, inputs)
        allowed = tolerance(self._program, self._weights, inputs)
        good = sharp(logits, allowed)
        self._parts.append((inputs[good], logits[good], allowed[good]))
        return np.asarray(logits.argmax(axis=1), dtype=np.int64)

    def closest(self, number: int) -> Canaries:
        """So many: of each label in turn the one that is closest to another.

        Raises:
            ConfigError: there is none.
        """
        inputs, logits, allowed = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        if not len(inputs):
            raise ConfigError("no example has a label that rounding leaves alone; train the model first")
        ordered = np.sort(logits, axis=1)
        ahead = np.argsort(ordered[:, -1] - ordered[:, -2], kind="stable")
        labels, turns = logits.argmax(axis=1)[ahead], np.empty(len(ahead), dtype=np.int64)
        for one in np.unique(labels):
            turns[labels == one] = np.arange(int((labels == one).sum()))
        chosen = ahead[np.argsort(turns, kind="stable")[:number]]
        return Canaries(inputs[chosen], logits[chosen], allowed[chosen])


def _plausible(program: Program, samples: NDArray[Any] | None, number: int) -> NDArray[np.float64]:
    """Random inputs in range: each between two samples, a little blurred; or noise."""
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(os.urandom(16), "little")))
    shape = (number, *program.wires[0].shape)
    noise = generator.uniform(program.low, program.high, shape)
    if samples is None:
        return noise
    one, other = (samples[generator.integers(len(samples), size=number)] for _ in range(2))
    side = generator.uniform(0, 1, (number, *[1] * (len(shape) - 1)))
    mixture = (1 - _NOISE) * (side * one + (1 - side) * other) + _NOISE * noise
    return np.asarray(np.clip(mixture, program.low, program.high), dtype=np.float64)
