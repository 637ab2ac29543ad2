"""The scalar part of the summed vector: which numbers ride under the mask, in which order.

Decides: the list, the same for every client of a run, so that the size of a reply says nothing. Weight,
losses, metrics, clamp and saturation counters and the model's integer buffers are all here; no reply
carries any of them in the clear.
Refuses to know: how they are masked, and what a task's metrics mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from arithmetic.fixed_point import MAGNITUDE_STEPS, ScalarEncoding
from arithmetic.residues import Words
from secagg.primitives import digest
from wire.rounds import Purpose

FRACTION_BITS = 24

WEIGHT = "weight"
WEIGHTS_CLAMPED = "weights clamped"
TRAINING_LOSS = "training loss * weight"
EVALUATION_EXAMPLES = "evaluation examples"
EVALUATION_LOSS = "evaluation loss"
WITHIN_NORM = "updates within the clipping norm, with noise"


def metric_key(metric: str) -> str:
    """The scalar that sums a task's metric over evaluation examples."""
    return f"evaluation metric {metric}"


def exceeding_key(step: int) -> str:
    """The scalar that counts entries above encoding bound * 4^-step."""
    return f"entries above bound / 4^{step}"


@dataclass(frozen=True)
class ScalarLayout:
    """Named scalars in order; `fraction_bits` 0 means an exact integer.

    Attributes:
        integers: entries of integer buffers, appended after the named ones.
    """

    names: tuple[str, ...]
    fraction_bits: tuple[int, ...]
    integers: int

    @classmethod
    def of(
        cls, purpose: Purpose, metrics: Sequence[str], integers: int, adaptive_clipping: bool = False
    ) -> Self:
        """The layout of a session."""
        fields = {EVALUATION_EXAMPLES: 0, EVALUATION_LOSS: FRACTION_BITS}
        fields |= {metric_key(metric): FRACTION_BITS for metric in metrics}
        if purpose is Purpose.EVALUATION:
            return cls(tuple(fields), tuple(fields.values()), 0)
        fields |= {WEIGHT: 0, WEIGHTS_CLAMPED: 0, TRAINING_LOSS: FRACTION_BITS}
        fields |= {exceeding_key(step): 0 for step in range(MAGNITUDE_STEPS)}
        if adaptive_clipping:
            fields[WITHIN_NORM] = 0
        return cls(tuple(fields), tuple(fields.values()), integers)

    @property
    def length(self) -> int:
        """Residues of 64 bits."""
        return len(self.names) + self.integers

    @property
    def digest(self) -> bytes:
        """What both sides compare."""
        fields = [f"{name}/{bits}" for name, bits in zip(self.names, self.fraction_bits, strict=True)]
        return digest("scalar layout", *(field.encode() for field in fields), str(self.integers).encode())

    def _encoding(self, cohort: int) -> ScalarEncoding:
        return ScalarEncoding(cohort, self.fraction_bits + (0,) * self.integers)

    def encode(self, values: Mapping[str, int | float], integers: Sequence[int], cohort: int) -> Words:
        """Residues, shape (length,).

        Raises:
            RangeError: a value that cannot enter the sum.
        """
        return self._encoding(cohort).encode([*(values[name] for name in self.names), *integers])

    def decode(
        self, totals: Sequence[Words], cohort: int
    ) -> tuple[dict[str, int | float], list[int | float]]:
        """Named sums, and sums of the integer entries, over the totals of several sessions."""
        encoding = self._encoding(cohort)
        sums = [sum(column) for column in zip(*map(encoding.decode, totals), strict=True)]
        named = dict(zip(self.names, sums[: len(self.names)], strict=True))
        return named, sums[len(self.names) :]
