"""Packed residues read back and written without touching the vector: what only tests need."""

from arithmetic.packing import Packed, add_packed, pack
from arithmetic.residues import Words, zeros


def packed(words: Words, bits: int) -> bytes:
    """The packed form of `words`, which stay as they are."""
    return bytes(pack(words.copy(), bits))


def unpacked(data: Packed, length: int, bits: int) -> Words:
    """The inverse: (d,) words below 2^bits."""
    total = zeros(length, bits)
    add_packed(total, data, bits)
    return total & total.dtype.type(2**bits - 1)
