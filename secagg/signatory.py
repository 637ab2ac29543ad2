"""Signatures of an active session: on the keys a client advertises, and on who survived.

Decides: what exactly is signed, and what a valid signature says. A session's keys are signed for one origin: the
session that invited the client (r0), or the one it had finished when it sent them ahead (r4). Everybody's keys in a
cohort have the same origin, so keys of an older session are nobody's.
Refuses to know: when a signature is due, and files (`wire.roster_file`).

Bonawitz et al., CCS 2017, figure 4: round 0 signs (c_u^PK || s_u^PK), round 3 signs the set U3. Ours also name
session, role, roster and everything that the context binds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from secagg.encoding import Reader, Writer
from secagg.errors import NotAuthentic
from secagg.keys import PublicKeys
from secagg.primitives import SIGNATURE_BYTES, SigningKey, digest, is_signed
from secagg.roster import Roster


@dataclass(frozen=True)
class Origin:
    """What keys were made for: a session, or whichever follows it (`ahead`)."""

    session: bytes
    ahead: bool


@dataclass(frozen=True)
class Credential:
    """Whose keys these are: the member's number in the roster, and its signature, 64 bytes."""

    member: int
    signature: bytes

    def write(self, writer: Writer) -> Writer:
        """Append both."""
        return writer.number(self.member, 4).raw(self.signature)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """The next credential."""
        return cls(reader.number(4, least=1), reader.raw(SIGNATURE_BYTES))


@dataclass(frozen=True)
class Signatory:
    """A client's place in the roster it goes by.

    Make it with `of`.
    """

    roster: Roster
    number: int
    key: SigningKey = field(repr=False)

    @classmethod
    def of(cls, roster: Roster, key: SigningKey) -> Self:
        """The place of the member with this key.

        Raises:
            NotAuthentic: the roster does not name it, or it is revoked.
        """
        return cls(roster, roster.number_of(key.public), key)

    def vouch(self, keys: PublicKeys, origin: Origin) -> Credential:
        """Sign one's keys."""
        statement = _keys_statement(self.roster, self.number, keys, origin)
        return Credential(self.number, self.key.sign(statement))

    def endorse(self, view: "View") -> bytes:
        """Sign who survived, 64 bytes."""
        return self.key.sign(view.statement(self.number))


@dataclass(frozen=True)
class View:
    """Who shared keys and who survived, as one client was told; `context` binds all that came before.

    Attributes:
        size: n, the clients that advertised keys.
        sharers: U2; `survivors` U3.
    """

    context: bytes
    size: int
    sharers: frozenset[int]
    survivors: frozenset[int]

    def statement(self, member: int) -> bytes:
        """What the member signs."""
        sets = (
            Writer(0, 0)
            .number(self.size, 4)
            .members(self.sharers, self.size)
            .members(self.survivors, self.size)
        )
        return digest("signed survivors", self.context, member.to_bytes(4, "big"), sets.finish())


def check_vouched(roster: Roster, keys: PublicKeys, credential: Credential, origin: Origin) -> None:
    """Whether a member that counts signed these keys for this origin.

    Raises:
        NotAuthentic: it did not.
    """
    member = roster.member(credential.member)
    statement = _keys_statement(roster, credential.member, keys, origin)
    if not is_signed(member.key, statement, credential.signature):
        raise NotAuthentic(
            f"the keys shown for member {credential.member} of the roster are not signed by it for this session"
        )


def is_endorsed(roster: Roster, member: int, view: View, signature: bytes) -> bool:
    """Whether the member signed this view."""
    return is_signed(roster.member(member).key, view.statement(member), signature)


def standing(roster: bytes, members: Iterable[int]) -> bytes:
    """Digest of a roster, by its own digest, and of the members in a cohort, in the order of their indices."""
    return digest("standing", roster, b"".join(member.to_bytes(4, "big") for member in members))


def _keys_statement(roster: Roster, member: int, keys: PublicKeys, origin: Origin) -> bytes:
    role = b"ahead" if origin.ahead else b"invited"
    return digest(
        "signed keys", roster.digest, origin.session, role, member.to_bytes(4, "big"), keys.to_bytes()
    )
