"""The terms of a ring: what every hospital in it signs.

Decides: their bytes, and which terms can be a ring. Refuses to know: when a message is due.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from arithmetic.errors import ParameterError
from paillier.keys import PublicKey
from paillier.packing import Packing
from secagg.encoding import Reader, Writer
from secagg.errors import MalformedMessage
from secagg.primitives import DIGEST_BYTES, digest

FORMAT_VERSION: Final = 1
LEAST_HOSPITALS: Final = 3
# A ring is as slow as all its hospitals one after the other.
MOST_HOSPITALS: Final = 1024
SESSION_BYTES: Final = 32
_TAG_TERMS = 0x6F


@dataclass(frozen=True)
class Terms:
    """One session of the ring.

    Attributes:
        session: 32 bytes, never all zero, never used before.
        server_round: which step of learning, 0..2^64 - 1.
        subject: digest of what the vectors are made of (the model and how to train it), 32 bytes: nobody can be shown
            another model than the others without its being found out.
        roster: digest of the roster that numbers the members.
        members: their numbers, ascending; 3 to 1024, and no more than the packing has room for.
        public: the key holder's key.
        packing: of every vector.

    Raises:
        ParameterError: these make no ring.
    """

    session: bytes
    server_round: int
    subject: bytes
    roster: bytes
    members: tuple[int, ...]
    public: PublicKey
    packing: Packing

    def __post_init__(self) -> None:
        """Refuse what is no ring."""
        if len(self.session) != SESSION_BYTES or self.session == bytes(SESSION_BYTES):
            raise ParameterError("the session has no identifier; draw 32 random bytes")
        if not LEAST_HOSPITALS <= len(self.members) <= MOST_HOSPITALS:
            raise ParameterError(
                f"a ring of {len(self.members)} hospitals is refused; let {LEAST_HOSPITALS} to {MOST_HOSPITALS} "
                "take part"
            )
        if self.members != tuple(sorted(set(self.members))) or self.members[0] < 1:
            raise ParameterError(
                "the members of a ring are named by ascending numbers of the roster, each once"
            )
        if len(self.members) > self.packing.parties or self.packing.key_bits != self.public.bits:
            raise ParameterError(
                "the packing is not made for this many hospitals or for this key; make it anew"
            )

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        return digest("ring terms", self.to_bytes())

    def to_bytes(self) -> bytes:
        """Canonical form."""
        return self.write(Writer(_TAG_TERMS, FORMAT_VERSION)).finish()

    def write(self, writer: Writer) -> Writer:
        """Append all of it."""
        writer.raw(self.session).number(self.server_round, 8).raw(self.subject).raw(self.roster)
        writer.number(len(self.members), 4)
        for member in self.members:
            writer.number(member, 4)
        return self.packing.write(self.public.write(writer))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """The next terms; raises MalformedMessage, or Refused for a key or packing that is refused."""
        session, server_round = reader.raw(SESSION_BYTES), reader.number(8)
        subject, roster = reader.raw(DIGEST_BYTES), reader.raw(DIGEST_BYTES)
        count = reader.number(4, LEAST_HOSPITALS, MOST_HOSPITALS)
        members = tuple(reader.number(4, 1) for _ in range(count))
        public = PublicKey.read(reader)
        packing = Packing.read(reader, public.bits)
        try:
            return cls(session, server_round, subject, roster, members, public, packing)
        except ParameterError as error:
            raise MalformedMessage(f"the ring's terms are refused: {error}") from error
