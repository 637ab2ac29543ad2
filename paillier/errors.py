"""What can be wrong with a number that claims to be a ciphertext, and with a ring that lost a hospital.

    ProtocolError              (secagg.errors)
      InvalidCiphertext CRYPTO   a number that no encryption under this key gives
      ForeignKey        VIEW     a ciphertext, key or sum that belongs to another public key
      BrokenHop         CRYPTO   what came as the predecessor's partial sum does not open as that
      HospitalDropped   QUORUM   a hospital did not answer; the ring starts again without it

Every other mistake has its type in `secagg.errors` or `arithmetic.errors`.
"""

from collections.abc import Iterable

from secagg.errors import ProtocolError


class InvalidCiphertext(ProtocolError):
    """A number that no encryption gives: zero, not below n^2, or with a factor in common with n."""

    code = "CRYPTO"


class ForeignKey(ProtocolError):
    """Something made under another public key than the one in hand."""

    code = "VIEW"


class BrokenHop(ProtocolError):
    """What came as the predecessor's hop is not that: altered, or of another session, place or ring.

    The key holder carried it and the predecessor made it; either may be at fault, so nobody is named.
    """

    code = "CRYPTO"


class HospitalDropped(ProtocolError):
    """Hospitals did not answer; nothing of the partial sum is used again.

    Attributes:
        dropped: their numbers in the roster.
    """

    code = "QUORUM"

    def __init__(self, dropped: Iterable[int]) -> None:
        self.dropped = frozenset(dropped)
        named = ", ".join(map(str, sorted(self.dropped)))
        super().__init__(
            f"no answer of hospital {named} of the roster; the partial sum is void, start the ring again without it"
        )
