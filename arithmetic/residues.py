"""Vectors of residues mod 2^b: which machine word carries them and how they are packed to exactly b bits.

Decides: the word (the least of 16, 32, 64 bits that holds b) and the packed little-endian form. 2^b
divides the word's modulus, so sums are taken mod the word and the surplus high bits are dropped by
packing: adding needs no reduction.
Refuses to know: what the numbers mean (`fixed_point`) and that masks exist.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from arithmetic.errors import ParameterError, RangeError

Words = npt.NDArray[np.unsignedinteger[Any]]

MODULUS_BITS = (16, 24, 32, 40, 48, 64)


def word_type(bits: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The machine word that carries residues mod 2^bits.

    Raises:
        ParameterError: `bits` is not one of `MODULUS_BITS`.
    """
    if bits not in MODULUS_BITS:
        allowed = ", ".join(map(str, MODULUS_BITS))
        raise ParameterError(f"a modulus of 2^{bits} is not offered; choose b from {allowed}")
    width = next(width for width in (16, 32, 64) if width >= bits)
    return np.dtype(f"<u{width // 8}")


def zeros(length: int, bits: int) -> Words:
    """A vector of `length` zero residues."""
    return np.zeros(length, dtype=word_type(bits))


def packed_size(length: int, bits: int) -> int:
    """Bytes of `length` packed residues: exactly b bits each."""
    word_type(bits)
    return length * bits // 8


def pack(words: Words, bits: int) -> bytes:
    """The low `bits` of every word, little endian, without gaps; shape (d,) -> `packed_size(d, bits)`
    bytes.
    """
    word = word_type(bits)
    words = np.ascontiguousarray(words, dtype=word)
    if word.itemsize * 8 == bits:
        return words.tobytes()
    octets = words.view(np.uint8).reshape(-1, word.itemsize)
    return np.ascontiguousarray(octets[:, : bits // 8]).tobytes()


def unpack(packed: bytes | memoryview, length: int, bits: int) -> Words:
    """The inverse of `pack`: (d,) words below 2^bits, read-only where no copy was needed.

    Raises:
        RangeError: `packed` is not exactly `packed_size(length, bits)` bytes; checked before anything is
            allocated.
    """
    word = word_type(bits)
    if len(packed) != packed_size(length, bits):
        raise RangeError(
            f"{len(packed)} bytes cannot hold {length} residues of {bits} bits; "
            f"send exactly {packed_size(length, bits)}"
        )
    if word.itemsize * 8 == bits:
        return np.frombuffer(packed, dtype=word)
    octets = np.zeros((length, word.itemsize), dtype=np.uint8)
    octets[:, : bits // 8] = np.frombuffer(packed, dtype=np.uint8).reshape(length, bits // 8)
    return octets.view(word).reshape(length)


def to_signed(words: Words, bits: int) -> npt.NDArray[np.int64]:
    """The representative of every residue in [-2^(b-1), 2^(b-1))."""
    surplus = 64 - bits
    shifted = words.astype(np.uint64) << np.uint64(surplus)
    return shifted.view(np.int64) >> np.int64(surplus)


def from_signed(values: npt.NDArray[np.int64], bits: int) -> Words:
    """Residues of signed integers; the word keeps the low bits, which is reduction mod 2^b."""
    return values.astype(word_type(bits), casting="unsafe")
