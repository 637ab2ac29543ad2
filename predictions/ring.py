"""Integers modulo 2^bits as arrays of words, and as bit planes.

Decides: the word that holds a residue, its bytes on the wire, and the bit planes on which comparisons run: plane p
has bit p of every element, eight elements a byte, so that one operation on a byte works for eight comparisons.
Refuses to know: what is secret and what is public.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.unsignedinteger]
Planes = npt.NDArray[np.uint8]
Octets = bytes | memoryview

WIDE = 64
_BYTE = 8
_ALIGNMENT = 8
_EACH_BIT = (1 << np.arange(_BYTE, dtype=np.uint8))[:, np.newaxis]
_CHUNK = 1 << 14
_REMEMBERED = 256


@cache
def word(bits: int) -> np.dtype[np.unsignedinteger]:
    """The narrowest unsigned type that holds a residue mod 2^bits."""
    size = next(size for size in (1, 2, 4, 8) if bits <= size * _BYTE)
    return np.dtype(f"<u{size}")


def reduced(words: Words, bits: int, in_place: bool = False) -> Words:
    """The residues mod 2^bits in their own word; no copy where they are such residues for sure."""
    kind = word(bits)
    narrow = words.astype(kind, copy=False)
    if bits == kind.itemsize * _BYTE:
        return narrow
    return np.bitwise_and(narrow, kind.type((1 << bits) - 1), out=narrow if in_place else None)


def packed_bytes(count: int, bits: int) -> int:
    """Length of `pack` of `count` residues."""
    return count * -(-bits // _BYTE)


def pack(words: Words, bits: int) -> Planes:
    """Residues mod 2^bits, each in as few whole bytes as hold it, shape (packed_bytes,).

    Little-endian; of three bytes, say, the lower two of all residues come first and then the third of all, as
    machines are quick at whole words alone.
    """
    flat = np.ascontiguousarray(words).reshape(-1)
    if packed_bytes(1, bits) == words.itemsize:
        return flat.view(np.uint8)
    packed = np.empty(packed_bytes(flat.size, bits), np.uint8)
    pack_into(packed, flat, bits)
    return packed


def pack_into(packed: Planes, flat: Words, bits: int) -> None:
    """As `pack`, for residues of shape (count,) and into an array that is there."""
    if packed_bytes(1, bits) == flat.itemsize:
        packed.view(flat.dtype)[:] = flat
        return
    for start, end, kind, shift in _pieces(flat.size, bits):
        np.right_shift(flat, flat.dtype.type(shift), out=packed[start:end].view(kind), casting="unsafe")


def unpack(data: Octets | Planes, bits: int) -> Words:
    """The residues of `pack`, shape (count,); a residue above 2^bits is reduced."""
    octets, kind = np.frombuffer(data, np.uint8), word(bits)
    if packed_bytes(1, bits) == kind.itemsize:
        return reduced(octets.view(kind), bits)
    words: Words = np.zeros(len(octets) // packed_bytes(1, bits), kind)
    for start, end, narrow, shift in _pieces(words.size, bits):
        words |= octets[start:end].view(narrow).astype(kind) << kind.type(shift)
    return reduced(words, bits, in_place=True)


@lru_cache(_REMEMBERED)
def _pieces(count: int, bits: int) -> list[tuple[int, int, str, int]]:
    """Where each part of all residues lies: first and last byte, word, and the bits below it."""
    pieces, start, below = [], 0, 0
    for size in (4, 2, 1):
        if packed_bytes(1, bits) & size:
            pieces.append((start, start + count * size, f"<u{size}", below))
            start, below = start + count * size, below + size * _BYTE
    return pieces


def aligned(size: int) -> int:
    """The next multiple of 8 bytes: every piece of material begins at one, so that words can be read in place."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def plane_bytes(count: int) -> int:
    """Bytes of one plane of `count` elements."""
    return -(-count // _BYTE)


def to_planes(words: Words, bits: int) -> Planes:
    """Bit planes, least significant first.

    Args:
        words: residues mod 2^bits, shape (count,).
        bits: how many planes there are.

    Returns:
        Shape (bits, plane_bytes(count)); the bits that fill up the last byte are zero.
    """
    count, size = len(words), -(-bits // _BYTE)
    octets = words.view(np.uint8).reshape(count, words.itemsize)
    planes = np.empty((size, _BYTE, plane_bytes(count)), np.uint8)
    for start in range(0, count, _CHUNK):
        columns = np.ascontiguousarray(octets[start : start + _CHUNK, :size].T)
        planes[:, :, start // _BYTE : plane_bytes(min(count, start + _CHUNK))] = np.packbits(
            columns[:, np.newaxis] & _EACH_BIT, axis=-1, bitorder="little"
        )
    return planes.reshape(size * _BYTE, -1)[:bits]


def from_plane(plane: Planes, count: int) -> npt.NDArray[np.uint8]:
    """The bits of one plane, 0 or 1, shape (count,)."""
    return np.unpackbits(plane, count=count, bitorder="little")


def volume(shape: Sequence[int]) -> int:
    """Elements of an array of this shape."""
    product = 1
    for length in shape:
        product *= length
    return product
