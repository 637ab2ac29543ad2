"""Bytes that are nearly a valid message, the same for the same seed.

Decides: how a message is damaged: single bits and bytes, numbers at their limits in the place of fields, pieces left
out, doubled, exchanged or taken from another message, ends cut and grown; now and then nothing but noise.
"""

import random
from collections.abc import Sequence

LIMITS = (
    0,
    1,
    2,
    3,
    5,
    8,
    0x7F,
    0xFF,
    0x100,
    0xFFFF,
    2**20,
    2**20 + 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
MOST = 1 << 16


def damaged(valid: Sequence[bytes], chance: random.Random) -> bytes:
    """One of the messages with one to four things wrong, or noise behind a valid beginning, or noise."""
    data = bytearray(chance.choice(valid))
    kind = chance.random()
    if kind < 0.02:
        return chance.randbytes(chance.randrange(200))
    if kind < 0.05:
        return bytes(data[: chance.randrange(len(data) + 1)]) + chance.randbytes(chance.randrange(64))
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        _damage(data, valid, chance)
    return bytes(data[:MOST])


def _damage(data: bytearray, valid: Sequence[bytes], chance: random.Random) -> None:
    size = len(data)
    at, kind = chance.randrange(size + 1), chance.randrange(9)
    if kind == 0 and at < size:
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1 and at < size:
        data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    elif kind in (2, 3):
        width = chance.choice((1, 2, 4, 8))
        number = chance.choice(LIMITS) + chance.choice((-1, 0, 0, 1))
        data[at : at + width] = (number % 256**width).to_bytes(width, "big")
    elif kind == 4:
        del data[at : at + chance.choice((1, 2, 4, 32, 68, size))]
    elif kind == 5:
        data[at:at] = chance.randbytes(chance.choice((1, 4, 32)))
    elif kind == 6:
        piece = data[at : at + chance.choice((4, 33, 68, 118))]
        data[at:at] = piece
    elif kind == 7:
        other = chance.choice(valid)
        start = chance.randrange(len(other))
        data[at : at + 64] = other[start : start + 64]
    else:
        end = min(size, at + chance.randrange(1, 64))
        data[at:end] = chance.randbytes(end - at)
