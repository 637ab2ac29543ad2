"""One frozen type per message, and its bytes.

Decides: the wire form of the protocol. Every length is checked before anything is allocated; the same
value always has the same bytes. A client is named by its index 1..n in the order of the announced keys;
sets of clients are bitmaps, so nobody can be named twice, or alive and dead at once.
Refuses to know: when a message is due (the steps know) and how bytes travel (`wire`).

    r0  Invitation           ->   <-  KeysAdvertised
    r1  CohortAnnounced      ->   <-  SharesSealed
    r2  SharesDelivered      ->   <-  InputMasked
    r4  UnmaskingRequested   ->   <-  SharesRevealed
"""

from dataclasses import dataclass, field
from typing import Self

from arithmetic.field import ELEMENT_BYTES
from arithmetic.packing import packed_size
from secagg.encoding import Reader, Writer
from secagg.errors import MalformedMessage, ParameterError, Refused
from secagg.graph import MOST_CLIENTS
from secagg.keys import PublicKeys
from secagg.params import PARAMS_BYTES, SESSION_BYTES, SecAggParams, Session
from secagg.primitives import DIGEST_BYTES, TAG_BYTES
from secagg.shamir import parse_share
from secagg.tags import TAG_BYTES as SHARE_TAG_BYTES

FORMAT_VERSION = 1
CIPHERTEXT_BYTES = 2 * ELEMENT_BYTES + TAG_BYTES
# Ciphertext of two shares, then the tags that bind their owner to them (`tags.tag_pair`).
SEALED_BYTES = CIPHERTEXT_BYTES + 2 * SHARE_TAG_BYTES


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
class KeysAdvertised:
    """r0, client to server."""

    keys: PublicKeys

    def to_bytes(self) -> bytes:
        """Wire form."""
        return Writer(0x11, FORMAT_VERSION).raw(self.keys.to_bytes()).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x11, FORMAT_VERSION, "key advertisement")
        keys = PublicKeys.from_reader(reader)
        reader.finish()
        return cls(keys)


@dataclass(frozen=True)
class CohortAnnounced:
    """r1, server to client: who is in the cohort, as far as the client needs it.

    Attributes:
        advertised: how many clients sent keys, n.
        cohort_digest: `cohort_digest` of all n key pairs.
        keys: index -> keys of the client itself and of its neighbours; ascending.
    """

    session: Session
    advertised: int
    cohort_digest: bytes
    keys: dict[int, PublicKeys]

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = _write_session(Writer(0x12, FORMAT_VERSION), self.session)
        writer.number(self.advertised, 4).raw(self.cohort_digest).number(len(self.keys), 4)
        for index, keys in sorted(self.keys.items()):
            writer.number(index, 4).raw(keys.to_bytes())
        return writer.finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage (also for a client named twice) or Refused."""
        reader = Reader(data, 0x12, FORMAT_VERSION, "cohort")
        session = _read_session(reader)
        advertised = reader.number(4, 1, session.params.cohort)
        announced, named = reader.raw(DIGEST_BYTES), reader.number(4, 1, advertised)
        keys: dict[int, PublicKeys] = {}
        least = 1
        for _ in range(named):
            index = reader.number(4, least, advertised)
            keys[index] = PublicKeys.from_reader(reader)
            least = index + 1
        reader.finish()
        return cls(session, advertised, announced, keys)


@dataclass(frozen=True)
class SharesSealed:
    """r1, client to server: a commitment to the self-mask seed, and sealed shares for each neighbour.

    Attributes:
        commitment: 32 bytes.
        sealed: recipient's index -> ciphertext and tags, `SEALED_BYTES`; ascending.
    """

    commitment: bytes
    sealed: dict[int, bytes]

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(0x13, FORMAT_VERSION).raw(self.commitment)
        return _write_sealed(writer, self.sealed).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x13, FORMAT_VERSION, "sealed shares")
        commitment, sealed = reader.raw(DIGEST_BYTES), _read_sealed(reader)
        reader.finish()
        return cls(commitment, sealed)


def _write_sealed(writer: Writer, sealed: dict[int, bytes]) -> Writer:
    writer.number(len(sealed), 4)
    for index, ciphertext in sorted(sealed.items()):
        writer.number(index, 4).raw(ciphertext)
    return writer


def _read_sealed(reader: Reader) -> dict[int, bytes]:
    sealed: dict[int, bytes] = {}
    least = 1
    for _ in range(reader.number(4, most=MOST_CLIENTS)):
        index = reader.number(4, least, MOST_CLIENTS)
        sealed[index] = reader.raw(SEALED_BYTES)
        least = index + 1
    return sealed


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
        return _write_sealed(writer.members(self.sharers, self.size), self.sealed).finish()

    @classmethod
    def from_bytes(cls, data: object, most: int = MOST_CLIENTS) -> Self:
        """Parse; raises MalformedMessage, also for more than `most` clients, before any is read."""
        reader = Reader(data, 0x14, FORMAT_VERSION, "delivered shares")
        session, size = reader.raw(SESSION_BYTES), reader.number(4, 1, most)
        sharers, sealed = reader.members(size), _read_sealed(reader)
        reader.finish()
        return cls(session, size, sharers, sealed)


@dataclass(frozen=True)
class InputMasked:
    """r2, client to server: the masked vector, packed to exactly b bits an entry, then 8 bytes a scalar."""

    tensor: bytes | memoryview
    scalars: bytes | memoryview

    def to_bytes(self) -> bytes:
        """Wire form."""
        return Writer(0x15, FORMAT_VERSION).raw(self.tensor).raw(self.scalars).finish()

    @classmethod
    def from_bytes(cls, data: object, params: SecAggParams) -> Self:
        """Parse; raises MalformedMessage unless the length is exactly what the session's parameters say."""
        reader = Reader(data, 0x15, FORMAT_VERSION, "masked input")
        tensor = reader.view(packed_size(params.tensor_length, params.modulus_bits))
        scalars = reader.view(packed_size(params.scalar_length, 64))
        reader.finish()
        return cls(tensor, scalars)


@dataclass(frozen=True)
class UnmaskingRequested:
    """r4, server to client: who survived r2. Whoever shared keys and is not among them is dropped."""

    session: bytes
    size: int
    survivors: frozenset[int]

    def to_bytes(self) -> bytes:
        """Wire form."""
        writer = Writer(0x18, FORMAT_VERSION).raw(self.session).number(self.size, 4)
        return writer.members(self.survivors, self.size).finish()

    @classmethod
    def from_bytes(cls, data: object, most: int = MOST_CLIENTS) -> Self:
        """Parse; raises MalformedMessage, also for more than `most` clients, before any is read."""
        reader = Reader(data, 0x18, FORMAT_VERSION, "unmasking request")
        session, size = reader.raw(SESSION_BYTES), reader.number(4, 1, most)
        survivors = reader.members(size)
        reader.finish()
        return cls(session, size, survivors)


@dataclass(frozen=True)
class SharesRevealed:
    """r4, client to server: for each peer *either* a self-mask share *or* a mask-key share, and keys for
    the next session.

    Attributes:
        self_mask: survivor's index -> share of its self-mask seed.
        mask_key: dropped client's index -> share of its private mask key.
        next_keys: public keys for the client's next session.
    """

    self_mask: dict[int, int] = field(repr=False)
    mask_key: dict[int, int] = field(repr=False)
    next_keys: PublicKeys

    def to_bytes(self) -> bytes:
        """Wire form: one entry a peer, tagged with its kind; a peer in both maps cannot be written."""
        writer = Writer(0x19, FORMAT_VERSION).raw(self.next_keys.to_bytes())
        entries = {index: (0, share) for index, share in self.self_mask.items()}
        for index, share in self.mask_key.items():
            if index in entries:
                raise MalformedMessage(f"both shares of client {index} in one reply; nothing was sent")
            entries[index] = (1, share)
        writer.number(len(entries), 4)
        for index, (kind, share) in sorted(entries.items()):
            writer.number(index, 4).number(kind, 1).number(share, ELEMENT_BYTES)
        return writer.finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x19, FORMAT_VERSION, "revealed shares")
        next_keys = PublicKeys.from_reader(reader)
        kinds: tuple[dict[int, int], dict[int, int]] = ({}, {})
        least = 1
        for _ in range(reader.number(4, most=MOST_CLIENTS)):
            index = reader.number(4, least, MOST_CLIENTS)
            kind = reader.number(1, most=1)
            kinds[kind][index] = parse_share(reader.raw(ELEMENT_BYTES))
            least = index + 1
        reader.finish()
        return cls(kinds[0], kinds[1], next_keys)
