"""What short frames say, as bytes of fixed length.

Decides: the layout of every message but the protocol's own. Refuses to know: who sends one, and when.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

from predictions.errors import FrameRejected
from predictions.program import Answer

IDENTIFIER_BYTES: Final = 16
NO_EVALUATION: Final = bytes(IDENTIFIER_BYTES)
MOST_NAME: Final = 80
_ANSWERS: Final = tuple(Answer)
_ASK: Final = struct.Struct(">16s16s?BI")
_LOT: Final = struct.Struct(">Q?BI")
_BEGIN: Final = struct.Struct(f">16sQ{MOST_NAME}s")


@dataclass(frozen=True, slots=True)
class Ask:
    """A query, as the client puts it to both online servers.

    Args:
        sharing: which sharing of which model the client means.
        answer: what it asks for.
        rows: examples, canaries included.
        evaluation: 16 bytes that the batches of one count have in common.
        last: whether the count ends with this batch and is told.
    """

    sharing: bytes
    answer: Answer
    rows: int
    evaluation: bytes = NO_EVALUATION
    last: bool = True

    BYTES = _ASK.size

    def to_bytes(self) -> bytes:
        """As bytes."""
        return _ASK.pack(self.sharing, self.evaluation, self.last, _ANSWERS.index(self.answer), self.rows)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """From bytes.

        Raises:
            FrameRejected: no such message.
        """
        sharing, evaluation, last, answer, rows = _unpacked(_ASK, data)
        return cls(sharing, _answer(answer), rows, evaluation, last)


@dataclass(frozen=True, slots=True)
class Order:
    """A lot, by its number: to be made, delivered, or thrown away.

    Args:
        number: never given twice in an epoch.
        answer: kind it is for.
        rows: of the batch; 0: throw it away.
        urgent: whether a query waits for it; one that none waits for is made when there is time.
    """

    number: int
    answer: Answer
    rows: int
    urgent: bool = True

    BYTES = _LOT.size

    def to_bytes(self) -> bytes:
        """As bytes."""
        return _LOT.pack(self.number, self.urgent, _ANSWERS.index(self.answer), self.rows)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """From bytes.

        Raises:
            FrameRejected: no such message.
        """
        number, urgent, answer, rows = _unpacked(_LOT, data)
        return cls(number, _answer(answer), rows, urgent)


@dataclass(frozen=True, slots=True)
class Begin:
    """What the first online server tells the second when a query starts.

    Args:
        epoch: 16 bytes; of the lot.
        number: of the lot.
        client: who asks.
        ask: what.
    """

    epoch: bytes
    number: int
    client: str
    ask: Ask

    BYTES = _BEGIN.size + _ASK.size

    def to_bytes(self) -> bytes:
        """As bytes."""
        return _BEGIN.pack(self.epoch, self.number, self.client.encode()) + self.ask.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """From bytes.

        Raises:
            FrameRejected: no such message.
        """
        epoch, number, client = _unpacked(_BEGIN, data[: _BEGIN.size])
        name = client.rstrip(b"\0").decode(errors="replace")
        return cls(epoch, number, name, Ask.from_bytes(data[_BEGIN.size :]))


def _answer(index: int) -> Answer:
    if index >= len(_ANSWERS):
        raise FrameRejected(f"a kind of answer has number {index}, which none has")
    return _ANSWERS[index]


def _unpacked(layout: struct.Struct, data: bytes | memoryview) -> tuple:  # type: ignore[type-arg]
    try:
        return layout.unpack(data)
    except struct.error:
        raise FrameRejected(f"a message has {len(data)} bytes in place of {layout.size}") from None
