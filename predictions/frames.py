"""Frames: how bytes between two parties are cut, counted and tagged.

Decides: the header (version, kind, query, step, sequence number, length), one key and one counter for each direction
of a link, a GMAC tag (NIST SP 800-38D) over header and payload, and that a length is believed only after it was
compared with what is expected. Refuses to know: sockets, TLS (`link`) and what a payload means.

TLS already keeps a stranger out. The tags are against ourselves: a frame of another query, step or link that a race
brings to the wrong reader once gave a silent wrong answer.
"""

import struct
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from predictions.errors import FrameRejected
from predictions.primitives import NONCE_BYTES, TAG_BYTES, Tagger, derive_key, same

HELLO_BYTES: Final = 36
QUERY_BYTES: Final = 16
NO_QUERY: Final = bytes(QUERY_BYTES)
_VERSION: Final = b"CHP\x01"
_HEADER: Final = struct.Struct(">4sB7xIQQ16s")  # 48 bytes: what follows is aligned for numpy
HEADER_BYTES: Final = _HEADER.size


class Kind(IntEnum):
    """What a frame is for; who may send which, and when, is its reader's to say."""

    FAILED = 1  # instead of any other: why there will be none
    OFFER = 2  # owner to servers: the program and its limits
    SHARE = 3  # owner to servers: a server's part of the model
    STATUS = 4  # owner asks a server what it has seen and done
    SHUTDOWN = 5  # owner to servers
    DONE = 6  # server to owner
    READY = 7  # helper to online servers: a new epoch
    ORDER = 8  # first online server to helper: make a lot
    DELIVERY = 9  # helper to online servers: which lot follows
    LOT = 10  # helper to online servers: the lot
    BEGIN = 11  # first online server to second: a query starts
    EXCHANGE = 12  # between online servers: one step of the evaluation
    ASK = 13  # client to online servers: a query
    MASK = 14  # online server to client: the seed of its part of the input's mask
    INPUT = 15  # client to online servers: the masked input
    ANSWER = 16  # online server to client
    BYE = 17  # first online server to the others: all requests were served


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that was checked; the payload hides in `repr`."""

    kind: Kind
    query: bytes
    step: int
    payload: memoryview = field(repr=False)


Expected = Mapping[Kind, tuple[int, int]]
"""Kinds that may come now, and the least and the largest length of each, in bytes."""


def hello(entropy: bytes) -> bytes:
    """What either side says first: the version and 32 fresh secret bytes, inside TLS."""
    return _VERSION + entropy


class Sealer:
    """One direction of a link, at its sender.

    Args:
        secret: what the two hellos gave, the initiator's first.
        direction: label of this direction.
    """

    def __init__(self, secret: bytes, direction: str) -> None:
        self._tagger = Tagger(derive_key(secret, f"frames {direction}"))
        self._sequence = 0

    def seal(self, kind: Kind, query: bytes, step: int, payload: bytes | bytearray | memoryview) -> bytearray:
        """The next frame, whole."""
        buffer = bytearray(HEADER_BYTES + len(payload) + TAG_BYTES)
        _HEADER.pack_into(buffer, 0, _VERSION, kind, step, self._sequence, len(payload), query)
        buffer[HEADER_BYTES:-TAG_BYTES] = payload
        buffer[-TAG_BYTES:] = self._tagger.tag(_nonce(self._sequence), memoryview(buffer)[:-TAG_BYTES])
        self._sequence += 1
        return buffer


class Opener:
    """One direction of a link, at its reader; arguments as those of `Sealer`."""

    def __init__(self, secret: bytes, direction: str) -> None:
        self._tagger = Tagger(derive_key(secret, f"frames {direction}"))
        self._sequence = 0

    def reading(
        self, expected: Expected, query: bytes | None, step: int | None
    ) -> Generator[memoryview, None, Frame]:
        """Read one frame: yields memory to be filled with what comes next, returns the frame.

        Nothing is allocated for a length that was not expected.

        Args:
            expected: what may come.
            query: whose frame it must be; None for any. A FAILED is taken whoever's it is.
            step: which step it must be; None for any.

        Raises:
            FrameRejected: version, kind, query, step, sequence number, length or tag are not as they must be.
        """
        head = bytearray(HEADER_BYTES)
        yield memoryview(head)
        version, number, found_step, sequence, length, found_query = _HEADER.unpack(head)
        if version != _VERSION:
            raise FrameRejected("a frame is of another version or torn; run one version on all machines")
        if sequence != self._sequence:
            raise FrameRejected(f"frame {sequence} came in place of frame {self._sequence}; it is not used")
        least, most = expected.get(number, (1, 0))
        if least > most:
            raise FrameRejected(f"a frame of kind {number} came where none is due; it is not used")
        kind = Kind(number)
        if not least <= length <= most:
            raise FrameRejected(f"a frame {kind.name} of {length} bytes came where {least} to {most} are due")
        if kind is not Kind.FAILED and (query not in (None, found_query) or step not in (None, found_step)):
            raise FrameRejected(f"a frame {kind.name} of another query or step came; it is not used")
        buffer = bytearray(HEADER_BYTES + length + TAG_BYTES)
        buffer[:HEADER_BYTES] = head
        view = memoryview(buffer)
        yield view[HEADER_BYTES:]
        if not same(self._tagger.tag(_nonce(sequence), view[:-TAG_BYTES]), view[-TAG_BYTES:]):
            raise FrameRejected(f"the tag of a frame {kind.name} is wrong; it is not used")
        self._sequence += 1
        return Frame(kind, found_query, found_step, view[HEADER_BYTES:-TAG_BYTES])


def _nonce(sequence: int) -> bytes:
    return sequence.to_bytes(NONCE_BYTES, "big")
