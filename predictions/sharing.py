"""A sharing: one model, cut into parts once, with the limits its owner set; the same at all three servers.

Decides: what servers tell each other and clients to be sure they mean the same sharing, and how a server keeps its
part over a restart. Refuses to know: what is in a part, and where files lie.
"""

import json
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from arithmetic.errors import ChorusError
from predictions import model_file
from predictions.errors import FrameRejected
from predictions.limits import Limits
from predictions.messages import IDENTIFIER_BYTES
from predictions.program import Program

MOST_OFFER: Final = 1 << 20
MOST_PART: Final = 60 << 20


class Keeper(Protocol):
    """Keeps a server's few files, for its eyes only; each is there entirely or not at all."""

    def read(self, name: str) -> bytes | None:
        """The content; None where there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Replace the content."""
        ...


@dataclass(frozen=True)
class Sharing:
    """What is public of it.

    Args:
        identifier: 16 random bytes of the owner's.
        program: the network's shape.
        limits: what clients may ask.
    """

    identifier: bytes
    program: Program
    limits: Limits

    @property
    def name(self) -> str:
        """For people."""
        return self.identifier.hex()[:8]

    def to_bytes(self) -> bytes:
        """Two lines of JSON: the sharing's own, and the program."""
        said = {"sharing": self.identifier.hex(), "limits": self.limits.to_json()}
        return json.dumps(said).encode() + b"\n" + model_file.to_bytes(self.program)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """From two lines.

        Raises:
            FrameRejected, ModelRejected: they are none.
        """
        head, _, program = bytes(data).partition(b"\n")
        try:
            found = json.loads(head)
            identifier = bytes.fromhex(found["sharing"])
            limits = Limits.from_json(found["limits"])
        except (ValueError, KeyError, TypeError, RecursionError, ChorusError):
            identifier = b""
        if len(identifier) != IDENTIFIER_BYTES:
            raise FrameRejected("a sharing cannot be read; share the model anew with one version everywhere")
        return cls(identifier, model_file.from_bytes(program), limits)


@dataclass(frozen=True)
class Part:
    """What one server has of a sharing."""

    sharing: Sharing
    content: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """As a file's content."""
        return self.sharing.to_bytes() + b"\n" + self.content

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """From a file's content.

        Raises:
            FrameRejected, ModelRejected: it is none.
        """
        lines = data.split(b"\n", 2)
        return cls(Sharing.from_bytes(b"\n".join(lines[:2])), b"".join(lines[2:]))
