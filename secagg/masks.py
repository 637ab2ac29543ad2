"""Masks: from a secret to residues added to a vector, streamed.

Decides: the sign rule, the two parts a mask has (tensor, scalars), and that a mask is never held whole:
it is expanded and added in pieces that stay in the cache.
Refuses to know: who is a survivor (`server`), how secrets are agreed on or shared.

Bonawitz et al., CCS 2017, section 4: y_u = x_u + PRG(b_u) + sum_{u<v} PRG(s_uv) - sum_{u>v} PRG(s_uv)
(mod R).
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Literal

import numpy as np

from arithmetic.residues import Words, word_type
from secagg.primitives import KeyStream, PrivateKey, derive_key, digest

Sign = Literal[1, -1]

_PIECE_BYTES = 1 << 16
_OPEN_AT_ONCE = 256
_ZEROS = memoryview(bytes(_PIECE_BYTES))


@dataclass
class Residues:
    """The two parts of a vector under masks; both are changed in place.

    Attributes:
        tensor: shape (d,), words of the session's modulus.
        scalars: shape (m,), residues mod 2^64.
    """

    tensor: Words = field(repr=False)
    scalars: Words = field(repr=False)


@dataclass(frozen=True)
class MaskSeed:
    """The keys of one mask: one for each part, each used for one stream."""

    tensor: bytes = field(repr=False)
    scalars: bytes = field(repr=False)


def self_mask_seed(seed: bytes, context: bytes, owner: int) -> MaskSeed:
    """The seed of client `owner`'s own mask PRG(b_u)."""
    return MaskSeed(
        derive_key(seed, "self mask/tensor", context, owner),
        derive_key(seed, "self mask/scalars", context, owner),
    )


def commit(seed: bytes, context: bytes, owner: int) -> bytes:
    """A commitment to b_u, 32 bytes; hiding because the seed has 256 bits of entropy, binding by SHA-256."""
    return digest("self mask commitment", context, owner.to_bytes(8, "big"), seed)


def pairwise_mask_seed(
    private: bytes | PrivateKey, public: bytes, context: bytes, own: int, peer: int
) -> MaskSeed:
    """The seed s_uv of the mask two neighbours share; the same from either side.

    Raises:
        BadKey: `public` has low order.
    """
    key = private if isinstance(private, PrivateKey) else PrivateKey(private)
    secret = key.agree(public)
    low, high = sorted((own, peer))
    return MaskSeed(
        derive_key(secret, "pairwise mask/tensor", context, low, high),
        derive_key(secret, "pairwise mask/scalars", context, low, high),
    )


def pairwise_sign(own: int, peer: int) -> Sign:
    """+1 for the neighbour with the smaller index, -1 for the other: the two cancel in the sum."""
    return 1 if own < peer else -1


@dataclass(frozen=True)
class Mask:
    """A mask to add (sign 1) or to remove (sign -1)."""

    seed: MaskSeed
    sign: Sign


def add_masks(total: Residues, masks: Iterable[Mask], workers: int = 1) -> None:
    """Add or remove many masks, in place.

    A piece of `total` stays in the cache while every mask is expanded and added to it. The library releases the
    interpreter's lock while it encrypts, so `workers` threads, each with a part of `total`, scale with the cores.

    Args:
        total: changed in place.
        masks: expanded `_OPEN_AT_ONCE` at a time.
        workers: threads, >= 1.
    """
    remaining = iter(masks)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, _OPEN_AT_ONCE)):
            tensor = [(mask.seed.tensor, mask.sign) for mask in batch]
            scalars = [(mask.seed.scalars, mask.sign) for mask in batch]
            parts = _parts(total.tensor.nbytes, workers)
            done = [pool.submit(_add_streams, total.tensor, tensor, start, end) for start, end in parts]
            _add_streams(total.scalars, scalars, 0, total.scalars.nbytes)
            for part in done:
                part.result()


def _parts(size: int, workers: int) -> list[tuple[int, int]]:
    """`size` bytes cut into at most `workers` runs of whole pieces."""
    pieces = -(-size // _PIECE_BYTES)
    cuts = [min(pieces * at // workers * _PIECE_BYTES, size) for at in range(workers + 1)]
    return [(start, end) for start, end in pairwise(cuts) if start < end]


def _add_streams(total: Words, keys: list[tuple[bytes, Sign]], start: int, end: int) -> None:
    """Expand every key over bytes start..end of `total` and add it, piece by piece.

    Uniform words mod the word's modulus are uniform mod 2^b.
    """
    if start >= end:
        return
    word = total.dtype
    streams = [(KeyStream(key, start), np.add if sign == 1 else np.subtract) for key, sign in keys]
    buffer = bytearray(min(_PIECE_BYTES, end - start))
    for at in range(start, end, _PIECE_BYTES):
        piece = total[at // word.itemsize : min(at + _PIECE_BYTES, end) // word.itemsize]
        view, zeros = memoryview(buffer)[: piece.nbytes], _ZEROS[: piece.nbytes]
        drawn = np.frombuffer(view, dtype=word)
        for stream, operate in streams:
            stream.read_into(zeros, view)
            operate(piece, drawn, out=piece)


def empty(tensor_length: int, scalar_length: int, bits: int) -> Residues:
    """The zero vector of a session."""
    return Residues(np.zeros(tensor_length, word_type(bits)), np.zeros(scalar_length, word_type(64)))
