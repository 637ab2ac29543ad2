"""Who stands where in the ring, and the keys that seal what one hospital hands to the next.

Decides: the order as a function of what all members joined with and of all nonces, and what every seal and signature
of a session covers. Refuses to know: when a message is due, and what is handed on.

The order: members in ascending order of SHA-256 over the seed and the member; the seed is SHA-256 over the context and
all nonces. One honest member's nonce, which nobody knew when the others committed to theirs, makes it uniform.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from paillier.ring.terms import Terms
from secagg.primitives import PrivateKey, derive_key, digest


def number_bytes(*numbers: int) -> bytes:
    """8 bytes each."""
    return b"".join(number.to_bytes(8, "big") for number in numbers)


def commitment(terms: Terms, member: int, nonce: bytes) -> bytes:
    """What a member joins with in the place of its nonce, 32 bytes; it hides 32 uniform bytes."""
    return digest("ring commitment", terms.digest, number_bytes(member), nonce)


def joining(terms: Terms, member: int, channel: bytes, committed: bytes) -> bytes:
    """What a member signs when it joins."""
    return digest("ring joining", terms.digest, number_bytes(member), channel, committed)


def revealing(context: bytes, member: int, nonce: bytes) -> bytes:
    """What a member signs when it reveals: the terms, everybody's keys and commitments, and its nonce."""
    return digest("ring revealing", context, number_bytes(member), nonce)


@dataclass(frozen=True)
class Circle:
    """The order of one session.

    Make it with `of`.

    Attributes:
        terms: of the session.
        digest: of the terms, everybody's keys, the nonces and the order; enters every key and seal.
        order: members, first to last.
    """

    terms: Terms
    digest: bytes
    order: tuple[int, ...]

    @classmethod
    def of(cls, terms: Terms, context: bytes, nonces: Mapping[int, bytes]) -> Self:
        """The order that these nonces give.

        Args:
            terms: of the session.
            context: digest of everything the members joined with.
            nonces: member -> 32 bytes, one for each.
        """
        seed = digest("ring seed", context, *(nonces[member] for member in terms.members))
        order = sorted(terms.members, key=lambda member: digest("ring place", seed, number_bytes(member)))
        return cls(terms, digest("ring", terms.digest, context, seed, number_bytes(*order)), tuple(order))

    @cached_property
    def size(self) -> int:
        """Hospitals in the ring."""
        return len(self.order)

    def position(self, member: int) -> int:
        """1 for the first."""
        return self.order.index(member) + 1

    def key(self, private: bytes, public: bytes, position: int) -> bytes:
        """The key that seals what the hospital at `position` hands to the next; used once.

        Raises:
            BadKey: the public key has low order.
        """
        sender, recipient = self.order[position - 1 : position + 1]
        shared = PrivateKey(private).agree(public)
        return derive_key(shared, "ring hop", self.digest, position, sender, recipient)

    def label(self, position: int) -> bytes:
        """Associated data of that seal: ring, session, server round, position, sender and recipient."""
        sender, recipient = self.order[position - 1 : position + 1]
        numbers = number_bytes(self.terms.server_round, position, sender, recipient)
        return self.digest + self.terms.session + numbers

    def handing(self, sums: bytes) -> bytes:
        """What the last hospital signs when it hands the sum to the key holder."""
        return digest("ring sum", self.digest, number_bytes(self.size), sums)
