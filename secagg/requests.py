"""What the server sends: one frozen type for each protocol round, and its bytes (see `secagg.messages`).

Decides: the wire form, lengths checked before anything is allocated. Refuses to know: when a message is due.
"""

from dataclasses import dataclass, field
from typing import Self

from secagg.encoding import Reader, Writer
from secagg.errors import ParameterError, Refused
from secagg.graph import MOST_CLIENTS
from secagg.keys import PublicKeys
from secagg.params import PARAMS_BYTES, SESSION_BYTES, SecAggParams, Session
from secagg.primitives import DIGEST_BYTES, SIGNATURE_BYTES
from secagg.sealed import read_sealed, write_sealed

FORMAT_VERSION = 2


def session_named(data: bytes) -> bytes:
    """The identifier of the session that a request names, whatever else is wrong with it; empty if it names none."""
    identifier = data[2 : 2 + SESSION_BYTES]
    return identifier if len(identifier) == SESSION_BYTES else b""


def _write_session(writer: Writer, session: Session) -> Writer:
    writer.raw(session.identifier).number(session.server_round, 8)
    return writer.raw(session.params.to_bytes())


def _read_session(reader: Reader) -> Session:
    identifier, server_round = reader.raw(SESSION_BYTES), reader.number(8)
    try:
        return Session(identifier, server_round, SecAggParams.from_bytes(reader.raw(PARAMS_BYTES)))
    except ParameterError as error:
        raise Refused(f"the session's parameters are refused: {error}") from error


@dataclass(frozen=True)
class Invitation:
    """r0, server to client: a session is about to open."""

    session: Session

    def to_bytes(self) -> bytes:
        """Wire form."""
        return _write_session(Writer(0x10, FORMAT_VERSION), self.session).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage or Refused."""
        reader = Reader(data, 0x10, FORMAT_VERSION, "invitation")
        session = _read_session(reader)
        reader.finish()
        return cls(session)


@dataclass(frozen=True)
class Vouched:
    """What stands behind a cohort's keys in an active session.

    Attributes:
        roster: digest of the server's roster.
        members: number in the roster of every client of the cohort, in the order of their indices.
        signatures: index -> signature on its keys.
    """

    roster: bytes
    members: tuple[int, ...]
    signatures: dict[int, bytes]


@dataclass(frozen=True)
class CohortAnnounced:
    """r1, server to client: who is in the cohort, as far as the client needs it.

    Attributes:
        advertised: how many clients sent keys, n.
        cohort_digest: `cohort_digest` of all n key pairs.
        keys: index -> keys of the client itself and of its neighbours, in an active session of everybody; ascending.
        vouched: in an active session; None in a curious one.
    """

    session: Session
    advertised: int
    cohort_digest: bytes
    keys: dict[int, PublicKeys]
    vouched: Vouched | None = None

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = _write_session(Writer(0x12, FORMAT_VERSION), self.session)
        writer.number(self.advertised, 4).raw(self.cohort_digest).number(len(self.keys), 4)
        for index, keys in sorted(self.keys.items()):
            writer.number(index, 4).raw(keys.to_bytes())
        if self.vouched:
            writer.raw(self.vouched.roster)
            for member in self.vouched.members:
                writer.number(member, 4)
            for _, signature in sorted(self.vouched.signatures.items()):
                writer.raw(signature)
        return writer.finish()

    @classmethod
    def from_bytes(cls, data: object, most: int = MOST_CLIENTS) -> Self:
        """Parse; raises Refused, or MalformedMessage, also for a client named twice or more than `most` of them."""
        reader = Reader(data, 0x12, FORMAT_VERSION, "cohort")
        session = _read_session(reader)
        advertised = reader.number(4, 1, min(session.params.cohort, most))
        announced, named = reader.raw(DIGEST_BYTES), reader.number(4, 1, advertised)
        keys: dict[int, PublicKeys] = {}
        least = 1
        for _ in range(named):
            index = reader.number(4, least, advertised)
            keys[index] = PublicKeys.from_reader(reader)
            least = index + 1
        vouched = None
        if session.params.is_active:
            roster = reader.raw(DIGEST_BYTES)
            members = tuple(reader.number(4, least=1) for _ in range(advertised))
            vouched = Vouched(roster, members, {index: reader.raw(SIGNATURE_BYTES) for index in keys})
        reader.finish()
        return cls(session, advertised, announced, keys, vouched)


@dataclass(frozen=True)
class SharesDelivered:
    """r2, server to client: who shared keys, and the shares meant for this client.

    Attributes:
        session: identifier, so that a request of another session is known for what it is.
        size: n, the clients announced in r1.
        sharers: indices of all clients that completed r1.
        sealed: neighbour's index -> its ciphertext for this client, and tags.
    """

    session: bytes
    size: int
    sharers: frozenset[int]
    sealed: dict[int, bytes]

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(0x14, FORMAT_VERSION).raw(self.session).number(self.size, 4)
        return write_sealed(writer.members(self.sharers, self.size), self.sealed).finish()

    @classmethod
    def from_bytes(cls, data: object, most: int = MOST_CLIENTS) -> Self:
        """Parse; raises MalformedMessage, also for more than `most` clients, before any is read."""
        reader = Reader(data, 0x14, FORMAT_VERSION, "delivered shares")
        session, size = reader.raw(SESSION_BYTES), reader.number(4, 1, most)
        sharers, sealed = reader.members(size), read_sealed(reader)
        reader.finish()
        return cls(session, size, sharers, sealed)


@dataclass(frozen=True)
class SurvivorsAnnounced:
    """r3, server to client: who survived r2."""

    session: bytes
    size: int
    survivors: frozenset[int]

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(0x16, FORMAT_VERSION).raw(self.session).number(self.size, 4)
        return writer.members(self.survivors, self.size).finish()

    @classmethod
    def from_bytes(cls, data: object, most: int = MOST_CLIENTS) -> Self:
        """Parse; raises MalformedMessage, also for more than `most` clients, before any is read."""
        reader = Reader(data, 0x16, FORMAT_VERSION, "survivor announcement")
        session, size = reader.raw(SESSION_BYTES), reader.number(4, 1, most)
        survivors = reader.members(size)
        reader.finish()
        return cls(session, size, survivors)


@dataclass(frozen=True)
class UnmaskingRequested:
    """r4, server to client: who survived r2. Whoever shared keys and is not among them is dropped.

    Attributes:
        signatures: index -> signature on the survivors, of an active session; empty in a curious one.
    """

    session: bytes
    size: int
    survivors: frozenset[int]
    signatures: dict[int, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(0x18, FORMAT_VERSION).raw(self.session).number(self.size, 4)
        writer.members(self.survivors, self.size).number(len(self.signatures), 4)
        for index, signature in sorted(self.signatures.items()):
            writer.number(index, 4).raw(signature)
        return writer.finish()

    @classmethod
    def from_bytes(cls, data: object, most: int = MOST_CLIENTS) -> Self:
        """Parse; raises MalformedMessage, also for more than `most` clients, before any is read."""
        reader = Reader(data, 0x18, FORMAT_VERSION, "unmasking request")
        session, size = reader.raw(SESSION_BYTES), reader.number(4, 1, most)
        survivors, signatures, least = reader.members(size), dict[int, bytes](), 1
        for _ in range(reader.number(4, most=size)):
            index = reader.number(4, least, size)
            signatures[index] = reader.raw(SIGNATURE_BYTES)
            least = index + 1
        reader.finish()
        return cls(session, size, survivors, signatures)
