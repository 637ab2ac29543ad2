"""Integers modulo 2^bits as arrays of words, and as bit planes.

Decides: the word that holds a residue, its bytes on the wire, and the bit planes on which comparisons run: plane p
has bit p of every element, eight elements a byte, so that one operation on a byte works for eight comparisons.
Refuses to know: what is secret and what is public.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.unsignedinteger]
Planes = npt.NDArray[np.uint8]

WIDE = 64
_BYTE = 8
_EACH_BIT = (1 << np.arange(_BYTE, dtype=np.uint8))[:, np.newaxis]
_CHUNK = 1 << 14


def word(bits: int) -> np.dtype[np.unsignedinteger]:
    """The narrowest unsigned type that holds a residue mod 2^bits."""
    size = next(size for size in (1, 2, 4, 8) if bits <= size * _BYTE)
    return np.dtype(f"<u{size}")


def reduced(words: Words, bits: int) -> Words:
    """The residues mod 2^bits in their own word; no copy where they are in it already."""
    kind = word(bits)
    narrow = words.astype(kind, copy=False)
    return narrow if bits == kind.itemsize * _BYTE else narrow & kind.type((1 << bits) - 1)


def packed_bytes(count: int, bits: int) -> int:
    """Length of `pack` of `count` residues."""
    return count * -(-bits // _BYTE)


def pack(words: Words, bits: int) -> bytes:
    """Residues mod 2^bits, each in as few whole bytes as hold it, little-endian."""
    size = -(-bits // _BYTE)
    if size == words.itemsize:
        return words.tobytes()
    return np.ascontiguousarray(words).view(np.uint8).reshape(-1, words.itemsize)[:, :size].tobytes()


def unpack(data: bytes, bits: int) -> Words:
    """The residues of `pack`, shape (count,); a residue above 2^bits is reduced."""
    size, kind = -(-bits // _BYTE), word(bits)
    if size == kind.itemsize:
        return reduced(np.frombuffer(data, kind), bits)
    columns = np.zeros((len(data) // size, kind.itemsize), np.uint8)
    columns[:, :size] = np.frombuffer(data, np.uint8).reshape(-1, size)
    return reduced(columns.view(kind).reshape(-1), bits)


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
