"""The public keys of a client, and the digest of a whole cohort's.

Decides: their order and bytes. Refuses to know: whether a key is a good one (`primitives.check_public_key`).
"""

from dataclasses import dataclass
from typing import Self

from secagg.encoding import Reader
from secagg.primitives import KEY_BYTES, digest


@dataclass(frozen=True)
class PublicKeys:
    """A client's two X25519 public keys, 32 bytes each."""

    mask: bytes
    channel: bytes

    def to_bytes(self) -> bytes:
        """Mask key, then channel key."""
        return self.mask + self.channel

    @classmethod
    def from_reader(cls, reader: Reader) -> Self:
        """The next two keys."""
        return cls(reader.raw(KEY_BYTES), reader.raw(KEY_BYTES))


def cohort_digest(keys: dict[int, PublicKeys]) -> bytes:
    """Digest of all advertised keys in the order of their indices."""
    return digest("cohort", *(pair.to_bytes() for _, pair in sorted(keys.items())))
