"""What a client sends: one frozen type for each protocol round, and its bytes (see `secagg.messages`).

Decides: the wire form, lengths checked before anything is allocated. Refuses to know: when a message is due.
"""

from dataclasses import dataclass, field
from typing import Self

from arithmetic.field import ELEMENT_BYTES
from arithmetic.packing import packed_size
from secagg.encoding import Reader, Writer
from secagg.errors import MalformedMessage
from secagg.graph import MOST_CLIENTS
from secagg.keys import PublicKeys
from secagg.params import SecAggParams
from secagg.primitives import DIGEST_BYTES, SIGNATURE_BYTES
from secagg.sealed import read_sealed, write_sealed
from secagg.shamir import parse_share
from secagg.signatory import Credential

FORMAT_VERSION = 2


@dataclass(frozen=True)
class KeysAdvertised:
    """r0, client to server, and within r4's reply: a client's public keys.

    Attributes:
        credential: who vouches for them, in an active session; None in a curious one.
    """

    keys: PublicKeys
    credential: Credential | None = None

    def to_bytes(self) -> bytes:
        """Wire form."""
        return self.write(Writer(0x11, FORMAT_VERSION)).finish()

    def write(self, writer: Writer) -> Writer:
        """Append the keys, and the credential where there is one."""
        writer.raw(self.keys.to_bytes()).number(int(self.credential is not None), 1)
        return self.credential.write(writer) if self.credential else writer

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """The next keys."""
        keys = PublicKeys.from_reader(reader)
        return cls(keys, Credential.read(reader) if reader.number(1, most=1) else None)

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x11, FORMAT_VERSION, "key advertisement")
        advertised = cls.read(reader)
        reader.finish()
        return advertised


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
        return write_sealed(writer, self.sealed).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x13, FORMAT_VERSION, "sealed shares")
        commitment, sealed = reader.raw(DIGEST_BYTES), read_sealed(reader)
        reader.finish()
        return cls(commitment, sealed)


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
class SurvivorsSigned:
    """r3, client to server: the client's signature on `signatory.View`, 64 bytes."""

    signature: bytes

    def to_bytes(self) -> bytes:
        """Wire form."""
        return Writer(0x17, FORMAT_VERSION).raw(self.signature).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Parse; raises MalformedMessage."""
        reader = Reader(data, 0x17, FORMAT_VERSION, "signature on survivors")
        signature = reader.raw(SIGNATURE_BYTES)
        reader.finish()
        return cls(signature)


@dataclass(frozen=True)
class SharesRevealed:
    """r4, client to server: for each peer *either* a self-mask share *or* a mask-key share, and keys for
    the next session.

    Attributes:
        self_mask: survivor's index -> share of its self-mask seed.
        mask_key: dropped client's index -> share of its private mask key.
        following: public keys for the client's next session.
    """

    self_mask: dict[int, int] = field(repr=False)
    mask_key: dict[int, int] = field(repr=False)
    following: KeysAdvertised

    def to_bytes(self) -> bytes:
        """Wire form: one entry a peer, tagged with its kind; a peer in both maps cannot be written."""
        writer = self.following.write(Writer(0x19, FORMAT_VERSION))
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
        following = KeysAdvertised.read(reader)
        kinds: tuple[dict[int, int], dict[int, int]] = ({}, {})
        least = 1
        for _ in range(reader.number(4, most=MOST_CLIENTS)):
            index = reader.number(4, least, MOST_CLIENTS)
            kind = reader.number(1, most=1)
            kinds[kind][index] = parse_share(reader.raw(ELEMENT_BYTES))
            least = index + 1
        reader.finish()
        return cls(kinds[0], kinds[1], following)
