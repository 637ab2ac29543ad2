"""Reals to residues and back: the only place where they meet.

Decides: how far the modulus is used up. With n clients every encoded magnitude stays at or below `levels
= (2^(b-1) - 1) // n`, so a sum of n of them cannot wrap; this is proven with Python integers when the
object is made.
Refuses to know: masks, messages, tensors. Uniform bytes for stochastic rounding come in as a callable,
never from a generator of numpy's own.

Two encodings: `FixedPoint` for the long tensor part (clamped to the encoding bound, rounded
stochastically, so that the sum is unbiased) and `ScalarEncoding` for the short part of 64-bit residues
(counts exactly, sums of metrics at 2^-24).
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from arithmetic.errors import ParameterError, RangeError
from arithmetic.residues import LEAST_BITS, MOST_BITS, Words, from_signed, to_signed, zeros

UniformBytes = Callable[[int], bytes]
Reals = npt.NDArray[np.float64]

MAGNITUDE_STEPS = 8
_CHUNK = 1 << 16
_EXACT_FLOAT = 2**52
_LEAST_LEVELS = 8
_LEAST_BOUND = 2.0**-40
_LEAST_USABLE, _MOST_USABLE = 1e-200, 1e200


@dataclass(frozen=True)
class Encoded:
    """Residues of a clamped vector, and how large its entries were.

    Attributes:
        words: residues, shape (d,).
        exceeding: for j = 0..7, how many entries had a magnitude above `bound * 4^-j`; `exceeding[0]`
            were clamped.
    """

    words: Words = field(repr=False)
    exceeding: tuple[int, ...]


@dataclass(frozen=True)
class FixedPoint:
    """Encoding of reals in [-bound, bound] as residues mod 2^bits that leaves room for `cohort` addends.

    Raises:
        ParameterError: fewer than 8 levels would be left; the message names the modulus that would fit.
    """

    bits: int
    cohort: int
    bound: float

    def __post_init__(self) -> None:
        """Prove the headroom, or refuse."""
        if self.cohort < 1 or not _LEAST_USABLE <= self.bound <= _MOST_USABLE:
            raise ParameterError(
                f"a cohort of {self.cohort} and an encoding bound of {self.bound} are not usable; the first "
                "is at least 1, the second from 1e-200 to 1e200"
            )
        zeros(0, self.bits)
        if not (self.levels >= _LEAST_LEVELS and self.cohort * self.levels < 2 ** (self.bits - 1)):
            # The least b with (2^(b-1) - 1) // cohort at its least.
            fits = max(LEAST_BITS, (self.cohort * _LEAST_LEVELS).bit_length() + 1)
            advice = f"choose modulus-bits = {fits}" if fits <= MOST_BITS else "make the cohort smaller"
            raise ParameterError(
                f"a modulus of 2^{self.bits} leaves no room for the sum of {self.cohort} clients; {advice}"
            )

    @property
    def levels(self) -> int:
        """Largest encoded magnitude; at most 2^52 so that float64 represents every level."""
        return int(min((2 ** (self.bits - 1) - 1) // self.cohort, _EXACT_FLOAT))

    @property
    def step(self) -> float:
        """Real value of one level: an addend is off by less than this, a sum by less than `cohort` times
        this.
        """
        return self.bound / self.levels

    def encode(self, values: Reals, uniform: UniformBytes) -> Encoded:
        """Clamp, scale and round stochastically: `floor(x / step + u)`, u uniform in [0, 1), so E[decode]
        = x.

        Args:
            values: shape (d,), finite.
            uniform: gives that many uniform bytes from a cryptographic stream.

        Raises:
            RangeError: an entry is NaN or infinite; nothing is encoded.
        """
        words = zeros(values.shape[0], self.bits)
        exceeding = np.zeros(MAGNITUDE_STEPS, dtype=np.int64)
        limits = self.bound * 4.0 ** -np.arange(MAGNITUDE_STEPS)
        for start in range(0, values.shape[0], _CHUNK):
            chunk = np.asarray(values[start : start + _CHUNK], dtype=np.float64)
            magnitudes = np.abs(chunk)
            if not np.isfinite(magnitudes).all():
                raise RangeError(
                    "the update holds NaN or an infinity; nothing was sent, check the local training"
                )
            exceeding += [int(np.count_nonzero(magnitudes > limit)) for limit in limits]
            words[start : start + _CHUNK] = from_signed(self._round(chunk, uniform), self.bits)
        return Encoded(words, tuple(int(count) for count in exceeding))

    def _round(self, chunk: Reals, uniform: UniformBytes) -> npt.NDArray[np.int64]:
        """Integers in [-levels, levels] for one chunk."""
        offsets = np.frombuffer(uniform(4 * chunk.shape[0]), dtype="<u4") * 2.0**-32
        scaled = np.clip(chunk, -self.bound, self.bound) * (self.levels / self.bound)
        whole = np.floor(scaled)
        scaled -= whole
        scaled += offsets  # below 2: exact to 2^-52, whatever the size of `whole`
        whole += scaled >= 1.0
        return np.clip(whole, -self.levels, self.levels).astype(np.int64)

    def decode(self, total: Words) -> Reals:
        """The real sum, shape (d,), of at most `cohort` encoded vectors added mod 2^bits."""
        return self.reals(to_signed(total, self.bits))

    def reals(self, sums: npt.NDArray[np.int64]) -> Reals:
        """What signed sums stand for, shape (d,)."""
        return np.multiply(sums, self.step, dtype=np.float64)


def next_bound(bound: float, exceeding: Sequence[int]) -> float:
    """The encoding bound of the next server round, from the securely summed counts of `Encoded.exceeding`.

    Grows fourfold while entries are clamped; otherwise shrinks to four times the least `bound * 4^-j` that
    nothing exceeded. It settles where the largest entry lies between bound / 16 and bound.
    """
    if exceeding[0] > 0:
        return bound * 4.0
    unused = sum(1 for count in exceeding if count == 0)
    return max(bound * 4.0 ** -(max(unused - 2, 0)), _LEAST_BOUND)


@dataclass(frozen=True)
class ScalarEncoding:
    """Encoding of a short list of numbers as residues mod 2^64, `fraction_bits[i]` after the binary point.

    Zero fraction bits means an integer, summed exactly.
    """

    cohort: int
    fraction_bits: tuple[int, ...]

    @property
    def largest(self) -> int:
        """Largest encoded magnitude: `cohort` of them stay below 2^63."""
        return (2**63 - 1) // self.cohort

    def encode(self, values: Sequence[int | float]) -> Words:
        """Residues, shape (m,); real values are rounded to the nearest multiple of 2^-fraction.

        Raises:
            RangeError: NaN, infinity, a fraction where an integer is due, or a magnitude above `largest`.
        """
        encoded = []
        for value, fraction in zip(values, self.fraction_bits, strict=True):
            if isinstance(value, float) and not math.isfinite(value):
                raise RangeError("a metric is NaN or infinite; nothing was sent, check the local training")
            exact = Fraction(value if isinstance(value, float) else operator.index(value)) * 2**fraction
            if fraction == 0 and exact.denominator != 1:
                raise RangeError(f"a count must be a whole number, not {value}; nothing was sent")
            number = round(exact)
            if abs(number) > self.largest:
                raise RangeError("a count or metric is too large for the 64-bit sum; nothing was sent")
            encoded.append(number % 2**64)
        return np.array(encoded, dtype="<u8")

    def decode(self, total: Words) -> list[int | float]:
        """Sums in the order of `fraction_bits`: int where it is 0, else float."""
        signed = [int(number) for number in to_signed(total, 64)]
        pairs = zip(signed, self.fraction_bits, strict=True)
        return [number if fraction == 0 else number / 2**fraction for number, fraction in pairs]
