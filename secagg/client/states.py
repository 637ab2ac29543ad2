"""What a client keeps between two protocol rounds: one frozen type a moment, every secret hidden from `repr`.

Decides: the bytes of a state, so that the node can keep it while no process of ours runs.
Refuses to know: where it is kept. A state is consumed once: whoever keeps it removes it before the step runs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from arithmetic.field import ELEMENT_BYTES
from secagg.encoding import Reader, Writer
from secagg.graph import MOST_CLIENTS
from secagg.keys import PublicKeys
from secagg.params import PARAMS_BYTES, SESSION_BYTES, SecAggParams
from secagg.primitives import DIGEST_BYTES, KEY_BYTES, Entropy, KeyPair
from secagg.shamir import SECRET_BYTES, parse_share
from secagg.signatory import Origin, View

FORMAT_VERSION = 2


@dataclass(frozen=True)
class SecretKeys:
    """The key pairs of one session: one behind pairwise masks, one that encrypts shares."""

    mask: KeyPair
    channel: KeyPair

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """Two fresh pairs."""
        return cls(KeyPair.generate(entropy), KeyPair.generate(entropy))

    @property
    def public(self) -> PublicKeys:
        """The halves that may be sent."""
        return PublicKeys(self.mask.public, self.channel.public)

    def write(self, writer: Writer) -> Writer:
        """Append the private halves."""
        return writer.raw(self.mask.private).raw(self.channel.private)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """The next two private keys."""
        pairs = [KeyPair.from_private(reader.raw(KEY_BYTES)) for _ in range(2)]
        return cls(pairs[0], pairs[1])


@dataclass(frozen=True)
class AwaitingCohort:
    """After r0: keys were made for the session with this identifier."""

    invited: bytes
    keys: SecretKeys

    @property
    def origin(self) -> Origin:
        """What the keys were signed for."""
        return Origin(self.invited, ahead=False)

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        return self.keys.write(Writer(0x20, FORMAT_VERSION).raw(self.invited)).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x20, FORMAT_VERSION, "kept state")
        state = cls(reader.raw(SESSION_BYTES), SecretKeys.read(reader))
        reader.finish()
        return state


@dataclass(frozen=True)
class CarryingKeys:
    """After r4: keys were sent along for the next session, whichever it is, but not the one that is
    finished.
    """

    finished: bytes
    keys: SecretKeys

    @property
    def origin(self) -> Origin:
        """What the keys were signed for."""
        return Origin(self.finished, ahead=True)

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        return self.keys.write(Writer(0x21, FORMAT_VERSION).raw(self.finished)).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x21, FORMAT_VERSION, "kept state")
        state = cls(reader.raw(SESSION_BYTES), SecretKeys.read(reader))
        reader.finish()
        return state


@dataclass(frozen=True)
class AwaitingShares:
    """After r1: shares are out, no mask is committed yet.

    Attributes:
        index: the client's own, 1..advertised.
        peers: neighbour's index -> its public keys.
        seed: the self-mask seed b_u, 32 bytes.
        own_shares: the client's own index -> its share of `seed`, where it keeps one (`SecAggParams.own_share`).
        members: number in the roster of every client of the cohort; empty against a curious server.
    """

    session: bytes
    context: bytes
    params: SecAggParams
    advertised: int
    index: int
    peers: dict[int, PublicKeys]
    keys: SecretKeys
    seed: bytes = field(repr=False)
    own_shares: dict[int, int] = field(repr=False)
    members: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        writer = Writer(0x22, FORMAT_VERSION).raw(self.session).raw(self.context).raw(self.params.to_bytes())
        writer.number(self.advertised, 4).number(self.index, 4).number(len(self.peers), 4)
        for index, keys in sorted(self.peers.items()):
            writer.number(index, 4).raw(keys.to_bytes())
        _write_shares(self.keys.write(writer).raw(self.seed), self.own_shares)
        return _write_members(writer, self.members).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x22, FORMAT_VERSION, "kept state")
        session, context = reader.raw(SESSION_BYTES), reader.raw(DIGEST_BYTES)
        params = SecAggParams.from_bytes(reader.raw(PARAMS_BYTES))
        advertised = reader.number(4, 1, MOST_CLIENTS)
        index = reader.number(4, 1, advertised)
        peers = {peer: PublicKeys.from_reader(reader) for peer in _indices(reader, advertised)}
        keys, seed = SecretKeys.read(reader), reader.raw(SECRET_BYTES)
        own_shares, members = _read_shares(reader, advertised), _read_members(reader, advertised)
        reader.finish()
        return cls(session, context, params, advertised, index, peers, keys, seed, own_shares, members)


@dataclass(frozen=True)
class AwaitingSurvivors:
    """After r2: the masked vector is out; what is left are shares of others' secrets.

    Attributes:
        sharers: clients that completed r1, the only ones a survivor list may name.
        self_mask: owner's index -> share of its self-mask seed; holds the client's own, if it keeps one.
        mask_key: neighbour's index -> share of its private mask key.
        members: as in `AwaitingShares`.
    """

    session: bytes
    context: bytes
    params: SecAggParams
    advertised: int
    index: int
    sharers: frozenset[int]
    self_mask: dict[int, int] = field(repr=False)
    mask_key: dict[int, int] = field(repr=False)
    members: tuple[int, ...] = ()

    def view(self, survivors: frozenset[int]) -> View:
        """What the client signs, and wants signed by others, of who survived."""
        return View(self.context, self.advertised, self.sharers, survivors)

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        return self.write(Writer(0x23, FORMAT_VERSION)).finish()

    def write(self, writer: Writer) -> Writer:
        """Append all of it."""
        writer.raw(self.session).raw(self.context).raw(self.params.to_bytes())
        writer.number(self.advertised, 4).number(self.index, 4).members(self.sharers, self.advertised)
        _write_shares(_write_shares(writer, self.self_mask), self.mask_key)
        return _write_members(writer, self.members)

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x23, FORMAT_VERSION, "kept state")
        state = cls.read(reader)
        reader.finish()
        return state

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """What `write` wrote."""
        session, context = reader.raw(SESSION_BYTES), reader.raw(DIGEST_BYTES)
        params = SecAggParams.from_bytes(reader.raw(PARAMS_BYTES))
        advertised = reader.number(4, 1, MOST_CLIENTS)
        index, sharers = reader.number(4, 1, advertised), reader.members(advertised)
        self_mask, mask_key = _read_shares(reader, advertised), _read_shares(reader, advertised)
        members = _read_members(reader, advertised)
        return cls(session, context, params, advertised, index, sharers, self_mask, mask_key, members)


@dataclass(frozen=True)
class AwaitingSignatures:
    """After r3, in an active session: this client signed one set of survivors, and will see no other."""

    told: AwaitingSurvivors
    survivors: frozenset[int]

    @property
    def params(self) -> SecAggParams:
        """Of the session."""
        return self.told.params

    @property
    def advertised(self) -> int:
        """Clients that sent keys."""
        return self.told.advertised

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        writer = self.told.write(Writer(0x24, FORMAT_VERSION))
        return writer.members(self.survivors, self.told.advertised).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x24, FORMAT_VERSION, "kept state")
        told = AwaitingSurvivors.read(reader)
        state = cls(told, reader.members(told.advertised))
        reader.finish()
        return state


def _write_shares(writer: Writer, shares: Mapping[int, int]) -> Writer:
    writer.number(len(shares), 4)
    for index, share in sorted(shares.items()):
        writer.number(index, 4).number(share, ELEMENT_BYTES)
    return writer


def _read_shares(reader: Reader, most: int) -> dict[int, int]:
    return {index: parse_share(reader.raw(ELEMENT_BYTES)) for index in _indices(reader, most)}


def _write_members(writer: Writer, members: tuple[int, ...]) -> Writer:
    writer.number(len(members), 4)
    for member in members:
        writer.number(member, 4)
    return writer


def _read_members(reader: Reader, most: int) -> tuple[int, ...]:
    return tuple(reader.number(4, 1) for _ in range(reader.number(4, most=most)))


def _indices(reader: Reader, most: int) -> Iterator[int]:
    """A count, then as many ascending indices of 1..most; the caller reads what belongs to each."""
    least = 1
    for _ in range(reader.number(4, most=most)):
        index = reader.number(4, least, most)
        yield index
        least = index + 1
