"""One-time material as the three servers see it: the helper's hand that deals, and an online server's hand.

Decides: a value that the helper knows is shared by a stream and a correction. The first server's share is drawn from
its own stream; the second's, truth less that, is what the helper sends it. Material is read in the order in which it
was dealt. Opening adds both servers' messages and enters what came out into the digest.
Refuses to know: what is dealt and opened, and how messages travel.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from predictions.errors import FrameRejected
from predictions.primitives import Digest
from predictions.ring import (
    Octets,
    Planes,
    Words,
    aligned,
    pack,
    pack_into,
    packed_bytes,
    reduced,
    unpack,
    volume,
)
from predictions.stream import Stream

Exchange = Generator[bytes, Octets, Planes]


@dataclass(frozen=True)
class Masks:
    """The mask of a wire, as the helper knows it: `first + second` mod 2^bits, the features' axes before the rows'.

    Args:
        first: share of the first online server, `second`: of the second.
    """

    first: Words = field(repr=False)
    second: Words = field(repr=False)


@dataclass(frozen=True)
class Masked:
    """A wire as an online server knows it.

    Args:
        masked: value + mask mod 2^bits, the same at both; features' axes, then the rows'.
        share: this server's share of the mask.
    """

    masked: Words = field(repr=False)
    share: Words = field(repr=False)


class Dealer:
    """The helper's side of one lot.

    Args:
        first: the stream that the first online server will draw from, `second`: the second's.
        size: bytes that the lot's corrections may take (`predictions.costs`).
    """

    def __init__(self, first: Stream, second: Stream, size: int) -> None:
        self._first, self._second = first, second
        self._corrections, self._position = np.zeros(size, np.uint8), 0

    def words(self, shape: tuple[int, ...], bits: int) -> Masks:
        """What each online server draws for itself alone."""
        return Masks(self._first.words(shape, bits), self._second.words(shape, bits))

    def planes(self, shape: tuple[int, ...]) -> Planes:
        """Sum mod 2 of what each online server draws for itself alone."""
        return self._first.planes(shape) ^ self._second.planes(shape)

    def share_words(self, truth: Words, bits: int) -> Masks:
        """Share residues additively."""
        first = self._first.words(truth.shape, bits)
        second = reduced(truth - first, bits, in_place=True)
        pack_into(self._next(packed_bytes(second.size, bits)), second.reshape(-1), bits)
        return Masks(first, second)

    def share_planes(self, truth: Planes) -> None:
        """Share bits mod 2."""
        first = self._first.planes(truth.shape)
        np.bitwise_xor(truth, first, out=self._next(first.nbytes).reshape(first.shape))

    def corrections(self) -> memoryview:
        """Everything that the second server needs besides its seed."""
        return self._corrections[: self._position].data.toreadonly()

    def _next(self, size: int) -> Planes:
        start, self._position = self._position, self._position + aligned(size)
        return self._corrections[start : start + size]


class Hand:
    """An online server's side of one lot.

    Args:
        party: 1 or 2.
        stream: its own.
        corrections: of the dealer, for the second server; empty for the first.
    """

    def __init__(self, party: int, stream: Stream, corrections: Octets) -> None:
        self.first = party == 1
        self._stream = stream
        self._corrections, self._position = corrections, 0
        self._digest = Digest("opened")

    def words(self, shape: tuple[int, ...], bits: int) -> Words:
        """Randomness of its own."""
        return self._stream.words(shape, bits)

    def planes(self, shape: tuple[int, ...]) -> Planes:
        """Random bits of its own."""
        return self._stream.planes(shape)

    def shared_words(self, shape: tuple[int, ...], bits: int) -> Words:
        """Its share of what the dealer shared next."""
        if self.first:
            return self._stream.words(shape, bits)
        return unpack(self._corrected(packed_bytes(volume(shape), bits)), bits).reshape(shape)

    def shared_planes(self, shape: tuple[int, ...]) -> Planes:
        """Its share of the bits that the dealer shared next."""
        return self._stream.planes(shape) if self.first else self._corrected(volume(shape)).reshape(shape)

    def open_planes(self, mine: Planes) -> Exchange:
        """Sum mod 2 of both servers' shares."""
        theirs = yield mine.tobytes()
        _check_length(theirs, mine.nbytes)
        opened = mine ^ np.frombuffer(theirs, np.uint8).reshape(mine.shape)
        self._digest.update(opened.data.cast("B"))
        return opened

    def open_words(self, *parts: tuple[Words, int]) -> Generator[bytes, Octets, list[Words]]:
        """Sums of both servers' shares, each mod its 2^bits, in one exchange."""
        theirs = yield b"".join(pack(mine, bits).data for mine, bits in parts)
        _check_length(theirs, sum(packed_bytes(mine.size, bits) for mine, bits in parts))
        opened, start = [], 0
        for mine, bits in parts:
            end = start + packed_bytes(mine.size, bits)
            opened.append(reduced(mine + unpack(theirs[start:end], bits).reshape(mine.shape), bits))
            self._digest.update(opened[-1].data.cast("B"))
            start = end
        return opened

    def finish(self) -> bytes:
        """The digest of all that was opened; the hand must be empty.

        Raises:
            FrameRejected: corrections are left over.
        """
        if self._position != len(self._corrections):
            raise FrameRejected("the lot holds more material than this query uses; prepare lots afresh")
        return self._digest.value()

    def _corrected(self, size: int) -> Planes:
        end = self._position + aligned(size)
        if end > len(self._corrections):
            raise FrameRejected("the lot holds less material than this query uses; prepare lots afresh")
        octets = np.frombuffer(self._corrections, np.uint8, size, self._position)
        self._position = end
        return octets


def _check_length(message: Octets, length: int) -> None:
    if len(message) != length:
        raise FrameRejected(
            f"the other server sent {len(message)} bytes where {length} were due; both must run the same program"
        )
