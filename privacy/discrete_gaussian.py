"""Integer noise: the discrete Gaussian, probability of x proportional to exp(-x^2 / (2 sigma^2)).

Decides: the law (Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", 2020, Definition
1), how it is drawn, and how far the draws are from it.
Refuses to know: what the noise is for, and where the uniform bytes come from: they are a callable that the
caller keys from os.urandom. This module holds tables and no random state: there is nothing to seed or to fork.

Blocks of 2^shift neighbouring integers, [k 2^shift, (k + 1) 2^shift), are drawn from a table in proportion to
the law's weight at the block's integer nearest to zero; x is uniform in its block and accepted with
probability exp(-(x^2 - nearest^2) / (2 sigma^2)). Below sigma = 128 a block is one integer and nothing is
rejected. Above, about one candidate in a hundred needs the exponential; the others lie below the least
acceptance of their block. Every comparison with a uniform number is lazy: first its leading word, then float64
with a margin, then all of it in integers. The margin decides who is asked next, never the outcome.

Distance: one draw is within 2^-138 of the law in total variation, n draws together within n 2^-138.
- The table ends at 14 sigma. E[exp(s X)] <= exp(s^2 sigma^2 / 2), as the sum of exp(-(x - c)^2 / (2 sigma^2))
  over the integers x is largest at c = 0 (Poisson summation). So P[X >= 14 sigma] <= exp(-98), and what is cut
  off on both sides is below 2^-140.
- A weight is off by less than 2^-233 (`exp_minus`); at most 3584 of them add up to at least 1: below 2^-220.
- The table rounds the blocks' probabilities to 2^-192: below 3584 * 2^-192 < 2^-180.
- An acceptance is decided by at least 206 bits against a number off by less than 2^-233: below 2^-205.
- More than 3 candidates in 4 are accepted, which enlarges the last three less than threefold.

Not constant-time: which entries are read and which candidates are rejected depends on the noise. It is the
noise of one's own update, drawn in bulk on one's own machine; from the time of a round nobody learns one draw.
Who can watch that machine's caches shares the machine with the raw data, which no noise protects there.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import ceil, frexp

import numpy as np
import numpy.typing as npt

from arithmetic.errors import ParameterError
from arithmetic.fixed_point import UniformBytes
from privacy.alias_table import WORD_BITS, AliasTable, Words, words_of

Integers = npt.NDArray[np.int64]

LEAST_SIGMA, MOST_SIGMA = 0.25, 2.0**24
WEIGHT_BITS = 256
REACH = 14  # half-width of the table, in sigma
_WIDEST_LOG = 7  # sigma in units of a block stays below 2^7
_CHUNK = 1 << 14
_MARGIN = 2.0**-40
_MIDDLE_BITS, _LAST_BITS = 64, 128


def exp_minus(exponent: Fraction) -> int:
    """exp(-exponent) * 2^256 for an exponent from 0 to 255, off by less than 2^23.

    The exponent is halved h <= 16 times to below 2^-8, where 2^-256 is reached in fewer than 24 terms, each
    off by less than 2: the sum is off by less than 2^6. A squaring of a number of at most 1 doubles the error
    and adds 1: less than 2^16 (2^6 + 1) in the end.
    """
    scaled = (exponent.numerator << WEIGHT_BITS) // exponent.denominator
    halvings = max(0, scaled.bit_length() - (WEIGHT_BITS - 8))
    scaled >>= halvings
    total = term = 1 << WEIGHT_BITS
    order = 0
    while term:
        order += 1
        term = (term * scaled >> WEIGHT_BITS) // order
        total += -term if order % 2 else term
    for _ in range(halvings):
        total = total * total >> WEIGHT_BITS
    return total


@dataclass(frozen=True)
class DiscreteGaussian:
    """The discrete Gaussian with parameter sigma; its standard deviation is a little smaller below sigma = 1.

    Attributes:
        sigma: from 0.25 to 2^24, taken as the exact rational that the float is.

    Raises:
        ParameterError: sigma is NaN or outside that range.
    """

    sigma: float

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not LEAST_SIGMA <= self.sigma <= MOST_SIGMA:
            raise ParameterError(
                f"integer noise of scale {self.sigma} cannot be drawn, it must lie from {LEAST_SIGMA} to "
                f"{MOST_SIGMA:.0f}; choose another scale of the integers"
            )

    def draw(self, count: int, uniform: UniformBytes) -> Integers:
        """`count` independent draws, shape (count,), magnitudes below 14 sigma + 2^18.

        Args:
            count: at least 0.
            uniform: gives that many uniform bytes from a cryptographic stream that nothing else reads.

        Raises:
            ParameterError: `count` is negative.
            ValueError: the stream gave fewer bytes than it was asked for.
        """
        if count < 0:
            raise ParameterError(f"{count} draws of noise were asked for; ask for at least 0")
        blocks = blocks_of(float(self.sigma))
        drawn = np.empty(count, dtype=np.int64)
        done = 0
        while done < count:
            accepted = blocks.candidates(min(count - done, _CHUNK), uniform)
            drawn[done : done + accepted.shape[0]] = accepted
            done += accepted.shape[0]
        return drawn


@dataclass(frozen=True, eq=False)
class Blocks:
    """One sigma's table of blocks and what is needed to accept an integer of a block.

    Attributes:
        sigma: as the exact rational.
        shift: logarithm of the integers in a block.
        half: blocks on either side of zero; outcome i of the table is block i - half.
        table: the law of a candidate's block.
        certain: for each outcome, the level of 32 - shift bits below which all of its block is accepted.
    """

    sigma: Fraction
    shift: int
    half: int
    table: AliasTable = field(repr=False)
    certain: Words = field(repr=False)

    @classmethod
    def of(cls, sigma: Fraction) -> "Blocks":
        """Compute the tables of one sigma; takes tens of milliseconds."""
        shift = max(0, frexp(sigma)[1] - _WIDEST_LOG)
        half = ceil(REACH * sigma / 2**shift)
        starts = [block << shift for block in range(-half, half)]
        ends = [start + (1 << shift) - 1 for start in starts]
        nearest = [min(pair, key=abs) for pair in zip(starts, ends, strict=True)]
        weights = [exp_minus(near * near / (2 * sigma**2)) for near in nearest]
        spans = [
            max(start**2, end**2) - near**2 for start, end, near in zip(starts, ends, nearest, strict=True)
        ]
        return cls(sigma, shift, half, AliasTable.of(weights), _certain(spans, sigma, WORD_BITS - shift))

    def candidates(self, count: int, uniform: UniformBytes) -> Integers:
        """Draw `count` candidates and return the accepted ones, shape (at most count,)."""
        outcomes = self.table.choose(words_of(uniform, count), uniform)
        if self.shift == 0:
            return outcomes - self.half
        words = words_of(uniform, count)
        inside = words & np.uint32((1 << self.shift) - 1)
        levels = words >> np.uint32(self.shift)
        integers = ((outcomes - self.half) << self.shift) + inside
        open_ones = np.flatnonzero(levels >= self.certain[outcomes])
        refused = ~self._accepted(integers[open_ones], levels[open_ones], uniform)
        return np.delete(integers, open_ones[refused])

    def _accepted(self, integers: Integers, levels: Words, uniform: UniformBytes) -> npt.NDArray[np.bool_]:
        """Whether the uniform numbers that begin with `levels` lie below the integers' acceptance."""
        more = np.frombuffer(uniform(levels.shape[0] * _MIDDLE_BITS // 8), dtype="<u8", count=levels.shape[0])
        numbers = np.ldexp(levels + np.ldexp(more.astype(np.float64), -_MIDDLE_BITS), self.shift - WORD_BITS)
        blocks = integers >> self.shift
        nearest = (blocks << self.shift) + np.where(blocks < 0, (1 << self.shift) - 1, 0)
        spans = (integers - nearest) * (integers + nearest)  # below 2^48
        distances = numbers - np.exp(-spans / float(2 * self.sigma**2))
        accepted = distances < 0
        for position in np.flatnonzero(np.abs(distances) < _MARGIN):
            number = (int(levels[position]) << _MIDDLE_BITS) + int(more[position])
            accepted[position] = self._decided(int(spans[position]), number, uniform)
        return accepted

    def _decided(self, span: int, number: int, uniform: UniformBytes) -> bool:
        """The same for one integer, with the number continued by 128 bits (big-endian), in integers."""
        number = number << _LAST_BITS | int.from_bytes(uniform(_LAST_BITS // 8), "big")
        known = WORD_BITS - self.shift + _MIDDLE_BITS + _LAST_BITS
        return number << (WEIGHT_BITS - known) < exp_minus(span / (2 * self.sigma**2))


def _certain(spans: list[int], sigma: Fraction, bits: int) -> Words:
    """Below which `bits`-bit level a candidate is accepted wherever in its block it lies.

    `spans` are the blocks' largest x^2 - nearest^2. One level is taken off: float64 errs by far less.
    """
    least = np.exp(-np.array(spans, dtype=np.float64) / float(2 * sigma**2))
    return (np.ldexp(least, bits) - 1).astype(np.uint32)


@lru_cache(maxsize=8)
def blocks_of(sigma: float) -> Blocks:
    """The tables of one sigma, at most half a megabyte; those of the eight last used are kept."""
    return Blocks.of(Fraction(sigma))
