"""Masks: from a secret to residues added to a vector, streamed.

Decides: the sign rule, the two parts a mask has (tensor, scalars), and that a mask is never held whole:
it is expanded and added in pieces that stay in the cache.
Refuses to know: who is a survivor (`server`), how secrets are agreed on or shared.

Bonawitz et al., CCS 2017, section 4: y_u = x_u + PRG(b_u) + sum_{u<v} PRG(s_uv) - sum_{u>v} PRG(s_uv)
(mod R).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from arithmetic.residues import Words, word_type
from secagg.primitives import KeyStream, agree, derive_key, digest

Sign = Literal[1, -1]

_PIECE_BYTES = 1 << 16
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


def pairwise_mask_seed(private: bytes, public: bytes, context: bytes, own: int, peer: int) -> MaskSeed:
    """The seed s_uv of the mask two neighbours share; the same from either side.

    Raises:
        BadKey: `public` has low order.
    """
    secret = agree(private, public)
    low, high = sorted((own, peer))
    return MaskSeed(
        derive_key(secret, "pairwise mask/tensor", context, low, high),
        derive_key(secret, "pairwise mask/scalars", context, low, high),
    )


def pairwise_sign(own: int, peer: int) -> Sign:
    """+1 for the neighbour with the smaller index, -1 for the other: the two cancel in the sum."""
    return 1 if own < peer else -1


def add_mask(total: Residues, seed: MaskSeed, sign: Sign) -> None:
    """Add (sign 1) or remove (sign -1) the mask of `seed`, in place."""
    _add_stream(total.tensor, seed.tensor, sign)
    _add_stream(total.scalars, seed.scalars, sign)


def _add_stream(total: Words, key: bytes, sign: Sign) -> None:
    """Expand `key` piece by piece and add it; uniform words mod the word's modulus are uniform mod 2^b."""
    if total.size == 0:
        return
    stream = KeyStream(key)
    word = total.dtype
    buffer = bytearray(min(_PIECE_BYTES, total.nbytes))
    operate = np.add if sign == 1 else np.subtract
    for start in range(0, total.size, _PIECE_BYTES // word.itemsize):
        piece = total[start : start + _PIECE_BYTES // word.itemsize]
        view = memoryview(buffer)[: piece.nbytes]
        stream.read_into(_ZEROS[: piece.nbytes], view)
        operate(piece, np.frombuffer(view, dtype=word), out=piece)


def empty(tensor_length: int, scalar_length: int, bits: int) -> Residues:
    """The zero vector of a session."""
    return Residues(np.zeros(tensor_length, word_type(bits)), np.zeros(scalar_length, word_type(64)))
