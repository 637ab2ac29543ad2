"""Vectors of residues as bytes: exactly b bits an entry, for any b from 8 to 64.

Decides: the packed form. Entry i is bits [i b, (i + 1) b) of a little-endian bit string (bit j of the string
is bit j mod 8 of byte j // 8); the last byte is filled up with zero bits. Where b is whole bytes this is every
entry's little-endian bytes, one after the other.
Refuses to know: what the numbers mean, and that masks exist.

Speed is the point of the rest. Whole bytes are read as overlapping unaligned words. Other widths go through
64-bit *lanes* of 8, 4, 2 or 1 machine words: `_spread` and `_squeeze` move the fields of a lane between cells of
a word's width and b bits without gaps, `_regroup` cuts a run of lanes into whole 64-bit words or back. All of
it works on chunks that stay in the cache, and packing is done in place: beside the vector memory is O(chunk).
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from arithmetic.errors import RangeError
from arithmetic.residues import Words, word_type

Lanes = npt.NDArray[np.uint64]
Packed = bytes | memoryview

_LANE = 64
_CHUNK_LANES = 1 << 14  # 128 KiB; three such arrays are in use at a time


def packed_size(length: int, bits: int) -> int:
    """Bytes of `length` packed residues: b bits each, rounded up to whole bytes at the end only."""
    word_type(bits)
    return -(-length * bits // 8)


def pack(words: Words, bits: int) -> memoryview:
    """The low `bits` of every word, without gaps; shape (d,) -> `packed_size(d, bits)` bytes.

    The bytes lie in the words' own memory, which is overwritten: a masked vector is sent and never needed again,
    and no second one is held. A vector that is not contiguous is copied first and left as it was.
    """
    word = word_type(bits)
    words = np.ascontiguousarray(words, dtype=word)
    octets = words.view(np.uint8)[: packed_size(words.size, bits)]
    if word.itemsize * 8 != bits:
        # No entry's packed bytes reach beyond its word: both go forward, and what is written has been read.
        write = _pack_octets if bits % 8 == 0 else _pack_lanes
        write(words, bits, octets)
    return octets.data


def add_packed(total: Words, packed: Packed, bits: int) -> None:
    """Add a packed vector to `total`, shape (d,), in place, without unpacking it as a whole.

    Only the low `bits` of `total` are a sum; the surplus bits of its words hold anything.

    Raises:
        RangeError: see `check_packed`; `total` is as it was.
    """
    check_packed(packed, total.size, bits)
    word = word_type(bits)
    if word.itemsize * 8 == bits:
        np.add(total, np.frombuffer(packed, dtype=word), out=total)
        return
    # What an overlapping word holds of its successor is above bit b: nothing the sum looks at.
    terms = (_overlapping if bits % 8 == 0 else _chunks)(packed, total.size, bits)
    for place, chunk in terms:
        np.add(total[place], chunk, out=total[place])


def check_packed(packed: Packed, length: int, bits: int) -> None:
    """Refuse what `pack` cannot have made; every vector has one packed form.

    Raises:
        RangeError: not exactly `packed_size(length, bits)` bytes, or bits set behind the last entry.
    """
    size = packed_size(length, bits)
    if len(packed) != size:
        raise RangeError(
            f"{len(packed)} bytes cannot hold {length} residues of {bits} bits; send exactly {size}"
        )
    used = length * bits % 8
    if used and packed[-1] >> used:
        raise RangeError(
            f"the last {8 - used} bits behind {length} residues of {bits} bits are not zero; send them as zero"
        )


def _overlapping(packed: Packed, length: int, bits: int) -> Iterator[tuple[slice, Words]]:
    """Whole bytes: words that start at every entry and run into the next one, and the last entry by itself."""
    word, step = word_type(bits), bits // 8
    if length > 1:
        yield slice(length - 1), np.ndarray(length - 1, word, buffer=packed, strides=(step,))
    if length > 0:
        last = bytes(packed[-step:]).ljust(word.itemsize, b"\0")
        yield slice(length - 1, length), np.frombuffer(last, dtype=word)


def _pack_octets(words: Words, bits: int, octets: npt.NDArray[np.uint8]) -> None:
    """Whole bytes: the inverse of `_overlapping`.

    Every word is filled up with the start of its successor, so that words that overlap agree on the bytes they
    share and the order of writing does not matter.
    """
    step, last = bits // 8, words.size - 1
    low = words.dtype.type(2**bits - 1)
    for start in range(0, last, _CHUNK_LANES):
        own = words[start : min(last, start + _CHUNK_LANES)]
        filled = words[start + 1 : start + 1 + own.size] << words.dtype.type(bits)
        filled |= own & low
        target = octets[start * step :].data
        np.ndarray(own.size, words.dtype, buffer=target, strides=(step,))[:] = filled
    if words.size:
        octets[-step:] = words[last:].view(np.uint8)[:step]


def _pack_lanes(words: Words, bits: int, octets: npt.NDArray[np.uint8]) -> None:
    """Other widths: chunks of lanes squeezed and cut into 64-bit words."""
    word_bits = words.dtype.itemsize * 8
    field, lanes, wide = _period(bits, word_bits)
    for start, groups in _runs(words.size, lanes * (_LANE // word_bits), lanes):
        piece = words[start : start + groups * lanes * (_LANE // word_bits)]
        padded = _padded(piece.view(np.uint8), groups * lanes * 8)
        squeezed = _squeeze(padded.view("<u8").reshape(groups, lanes).T, bits, word_bits)
        whole = np.ascontiguousarray(_regroup(squeezed, field, _LANE, wide).T, dtype="<u8")
        target = octets[start * bits // 8 :][: groups * wide * 8]
        target[:] = whole.view(np.uint8).reshape(-1)[: target.size]


def _chunks(packed: Packed, length: int, bits: int) -> Iterator[tuple[slice, Words]]:
    """Other widths: the inverse of `_pack_lanes`; every yield is a place in the vector and its words."""
    word = word_type(bits)
    word_bits = word.itemsize * 8
    field, lanes, wide = _period(bits, word_bits)
    octets = np.frombuffer(packed, dtype=np.uint8)
    for start, groups in _runs(length, lanes * (_LANE // word_bits), lanes):
        whole = _padded(octets[start * bits // 8 :][: groups * wide * 8], groups * wide * 8)
        columns = np.ascontiguousarray(whole.view("<u8").reshape(groups, wide).T, dtype=np.uint64)
        spread = _spread(_regroup(columns, _LANE, field, lanes), bits, word_bits)
        place = slice(start, min(length, start + groups * lanes * (_LANE // word_bits)))
        words = np.ascontiguousarray(spread.T, dtype="<u8").view(word).reshape(-1)
        yield place, words[: place.stop - place.start]


def _period(bits: int, word_bits: int) -> tuple[int, int, int]:
    """Bits of a squeezed lane, and the least group that is whole either way: lanes, and 64-bit words."""
    field = bits * (_LANE // word_bits)
    common = math.gcd(field, _LANE)
    return field, _LANE // common, field // common


def _runs(length: int, entries: int, lanes: int) -> Iterator[tuple[int, int]]:
    """First entry and number of groups of every chunk; a group has `entries` entries in `lanes` lanes."""
    most = max(1, _CHUNK_LANES // lanes)
    for start in range(0, length, most * entries):
        yield start, min(most, -(-(length - start) // entries))


def _padded(octets: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """The same bytes, filled up with zeros where the last group is not complete."""
    if octets.size == size:
        return octets
    padded = np.zeros(size, dtype=np.uint8)
    padded[: octets.size] = octets
    return padded


def _fields(width: int, cell: int) -> np.uint64:
    """A mask with `width` ones at the foot of every `cell` bits of a lane."""
    return np.uint64(sum((2**width - 1) << at for at in range(0, _LANE, cell)))


def _spread(lanes: Lanes, bits: int, word_bits: int) -> Lanes:
    """From fields of b bits without gaps to one field at the foot of every word; in place."""
    cell = _LANE
    while cell > word_bits:
        cell //= 2
        width = bits * cell // word_bits
        low = _fields(width, 2 * cell)
        high = lanes << np.uint64(cell - width)
        high &= low << np.uint64(cell)
        lanes &= low
        lanes |= high
    if word_bits == _LANE:
        lanes &= _fields(bits, _LANE)
    return lanes


def _squeeze(lanes: Lanes, bits: int, word_bits: int) -> Lanes:
    """The inverse of `_spread`, dropping the surplus bits of every word; a new contiguous array."""
    lanes = np.array(lanes, dtype=np.uint64, order="C")
    lanes &= _fields(bits, word_bits)
    for cell in (16, 32):
        if cell >= word_bits:
            width = bits * cell // word_bits
            low = _fields(width, 2 * cell)
            high = lanes >> np.uint64(cell - width)
            high &= low << np.uint64(width)
            lanes &= low
            lanes |= high
    return lanes


def _regroup(fields: Lanes, width: int, target: int, count: int) -> Lanes:
    """Cut columns of `width`-bit fields, least first, into `count` fields of `target` bits.

    Shape (n, g), every entry below 2^width -> (count, g), which hold anything above bit `target`.
    """
    found = np.zeros((count, fields.shape[1]), dtype=np.uint64)
    for rows, shift, operate in _pieces(width, target, fields.shape[0], count):
        piece = np.take(fields, rows, axis=0)
        found |= operate(piece, shift, out=piece)
    return found


@lru_cache(maxsize=128)
def _pieces(
    width: int, target: int, rows: int, count: int
) -> tuple[tuple[npt.NDArray[np.intp], Lanes, Any], ...]:
    """Which rows make up every field of `_regroup`, and how far each is shifted.

    A piece that a field does not need is shifted to bit `target` or above (out of the word, where target = 64).
    """
    first, offset = np.divmod(np.arange(count) * target, width)
    most = int((offset + target - 1).max()) // width
    pieces: list[tuple[npt.NDArray[np.intp], Lanes, Any]] = []
    for at in range(most + 1):
        shift = np.abs(at * width - offset).astype(np.uint64)[:, None]
        operate = np.left_shift if at else np.right_shift
        pieces.append((np.minimum(first + at, rows - 1), shift, operate))
    return tuple(pieces)
