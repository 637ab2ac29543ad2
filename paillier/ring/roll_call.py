"""The roll call: which member of the roster answers on which line, before a ring is opened.

Decides: that a member says its number with a signature over a fresh challenge, so that nobody takes another's place.
Refuses to know: lines and nodes. Nothing rests on the answer but whom the key holder invites: every member signs
again when it joins.
"""

from dataclasses import dataclass
from typing import Final, Self

from paillier.ring.circle import number_bytes
from paillier.ring.terms import FORMAT_VERSION
from secagg.encoding import Reader, Writer
from secagg.errors import NotAuthentic
from secagg.primitives import SIGNATURE_BYTES, digest, is_signed
from secagg.roster import Roster
from secagg.signatory import Signatory

CHALLENGE_BYTES: Final = 32


@dataclass(frozen=True)
class RollCall:
    """Key holder to hospital: who are you? A fresh challenge of 32 bytes."""

    challenge: bytes

    def to_bytes(self) -> bytes:
        """Wire form."""
        return Writer(0x6D, FORMAT_VERSION).raw(self.challenge).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x6D, FORMAT_VERSION, "roll call")
        call = cls(reader.raw(CHALLENGE_BYTES))
        reader.finish()
        return call

    def statement(self, roster: bytes, member: int) -> bytes:
        """What the member of the roster with this digest signs."""
        return digest("ring roll call", roster, self.challenge, number_bytes(member))


@dataclass(frozen=True)
class Present:
    """Hospital to key holder: my number in the roster, and a signature over the challenge."""

    member: int
    signature: bytes

    def to_bytes(self) -> bytes:
        """Wire form."""
        return Writer(0x6E, FORMAT_VERSION).number(self.member, 4).raw(self.signature).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x6E, FORMAT_VERSION, "answer to a roll call")
        present = cls(reader.number(4, 1), reader.raw(SIGNATURE_BYTES))
        reader.finish()
        return present


def answer(call: RollCall, signatory: Signatory) -> Present:
    """A hospital's answer."""
    statement = call.statement(signatory.roster.digest, signatory.number)
    return Present(signatory.number, signatory.key.sign(statement))


def check_present(roster: Roster, call: RollCall, present: Present) -> None:
    """Whether the member of that number answered this call.

    Raises:
        NotAuthentic: no such member, a revoked one, or a signature that is not its own.
    """
    key = roster.member(present.member).key
    if not is_signed(key, call.statement(roster.digest, present.member), present.signature):
        raise NotAuthentic(f"the answer is not signed by member {present.member} of the roster")
