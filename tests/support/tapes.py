"""Randomness that runs through all its values, so that a server's view can be counted instead of sampled.

Element e of every array is one run of the step: the bits of e are that run's tape, read in order.
"""

from collections import Counter

import numpy as np
import numpy.typing as npt

from predictions.ring import Planes, Words, from_plane, volume, word


class EveryTape:
    """A stream whose elements run through all tapes of `bits` bits; reading more is an error."""

    def __init__(self, bits: int) -> None:
        self.runs = 1 << bits
        self._tape = np.arange(self.runs, dtype=np.uint64)
        self._bits = bits
        self.read = 0

    def words(self, shape: tuple[int, ...], bits: int) -> Words:
        """The next `bits` bits of each tape, for each place of the leading axes."""
        assert shape[-1] == self.runs
        drawn = [self._next(bits) for _ in range(volume(shape[:-1]))]
        return np.array(drawn, word(bits)).reshape(shape)

    def planes(self, shape: tuple[int, ...]) -> Planes:
        """The next bit of each tape, for each place of the leading axes."""
        assert shape[-1] == self.runs // 8
        drawn = [self._next(1) for _ in range(volume(shape[:-1]))]
        bits = np.array(drawn, np.uint8).reshape(*shape[:-1], self.runs)
        return np.packbits(bits, axis=-1, bitorder="little")

    def _next(self, bits: int) -> npt.NDArray[np.uint64]:
        assert self.read + bits <= self._bits, "the tape is too short"
        found = (self._tape >> np.uint64(self.read)) & np.uint64((1 << bits) - 1)
        self.read += bits
        return found


class OneTape:
    """A stream that gives every element the same random tape."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def words(self, shape: tuple[int, ...], bits: int) -> Words:
        """Words, the same along the last axis."""
        drawn = self._rng.integers(0, 1 << bits, (*shape[:-1], 1), dtype=np.uint64)
        return np.broadcast_to(drawn, shape).astype(word(bits))

    def planes(self, shape: tuple[int, ...]) -> Planes:
        """Planes of all ones or all zeros."""
        drawn = self._rng.integers(0, 2, (*shape[:-1], 1), dtype=np.uint8) * np.uint8(255)
        return np.broadcast_to(drawn, shape).copy()


class Zeros:
    """No randomness at all: what a broken server would use."""

    def words(self, shape: tuple[int, ...], bits: int) -> Words:
        """Zeros."""
        return np.zeros(shape, word(bits))

    def planes(self, shape: tuple[int, ...]) -> Planes:
        """Zeros."""
        return np.zeros(shape, np.uint8)


def of_planes(data: bytes, runs: int) -> list[npt.NDArray[np.uint8]]:
    """The bit of each run, for each plane in a message."""
    planes = np.frombuffer(data, np.uint8).reshape(-1, runs // 8)
    return [from_plane(plane, runs) for plane in planes]


def views(parts: list[npt.NDArray[np.unsignedinteger]]) -> Counter[tuple[int, ...]]:
    """How often each view comes up over all runs."""
    return Counter(zip(*(part.tolist() for part in parts), strict=True))
