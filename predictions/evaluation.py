"""Encrypted evaluation: how many of a secret labelled set a secret model gets right, and nothing else.

Decides: that the set goes in batches of one size (rows that fill up the last count nothing), and that the count is
checked: counts of canaries alone, a secret half of which has a label, run among the batches of the real one.
Servers cannot tell the counts apart; a server that lies in one batch is caught with probability one half or more, one
that lies in every batch always, and a count of canaries that is off is a refusal. Refuses to know: what the set is.
"""

import os
import time
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import ParameterError
from predictions.canaries import Canaries, Integers, drawn_from
from predictions.client import Client
from predictions.errors import AnswerRejected
from predictions.messages import IDENTIFIER_BYTES, Ask
from predictions.program import Answer
from predictions.values import to_integers

NO_LABEL: Final = -1


@dataclass(frozen=True)
class Accuracy:
    """What an evaluation gave.

    Args:
        right: examples labelled right, of `examples`.
        seconds: in all.
        sent: bytes; `received`: bytes.
        checks: counts of canaries that ran along.
    """

    right: int
    examples: int
    seconds: float
    sent: int
    received: int
    checks: int


@dataclass(eq=False)
class _Count:
    """One count: its batches, and what it must come to if that is known."""

    inputs: Integers = field(repr=False)
    labels: Integers = field(repr=False)
    due: int | None
    evaluation: bytes = field(default_factory=lambda: os.urandom(IDENTIFIER_BYTES))
    found: int | None = None

    def ask(self, client: Client, batch: int, rows: int) -> None:
        part = slice(batch * rows, (batch + 1) * rows)
        last = part.stop >= len(self.inputs)
        ask = Ask(client.kit.sharing.identifier, Answer.COUNT, rows, self.evaluation, last)
        self.found = client.ask_count(ask, self.inputs[part], self.labels[part])


def count_right(
    client: Client, inputs: NDArray[Any], labels: NDArray[np.int64], rows: int = 128, checks: int = 1
) -> Accuracy:
    """Evaluate a labelled set.

    Args:
        client: asks.
        inputs: (examples, *shape), prepared as the owner did.
        labels: (examples,), class numbers.
        rows: of a batch.
        checks: counts of canaries that run along; each costs as much as the set itself.

    Raises:
        ParameterError: inputs and labels that do not go together.
        AnswerRejected: the servers disagree, or a count of canaries is off.
        ChorusError: as `Client.query`.
    """
    program = client.kit.sharing.program
    classes = program.wires[program.operations[-1].target].shape[0]
    if labels.shape != (len(inputs),) or not ((labels >= 0) & (labels < classes)).all():
        raise ParameterError(
            f"labels are a class number from 0 to {classes - 1} for every input; pass as many"
        )
    begun, before = time.perf_counter(), client.moved
    rows = min(rows, len(inputs))
    batches = -(-len(inputs) // rows)
    real = _Count(*_filled(to_integers(program, inputs), labels, batches * rows), None)
    counts = [real, *(_of_canaries(client.kit.canaries, batches * rows) for _ in range(checks))]
    for batch in range(batches):
        for place in drawn_from(len(counts), len(counts)):
            counts[place].ask(client, batch, rows)
    if any(one.due is not None and one.due != one.found for one in counts) or real.found is None:
        raise AnswerRejected(
            "a count of canaries is off: a server lies or is broken, and no accuracy is given"
        )
    sent, received = client.moved
    return Accuracy(
        real.found, len(inputs), time.perf_counter() - begun, sent - before[0], received - before[1], checks
    )


def _filled(inputs: Integers, labels: Integers, length: int) -> tuple[Integers, Integers]:
    """Whole batches: rows of zeros at the end have no label."""
    missing = length - len(inputs)
    zeros = np.zeros((missing, *inputs.shape[1:]), dtype=np.int64)
    return np.concatenate([inputs, zeros]), np.concatenate([labels, np.full(missing, NO_LABEL)])


def _of_canaries(canaries: Canaries, length: int) -> _Count:
    """Canaries, about half under their label and half under none: what changes labels can only lower the count."""
    drawn = drawn_from(len(canaries.inputs), length)
    counts = np.frombuffer(os.urandom(length), dtype=np.uint8) & 1 == 1
    labels = np.where(counts, canaries.logits[drawn].argmax(axis=1), NO_LABEL).astype(np.int64)
    return _Count(canaries.inputs[drawn], labels, int(counts.sum()))
