"""The attack on masks whose seed has 28 bits: try them all, and see which explains a vector.

A known way to break a masked sum: the seed of a mask, 256 bits of text, is folded by exclusive-or to four bytes of
seven bits each, and seeds a Mersenne Twister. Whoever holds a vector under one such mask subtracts every possible mask
and keeps what leaves small numbers.

Decides: which vectors are attacked. Ours is a client's in a real session of three, when the server has every self-mask
seed and the third client's help: what is left on it is the one mask it shares with the second. Two others are made to
be found: one under the weak masks, one under our key stream with short keys.
Refuses to know: how ours draws its seeds.
"""

import base64
import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bench.views import Knowledge
from secagg.params import SecAggParams
from secagg.primitives import KeyStream
from tests.support.cohort import Cohort, Vector, check_exact

MODULUS_BITS = 24
MOST_KEY_BITS = 24
_SMALL = 1 << 8
_INPUT = (3, -77, 100, 0, 255, -255, 1, 42)
_AT_ONCE = 1 << 13
_TWIST = np.uint32(0x9908B0DF)
Words = npt.NDArray[np.uint32]


def sweeps(bits: int) -> Iterator[tuple[str, int, int]]:
    """(what, seeds found, seeds tried) of every sweep.

    Args:
        bits: of the folded seeds, 1..28; short keys have at most 24 (a cipher is set up for each).

    Raises:
        AssertionError: the session's sum was not exact.
    """
    ours, short = vector_of_ours(), min(bits, MOST_KEY_BITS)
    weak = _masked(weak_mask(folded(base64.urlsafe_b64encode(os.urandom(32)), bits)))
    cut = _masked(stream_mask(int.from_bytes(os.urandom(4), "big") % (1 << short)))
    found = sweep_folded([ours, weak], bits)
    yield "the weak scheme's seeds, our masks", len(found[0]), 1 << bits
    yield "the weak scheme's seeds, the weak scheme", len(found[1]), 1 << bits
    found = sweep_keys([ours, cut], short)
    yield "short keys of our key stream, our masks", len(found[0]), 1 << short
    yield "short keys of our key stream, masks from such keys", len(found[1]), 1 << short


def vector_of_ours() -> Words:
    """Client 1's vector in a real session, with every mask off but the one it shares with client 2."""
    params = SecAggParams.complete(3, MODULUS_BITS, len(_INPUT), 0, 2, colluders=1)
    inputs = dict.fromkeys((1, 2, 3), Vector(_INPUT, ()))
    cohort = Cohort(params, inputs, seed=os.urandom(32))
    check_exact(cohort.run(), params, inputs, frozenset(inputs))
    return Knowledge(cohort, 0).bare(1, {3}).tensor % (1 << MODULUS_BITS)


def folded(seed: bytes, bits: int) -> int:
    """Text folded to four bytes by exclusive-or: 28 bits, of which `bits` are kept."""
    padded = seed + bytes(-len(seed) % 4)
    whole = int(np.bitwise_xor.reduce(np.frombuffer(padded, "<u4")))
    return spread(packed(whole) % (1 << bits))


def spread(number: int) -> int:
    """28 bits as four bytes of seven bits."""
    return sum((number >> 7 * at & 0x7F) << 8 * at for at in range(4))


def packed(seed: int) -> int:
    """The inverse of `spread`."""
    return sum((seed >> 8 * at & 0x7F) << 7 * at for at in range(4))


def weak_mask(seed: int) -> Words:
    """As the weak scheme draws it: numbers below R - 1, which is one too few."""
    drawn = np.random.RandomState(seed).randint(0, (1 << MODULUS_BITS) - 1, len(_INPUT), dtype=np.int64)
    return drawn.astype(np.uint32)


def stream_mask(key: int) -> Words:
    """Our key stream under a key of so few bits."""
    drawn = bytearray(4 * len(_INPUT))
    KeyStream(key.to_bytes(32, "big")).read_into(memoryview(bytes(len(drawn))), memoryview(drawn))
    return np.frombuffer(drawn, "<u4") % (1 << MODULUS_BITS)


def _masked(mask: Words) -> Words:
    return (np.array(_INPUT).astype(np.uint32) + mask) % (1 << MODULUS_BITS)


def explains(mask: Words, vector: Words) -> bool:
    """Whether the mask, added or removed, leaves small numbers only."""
    return any(bool(_is_small(each).all()) for each in (vector - mask, vector + mask))


def _is_small(words: Words) -> npt.NDArray[np.bool_]:
    """Whether residues mod 2^24 stand for numbers from -2^8 to 2^8 - 1."""
    return (words + np.uint32(_SMALL)) % np.uint32(1 << MODULUS_BITS) < np.uint32(2 * _SMALL)


def sweep_folded(vectors: list[Words], bits: int) -> list[list[int]]:
    """Of each vector, the folded seeds that explain it.

    The first word of every seed's stream is computed side by side; what fits there is tried with the generator itself.
    """
    found: list[list[int]] = [[] for _ in vectors]
    for start in range(0, 1 << bits, _AT_ONCE):
        numbers = np.arange(start, min(start + _AT_ONCE, 1 << bits), dtype=np.uint32)
        seeds = np.bitwise_or.reduce([(numbers >> 7 * at & 0x7F) << 8 * at for at in range(4)])
        first = first_words(seeds)
        for vector, kept in zip(vectors, found, strict=True):
            close = _is_small(vector[0] - first) | _is_small(vector[0] + first)
            kept += [int(seed) for seed in seeds[close] if explains(weak_mask(int(seed)), vector)]
    return found


def first_words(seeds: Words) -> Words:
    """The first 32-bit word of a Mersenne Twister for each seed (Matsumoto and Nishimura, 1998; `init_genrand`)."""
    state, shifted = seeds.copy(), np.empty_like(seeds)
    for at in range(1, 398):
        np.right_shift(state, np.uint32(30), out=shifted)
        state ^= shifted
        state *= np.uint32(1812433253)
        state += np.uint32(at)
        if at == 1:
            second = state.copy()
    mixed = (seeds & np.uint32(0x80000000)) | (second & np.uint32(0x7FFFFFFF))
    word = state ^ (mixed >> np.uint32(1)) ^ np.where(second & np.uint32(1), _TWIST, np.uint32(0))
    word = word ^ word >> np.uint32(11)
    word = word ^ (word << np.uint32(7) & np.uint32(0x9D2C5680))
    word = word ^ (word << np.uint32(15) & np.uint32(0xEFC60000))
    return word ^ word >> np.uint32(18)


def sweep_keys(vectors: list[Words], bits: int) -> list[list[int]]:
    """Of each vector, the short keys whose stream explains it."""
    found: list[list[int]] = [[] for _ in vectors]
    size = 4 * len(_INPUT)
    zeros = memoryview(bytes(size))
    for start in range(0, 1 << bits, _AT_ONCE):
        keys = range(start, min(start + _AT_ONCE, 1 << bits))
        drawn = bytearray(size * len(keys))
        view = memoryview(drawn)
        for at, key in enumerate(keys):
            KeyStream(key.to_bytes(32, "big")).read_into(zeros, view[at * size : (at + 1) * size])
        masks = np.frombuffer(drawn, "<u4").reshape(len(keys), -1)
        for vector, kept in zip(vectors, found, strict=True):
            fits = _is_small(vector - masks).all(axis=1) | _is_small(vector + masks).all(axis=1)
            kept += [keys[at] for at in np.flatnonzero(fits)]
    return found
