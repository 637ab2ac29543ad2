"""A server's own randomness of one lot: words and bit planes out of one stream, in one order.

Decides: how much is drawn at a time. The helper draws the same from the same seed, in the same order. Refuses to know:
what the numbers hide.
"""

from typing import Protocol

import numpy as np

from predictions.primitives import KeyStream
from predictions.ring import Planes, Words, reduced, volume, word

_BUFFER_BYTES = 1 << 14
_ALIGNMENT = 16


class Stream(Protocol):
    """Where masks come from; tests put in streams that run through all values."""

    def words(self, shape: tuple[int, ...], bits: int) -> Words:
        """Uniform residues mod 2^bits."""

    def planes(self, shape: tuple[int, ...]) -> Planes:
        """Uniform bytes, each of them eight bits of eight elements."""


class SeedStream:
    """The stream of a seed.

    Args:
        seed: 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._keystream = KeyStream(seed)
        self._buffer = np.empty(0, np.uint8)
        self._position = 0

    def words(self, shape: tuple[int, ...], bits: int) -> Words:
        """Uniform residues mod 2^bits."""
        kind = word(bits)
        return reduced(self._octets(volume(shape) * kind.itemsize).view(kind).reshape(shape), bits)

    def planes(self, shape: tuple[int, ...]) -> Planes:
        """Uniform bytes."""
        return self._octets(volume(shape)).reshape(shape)

    def _octets(self, size: int) -> Planes:
        """The next `size` bytes; what comes after begins at a multiple of 16."""
        aligned = -(-size // _ALIGNMENT) * _ALIGNMENT
        if aligned > len(self._buffer) - self._position:
            if aligned >= _BUFFER_BYTES:
                return self._expand(aligned)[:size]
            self._buffer, self._position = self._expand(_BUFFER_BYTES), 0
        start, self._position = self._position, self._position + aligned
        return self._buffer[start : start + size]

    def _expand(self, size: int) -> Planes:
        octets = np.empty(size, np.uint8)
        self._keystream.fill(octets.data)
        return octets
