"""What a hospital keeps between two messages: one frozen type a moment, every secret hidden from `repr`.

Decides: the bytes of a state, so that the node can keep it while no process of ours runs.
Refuses to know: where it is kept. A state is consumed once: whoever keeps it removes it before the step runs.
"""

from dataclasses import dataclass, field
from typing import Self

from paillier.ring.messages import NONCE_BYTES, Joined, RingProposed
from paillier.ring.terms import FORMAT_VERSION, Terms
from secagg.encoding import Reader, Writer
from secagg.primitives import KEY_BYTES, KeyPair


@dataclass(frozen=True)
class AwaitingRing:
    """Joined; nobody's nonce is known yet but one's own."""

    terms: Terms
    joined: Joined
    channel: KeyPair
    nonce: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        writer = self.joined.write(self.terms.write(Writer(0x6A, FORMAT_VERSION)))
        return writer.raw(self.channel.private).raw(self.nonce).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x6A, FORMAT_VERSION, "kept ring state")
        terms, joined = Terms.read(reader), Joined.read(reader)
        pair, nonce = KeyPair.from_private(reader.raw(KEY_BYTES)), reader.raw(NONCE_BYTES)
        reader.finish()
        return cls(terms, joined, pair, nonce)


@dataclass(frozen=True)
class AwaitingHop:
    """Revealed one's nonce over this proposal, and will serve no other."""

    terms: Terms
    member: int
    channel: KeyPair
    proposed: RingProposed

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        writer = self.terms.write(Writer(0x6B, FORMAT_VERSION)).number(self.member, 4)
        writer.raw(self.channel.private)
        for each in self.proposed.joined:
            each.write(writer)
        return writer.finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x6B, FORMAT_VERSION, "kept ring state")
        terms, member = Terms.read(reader), reader.number(4, 1)
        pair = KeyPair.from_private(reader.raw(KEY_BYTES))
        joined = tuple(Joined.read(reader) for _ in terms.members)
        reader.finish()
        return cls(terms, member, pair, RingProposed(terms.session, joined))


@dataclass(frozen=True)
class HandedOn:
    """This session's part is done; all that may still come is a restart."""

    terms: Terms

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        return self.terms.write(Writer(0x6C, FORMAT_VERSION)).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x6C, FORMAT_VERSION, "kept ring state")
        terms = Terms.read(reader)
        reader.finish()
        return cls(terms)


Waiting = AwaitingRing | AwaitingHop | HandedOn
