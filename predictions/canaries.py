"""Canaries: secret inputs whose answers the client knows, among its own at secret places.

Decides: how many, where, and what answer is close enough. Servers cannot tell rows apart: a lie that changes every
row's answer is caught, one that changes a single row of n + k is caught with probability k / (n + k), each time; a
lie that leaves the canaries' answers as they are is not seen. Refuses to know: how answers come about.
"""

import math
import os
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from arithmetic.errors import ConfigError, ParameterError
from predictions.errors import AnswerRejected
from predictions.program import Answer

Integers = NDArray[np.int64]
_EVERY: Final = 8


@dataclass(frozen=True, eq=False)
class Canaries:
    """What the owner gives a client; all of it hides in `repr`.

    Args:
        inputs: integers of wire 0, (number, *shape).
        logits: exact answers in plain fixed point, (number, classes).
        tolerance: units that an honest answer may be off, (number, classes), of `predictions.tolerance`.
    """

    inputs: Integers = field(repr=False)
    logits: Integers = field(repr=False)
    tolerance: Integers = field(repr=False)

    def __post_init__(self) -> None:
        if not len(self.inputs) == len(self.logits) > 0 or self.tolerance.shape != self.logits.shape:
            raise ParameterError("canaries are inputs with an answer and its tolerance each, at least one")

    def to_bytes(self) -> bytes:
        """As a file."""
        return safetensors.numpy.save(
            {"inputs": self.inputs, "logits": self.logits, "tolerance": self.tolerance}
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """From a file.

        Raises:
            ConfigError: it holds no canaries.
        """
        try:
            found = safetensors.numpy.load(data)
            parts = [found[name] for name in ("inputs", "logits", "tolerance")]
        except (SafetensorError, KeyError):
            raise ConfigError("the kit's canaries cannot be read; ask the owner for the kit anew") from None
        if any(part.dtype != np.int64 for part in parts) or parts[1].ndim != 2:
            raise ConfigError("the kit's canaries are none; ask the owner for the kit anew")
        return cls(*parts)


@dataclass(frozen=True, eq=False)
class Mixed:
    """A batch with canaries in it.

    Args:
        inputs: (rows + canaries, *shape).
        own: places of the client's rows, in their order.
        hidden: places of the canaries.
        drawn: which canaries they are.
    """

    inputs: Integers = field(repr=False)
    own: Integers = field(repr=False)
    hidden: Integers = field(repr=False)
    drawn: Integers = field(repr=False)


def number_for(rows: int) -> int:
    """How many canaries ride with so many rows, unless the client says otherwise."""
    return max(1, math.ceil(rows / _EVERY))


def mix(inputs: Integers, canaries: Canaries, number: int) -> Mixed:
    """Put canaries among rows, at places that only the client knows.

    Args:
        inputs: the client's, (rows, *shape).
        canaries: of its kit.
        number: how many; one is drawn again only when all were.
    """
    places = _shuffled(len(inputs) + number)
    own, hidden = np.sort(places[number:]), places[:number]
    drawn = drawn_from(len(canaries.inputs), number)
    mixed = np.empty((len(inputs) + number, *inputs.shape[1:]), dtype=np.int64)
    mixed[own], mixed[hidden] = inputs, canaries.inputs[drawn]
    return Mixed(mixed, own, hidden, drawn)


def checked(answers: Integers, mixed: Mixed, canaries: Canaries, answer: Answer) -> Integers:
    """The answers to the client's own rows.

    Args:
        answers: labels (rows,) or logits (rows, classes), as the servers gave them.
        mixed: what was asked.
        canaries: those it was mixed with.
        answer: the kind of answer.

    Raises:
        AnswerRejected: a canary's is wrong; which one is not said.
    """
    found, exact = answers[mixed.hidden], canaries.logits[mixed.drawn]
    if answer is Answer.LOGITS:
        right = bool((np.abs(found - exact) <= canaries.tolerance[mixed.drawn]).all())
    else:
        right = bool((found == exact.argmax(axis=1)).all())
    if not right:
        raise AnswerRejected(
            "a canary came back wrong: a server lies or is broken, and no prediction is given"
        )
    return answers[mixed.own]


def sharp(logits: Integers, tolerance: Integers) -> NDArray[np.bool_]:
    """Which rows have a label that honest rounding cannot change.

    Args:
        logits: exact, (rows, classes).
        tolerance: of each.
    """
    rows, best = np.arange(len(logits)), logits.argmax(axis=1)
    others = logits + tolerance
    others[rows, best] = np.iinfo(np.int64).min
    return np.asarray(logits[rows, best] - tolerance[rows, best] > others.max(axis=1))


def drawn_from(choices: int, number: int) -> Integers:
    """So many of 0..choices - 1 out of the system's entropy: all in a secret order first, then any again."""
    rounds = [_shuffled(choices) for _ in range(-(-number // choices))]
    return np.concatenate(rounds)[:number] if rounds else np.empty(0, dtype=np.int64)


def _shuffled(count: int) -> Integers:
    """A uniform order: sorting by 64 random bits leaves a bias below count^2 / 2^64."""
    return np.argsort(np.frombuffer(os.urandom(8 * count), dtype=np.uint64), kind="stable").astype(np.int64)
