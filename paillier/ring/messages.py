"""One frozen type per message of the ring, and its bytes; `paillier.ring` shows who sends which.

Decides: the wire form. Every length is checked before anything is allocated; the same value has the same bytes, and all
hospitals' messages of one kind have one length, whatever they add.
Refuses to know: when a message is due (the steps know) and how bytes travel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from paillier.ciphertext import Ciphertext
from paillier.ring.terms import FORMAT_VERSION, MOST_HOSPITALS, SESSION_BYTES, Terms
from secagg.encoding import Reader, Writer
from secagg.primitives import DIGEST_BYTES, KEY_BYTES, SIGNATURE_BYTES, TAG_BYTES, digest

NONCE_BYTES: Final = 32
_TAG_RESTART = 0x61
_COUNT_BYTES = 4


@dataclass(frozen=True)
class Invitation:
    """Key holder to hospital: a session opens."""

    terms: Terms

    def to_bytes(self) -> bytes:
        """Wire form."""
        return self.terms.write(Writer(0x60, FORMAT_VERSION)).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage or Refused."""
        reader = Reader(data, 0x60, FORMAT_VERSION, "ring invitation")
        terms = Terms.read(reader)
        reader.finish()
        return cls(terms)


@dataclass(frozen=True)
class Restart:
    """Key holder to hospital: the session before failed, and another opens without those who dropped.

    Attributes:
        terms: of the new session.
        failed: identifier of the session before.
        skipped: members of it that are not in the new one, ascending.
    """

    terms: Terms
    failed: bytes
    skipped: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(_TAG_RESTART, FORMAT_VERSION).raw(self.failed).number(len(self.skipped), 4)
        for member in self.skipped:
            writer.number(member, 4)
        return self.terms.write(writer).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage or Refused."""
        reader = Reader(data, _TAG_RESTART, FORMAT_VERSION, "ring restart")
        failed = reader.raw(SESSION_BYTES)
        skipped = tuple(reader.number(4, 1) for _ in range(reader.number(4, 1, MOST_HOSPITALS)))
        terms = Terms.read(reader)
        reader.finish()
        return cls(terms, failed, skipped)


def is_restart(message: bytes) -> bool:
    """Whether a message that asks to join is a restart, by its first byte."""
    return message[:1] == bytes((_TAG_RESTART,))


@dataclass(frozen=True)
class Joined:
    """Hospital to key holder, and by it to all: I am in.

    Attributes:
        member: number in the roster.
        channel: fresh X25519 public key.
        commitment: to the nonce that comes with `Revealed`.
        signature: over terms, member, channel and commitment.
    """

    member: int
    channel: bytes
    commitment: bytes
    signature: bytes

    def write(self, writer: Writer) -> Writer:
        """Append all of it."""
        writer.number(self.member, 4).raw(self.channel).raw(self.commitment)
        return writer.raw(self.signature)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """The next one."""
        member, channel = reader.number(4, 1), reader.raw(KEY_BYTES)
        return cls(member, channel, reader.raw(DIGEST_BYTES), reader.raw(SIGNATURE_BYTES))

    def to_bytes(self) -> bytes:
        """Wire form."""
        return self.write(Writer(0x62, FORMAT_VERSION)).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x62, FORMAT_VERSION, "ring joining")
        joined = cls.read(reader)
        reader.finish()
        return joined


@dataclass(frozen=True)
class RingProposed:
    """Key holder to hospital: what everybody joined with, in ascending order of members."""

    session: bytes
    joined: tuple[Joined, ...]

    def context(self, terms: Terms) -> bytes:
        """Digest of the terms and of everything the members joined with."""
        return digest("ring context", terms.digest, *(each.to_bytes() for each in self.joined))

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(0x63, FORMAT_VERSION).raw(self.session).number(len(self.joined), 4)
        for each in self.joined:
            each.write(writer)
        return writer.finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x63, FORMAT_VERSION, "ring proposal")
        session, count = reader.raw(SESSION_BYTES), reader.number(4, 1, MOST_HOSPITALS)
        joined = tuple(Joined.read(reader) for _ in range(count))
        reader.finish()
        return cls(session, joined)


@dataclass(frozen=True)
class Revealed:
    """Hospital to key holder, and by it to all: the nonce, and a signature over it and the context."""

    nonce: bytes
    signature: bytes

    def write(self, writer: Writer) -> Writer:
        """Append both."""
        return writer.raw(self.nonce).raw(self.signature)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """The next one."""
        return cls(reader.raw(NONCE_BYTES), reader.raw(SIGNATURE_BYTES))

    def to_bytes(self) -> bytes:
        """Wire form."""
        return self.write(Writer(0x64, FORMAT_VERSION)).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x64, FORMAT_VERSION, "ring reveal")
        revealed = cls.read(reader)
        reader.finish()
        return revealed


@dataclass(frozen=True)
class HopRequested:
    """Key holder to the hospital whose turn it is.

    Attributes:
        session: identifier.
        revealed: of all members, in ascending order of members.
        sealed: what the predecessor sealed; empty for the first.
    """

    session: bytes
    revealed: tuple[Revealed, ...]
    sealed: bytes

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(0x65, FORMAT_VERSION).raw(self.session).number(len(self.revealed), 4)
        for each in self.revealed:
            each.write(writer)
        return writer.number(len(self.sealed), 4).raw(self.sealed).finish()

    @classmethod
    def from_bytes(cls, data: object, terms: Terms) -> Self:
        """Parse; raises MalformedMessage for anything but no hop, or one of the length that the terms give."""
        reader = Reader(data, 0x65, FORMAT_VERSION, "ring hop request")
        session, count = reader.raw(SESSION_BYTES), reader.number(4, 1, MOST_HOSPITALS)
        revealed = tuple(Revealed.read(reader) for _ in range(count))
        length = reader.number(4, most=sealed_bytes(terms))
        sealed = reader.raw(length)
        reader.finish()
        return cls(session, revealed, sealed)


@dataclass(frozen=True)
class PartialSum:
    """What is sealed: how many vectors are in the sum, and its ciphertexts."""

    count: int
    sums: tuple[Ciphertext, ...] = field(repr=False)

    def to_bytes(self, terms: Terms) -> bytes:
        """The plaintext of a hop."""
        return _write_sums(Writer(0x66, FORMAT_VERSION).number(self.count, _COUNT_BYTES), terms, self.sums)

    @classmethod
    def from_bytes(cls, data: object, terms: Terms) -> Self:
        """Parse; raises MalformedMessage, or InvalidCiphertext."""
        reader = Reader(data, 0x66, FORMAT_VERSION, "ring hop")
        count, sums = reader.number(_COUNT_BYTES, 1, MOST_HOSPITALS), _read_sums(reader, terms)
        reader.finish()
        return cls(count, sums)


@dataclass(frozen=True)
class HopSealed:
    """Hospital to key holder, for the next hospital alone."""

    session: bytes
    sealed: bytes

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(0x67, FORMAT_VERSION).raw(self.session).number(len(self.sealed), 4)
        return writer.raw(self.sealed).finish()

    @classmethod
    def from_bytes(cls, data: object, terms: Terms) -> Self:
        """Parse; raises MalformedMessage for a hop of any other length than the terms give."""
        reader = Reader(data, 0x67, FORMAT_VERSION, "sealed ring hop")
        due = sealed_bytes(terms)
        session, length = reader.raw(SESSION_BYTES), reader.number(4, due, due)
        sealed = reader.raw(length)
        reader.finish()
        return cls(session, sealed)


@dataclass(frozen=True)
class SumHanded:
    """The last hospital to the key holder: the ciphertexts of the total, signed; the key holder may open them."""

    session: bytes
    sums: tuple[Ciphertext, ...]
    signature: bytes

    def to_bytes(self, terms: Terms) -> bytes:
        """Wire form."""
        writer = Writer(0x68, FORMAT_VERSION).raw(self.session).raw(self.signature)
        return _write_sums(writer, terms, self.sums)

    @classmethod
    def from_bytes(cls, data: object, terms: Terms) -> Self:
        """Parse; raises MalformedMessage, or InvalidCiphertext."""
        reader = Reader(data, 0x68, FORMAT_VERSION, "ring sum")
        session, signature = reader.raw(SESSION_BYTES), reader.raw(SIGNATURE_BYTES)
        sums = _read_sums(reader, terms)
        reader.finish()
        return cls(session, sums, signature)


def sums_bytes(terms: Terms, sums: Sequence[Ciphertext]) -> bytes:
    """The ciphertexts, one after the other."""
    width = terms.public.ciphertext_bytes
    return b"".join(int(each.value).to_bytes(width, "big") for each in sums)


def sealed_bytes(terms: Terms) -> int:
    """Length of a sealed hop: the same for every place."""
    return 2 + _COUNT_BYTES + terms.packing.plaintexts * terms.public.ciphertext_bytes + TAG_BYTES


def _write_sums(writer: Writer, terms: Terms, sums: Sequence[Ciphertext]) -> bytes:
    return writer.raw(sums_bytes(terms, sums)).finish()


def _read_sums(reader: Reader, terms: Terms) -> tuple[Ciphertext, ...]:
    return tuple(Ciphertext.read(reader, terms.public) for _ in range(terms.packing.plaintexts))
