"""Poisson batches: each example joins each batch by itself, with one known probability.

Decides the two numbers from which a run is accounted (`sampling_probability` and `steps`) and draws batches
that obey exactly those, so that there is nothing to round apart from them. Refuses to know the examples, the
model, and any seed: who is in a batch is part of the secret (amplification holds only while nobody knows it),
so every iteration draws from a cipher stream of its own under a key from the operating system.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from arithmetic.errors import ParameterError, RangeError
from secagg.primitives import KeyStream


@dataclass(frozen=True)
class PoissonBatches:
    """The plan of one call of training: `steps` batches of `batch_size` of `examples` on average.

    Attributes:
        examples: in the data set, N >= 2.
        batch_size: the expected size B of a batch, 1 <= B <= N: the public denominator of a step.
        steps: batches drawn, empty ones included.
    """

    examples: int
    batch_size: int
    steps: int

    def __post_init__(self) -> None:
        """Raise RangeError for data too few for the plan, ParameterError for a plan that is none."""
        if self.examples < 2 or self.batch_size > self.examples:
            # Neither number: how many examples a client has is not the server's to know.
            raise RangeError(
                "this client has fewer examples than one batch, or fewer than two, so it abstains; lower batch-size"
            )
        if self.batch_size < 1 or self.steps < 1:
            raise ParameterError(
                f"batch-size is {self.batch_size} and steps {self.steps}; choose integers of at least 1"
            )

    @classmethod
    def of_epochs(cls, examples: int, batch_size: int, epochs: int) -> Self:
        """As many steps as shuffled batches of that size would take: epochs * ceil(N / B)."""
        return cls(examples, batch_size, epochs * -(-examples // batch_size) if batch_size > 0 else 0)

    @property
    def sampling_probability(self) -> float:
        """The chance q = B / N of any one example to be in any one batch."""
        return self.batch_size / self.examples

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Give the indices of each batch, int64 (size,), ascending, size 0 not excluded.

        An example joins where a fresh 64-bit word is below floor(q * 2^64): with probability q, less by under
        2^-64, and never more than is accounted for.
        """
        stream = KeyStream(os.urandom(32))
        for _ in range(self.steps):
            yield _joined(stream, self.examples, (self.batch_size << 64) // self.examples)


def draw_batch(examples: int, probability: float) -> torch.Tensor:
    """One batch: the indices of the examples that join with `probability`, int64 (size,), ascending, maybe none.

    Raises:
        ParameterError: a probability outside [2^-53, 1], NaN included.
    """
    if not 2.0**-53 <= probability <= 1:
        raise ParameterError(
            f"the sampling probability is {probability!r}; choose a number above 0, at most 1"
        )
    return _joined(KeyStream(os.urandom(32)), examples, math.floor(math.ldexp(probability, 64)))


def _joined(stream: KeyStream, examples: int, threshold: int) -> torch.Tensor:
    """Those whose word is below `threshold`, 1 <= threshold <= 2^64."""
    words = np.frombuffer(stream.read(8 * examples), dtype="<u8")
    return torch.from_numpy(np.flatnonzero(words <= np.uint64(threshold - 1)))
