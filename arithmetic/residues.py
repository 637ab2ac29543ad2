"""Vectors of residues mod 2^b, b from 8 to 64: which machine word carries them, and their signs.

Decides: the word (the least of 8, 16, 32, 64 bits that holds b). 2^b divides the word's modulus, so sums are
taken mod the word and the surplus high bits are dropped by packing: adding needs no reduction.
Refuses to know: what the numbers mean (`fixed_point`), their bytes (`packing`) and that masks exist.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from arithmetic.errors import ParameterError

Words = npt.NDArray[np.unsignedinteger[Any]]

LEAST_BITS, MOST_BITS = 8, 64


def word_type(bits: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The machine word that carries residues mod 2^bits.

    Raises:
        ParameterError: `bits` is not a whole number from `LEAST_BITS` to `MOST_BITS`.
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ParameterError(
            f"a modulus of 2^{bits} is not offered; choose b from {LEAST_BITS} to {MOST_BITS}"
        )
    width = next(width for width in (8, 16, 32, 64) if width >= bits)
    return np.dtype(f"<u{width // 8}")


def zeros(length: int, bits: int) -> Words:
    """A vector of `length` zero residues."""
    return np.zeros(length, dtype=word_type(bits))


def to_signed(words: Words, bits: int) -> npt.NDArray[np.int64]:
    """The representative of every residue in [-2^(b-1), 2^(b-1))."""
    surplus = 64 - bits
    shifted = words.astype(np.uint64) << np.uint64(surplus)
    return shifted.view(np.int64) >> np.int64(surplus)


def from_signed(values: npt.NDArray[np.int64], bits: int) -> Words:
    """Residues of signed integers; the word keeps the low bits, which is reduction mod 2^b."""
    return values.astype(word_type(bits), casting="unsafe")
