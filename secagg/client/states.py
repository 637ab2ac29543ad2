"""What a client keeps between two protocol rounds: one frozen type a moment, every secret hidden from `repr`.

Decides: the bytes of a state, so that the node can keep it while no process of ours runs.
Refuses to know: where it is kept. A state is consumed once: whoever keeps it removes it before the step runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from arithmetic.field import ELEMENT_BYTES
from secagg.encoding import Reader, Writer
from secagg.graph import MOST_CLIENTS
from secagg.keys import PublicKeys
from secagg.params import PARAMS_BYTES, SESSION_BYTES, SecAggParams
from secagg.primitives import DIGEST_BYTES, KEY_BYTES, Entropy, KeyPair
from secagg.shamir import SECRET_BYTES, parse_share

FORMAT_VERSION = 1


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
        own_share: the client's own share of `seed`.
    """

    session: bytes
    context: bytes
    params: SecAggParams
    advertised: int
    index: int
    peers: dict[int, PublicKeys]
    keys: SecretKeys
    seed: bytes = field(repr=False)
    own_share: int = field(repr=False)

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        writer = Writer(0x22, FORMAT_VERSION).raw(self.session).raw(self.context).raw(self.params.to_bytes())
        writer.number(self.advertised, 4).number(self.index, 4).number(len(self.peers), 4)
        for index, keys in sorted(self.peers.items()):
            writer.number(index, 4).raw(keys.to_bytes())
        return self.keys.write(writer).raw(self.seed).number(self.own_share, ELEMENT_BYTES).finish()

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
        own_share = parse_share(reader.raw(ELEMENT_BYTES))
        reader.finish()
        return cls(session, context, params, advertised, index, peers, keys, seed, own_share)


@dataclass(frozen=True)
class AwaitingSurvivors:
    """After r2: the masked vector is out; what is left are shares of others' secrets.

    Attributes:
        sharers: clients that completed r1, the only ones a survivor list may name.
        self_mask: owner's index -> share of its self-mask seed; holds the client's own.
        mask_key: neighbour's index -> share of its private mask key.
    """

    session: bytes
    params: SecAggParams
    advertised: int
    index: int
    sharers: frozenset[int]
    self_mask: dict[int, int] = field(repr=False)
    mask_key: dict[int, int] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Bytes to keep."""
        writer = Writer(0x23, FORMAT_VERSION).raw(self.session).raw(self.params.to_bytes())
        writer.number(self.advertised, 4).number(self.index, 4).members(self.sharers, self.advertised)
        for shares in (self.self_mask, self.mask_key):
            writer.number(len(shares), 4)
            for index, share in sorted(shares.items()):
                writer.number(index, 4).number(share, ELEMENT_BYTES)
        return writer.finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage."""
        reader = Reader(data, 0x23, FORMAT_VERSION, "kept state")
        session, params = reader.raw(SESSION_BYTES), SecAggParams.from_bytes(reader.raw(PARAMS_BYTES))
        advertised = reader.number(4, 1, MOST_CLIENTS)
        index, sharers = reader.number(4, 1, advertised), reader.members(advertised)
        self_mask = {owner: parse_share(reader.raw(ELEMENT_BYTES)) for owner in _indices(reader, advertised)}
        mask_key = {owner: parse_share(reader.raw(ELEMENT_BYTES)) for owner in _indices(reader, advertised)}
        reader.finish()
        return cls(session, params, advertised, index, sharers, self_mask, mask_key)


def _indices(reader: Reader, most: int) -> Iterator[int]:
    """A count, then as many ascending indices of 1..most; the caller reads what belongs to each."""
    least = 1
    for _ in range(reader.number(4, most=most)):
        index = reader.number(4, least, most)
        yield index
        least = index + 1
