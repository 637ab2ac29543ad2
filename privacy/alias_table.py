"""Draws from a law over a few outcomes, exact to 192 bits, most of them decided by 32.

Decides: the alias method (Walker 1977; Vose, IEEE Trans. Softw. Eng. 17(9), 1991) on integers, and lazy
refinement: a word that cannot decide between two outcomes is continued from the stream and compared exactly.
Refuses to know: what the outcomes mean. Uniform bytes come in as a callable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from arithmetic.fixed_point import UniformBytes

Words = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.intp]

EXACT_BITS = 192
WORD_BITS = 32


def words_of(uniform: UniformBytes, count: int) -> Words:
    """The next `count` words of 32 bits, shape (count,).

    Raises:
        ValueError: the stream gave fewer bytes than it was asked for.
    """
    return np.frombuffer(uniform(count * WORD_BITS // 8), dtype="<u4", count=count)


@dataclass(frozen=True, eq=False)
class AliasTable:
    """A law over the outcomes 0..n-1, as 2^column_bits columns of equal mass that hold two outcomes at most.

    A number of 192 uniform bits picks a column by its top bits and then the column's own outcome if it lies
    below the column's threshold, the column's alias if not. A first word equal to the threshold's first word
    leaves that open, which happens once in 2^(32 - column_bits) draws.

    Attributes:
        column_bits: logarithm of the number of columns.
        thresholds: one 192-bit number per column; a column that is all its own is its own alias.
        aliases: outcomes, shape (2^column_bits,).
        prefixes: the first words of the thresholds, shape (2^column_bits,).
    """

    column_bits: int
    thresholds: tuple[int, ...] = field(repr=False)
    aliases: Indices = field(repr=False)
    prefixes: Words = field(repr=False)

    @classmethod
    def of(cls, weights: Sequence[int]) -> "AliasTable":
        """The table of the law proportional to n >= 2 non-negative integers, not all zero.

        Every probability is rounded down to a multiple of 2^-192 and the largest takes the rest, so the
        total-variation distance to the law of the weights is below n * 2^-192. What follows is exact.
        """
        column_bits = (len(weights) - 1).bit_length()
        capacity = 1 << (EXACT_BITS - column_bits)
        masses = _masses(weights) + [0] * ((1 << column_bits) - len(weights))
        thresholds = [column * capacity for column in range(len(masses))]
        aliases = list(range(len(masses)))
        short = [column for column, mass in enumerate(masses) if mass < capacity]
        ample = [column for column, mass in enumerate(masses) if mass >= capacity]
        while short:  # the masses left fill the columns left: with one below capacity there is one above
            column, donor = short.pop(), ample[-1]
            thresholds[column] += masses[column]
            aliases[column] = donor
            masses[donor] -= capacity - masses[column]
            if masses[donor] < capacity:
                short.append(ample.pop())
        prefixes = [threshold >> (EXACT_BITS - WORD_BITS) for threshold in thresholds]
        return cls(
            column_bits, tuple(thresholds), np.array(aliases, dtype=np.intp), np.array(prefixes, np.uint32)
        )

    def choose(self, words: Words, uniform: UniformBytes) -> Indices:
        """One outcome per word, shape of `words`; `uniform` continues the words that leave it open."""
        columns = (words >> np.uint32(WORD_BITS - self.column_bits)).astype(np.intp)
        prefixes = self.prefixes[columns]
        chosen = np.where(words < prefixes, columns, self.aliases[columns])
        for position in np.flatnonzero(words == prefixes):
            chosen[position] = self._refined(int(columns[position]), int(words[position]), uniform)
        return chosen

    def _refined(self, column: int, word: int, uniform: UniformBytes) -> int:
        """The outcome of one word, continued to 192 bits (big-endian)."""
        more = EXACT_BITS - WORD_BITS
        number = word << more | int.from_bytes(uniform(more // 8), "big")
        return column if number < self.thresholds[column] else int(self.aliases[column])


def _masses(weights: Sequence[int]) -> list[int]:
    """Integers that add up to 2^192, proportional to the weights but for rounding."""
    total = sum(weights)
    masses = [(weight << EXACT_BITS) // total for weight in weights]
    masses[masses.index(max(masses))] += (1 << EXACT_BITS) - sum(masses)
    return masses
