"""Threshold sharing of 256-bit secrets over GF(p) (Shamir, CACM 1979).

Decides: one field element a secret, share i is the polynomial's value at i.
Refuses to know: whose secret it is, and whether shares are true (`tags`).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from arithmetic.field import ELEMENT_BYTES, PRIME, combine, evaluate, lagrange_weights
from secagg.errors import MalformedMessage
from secagg.primitives import Entropy

SECRET_BYTES = 32


def split(secret: bytes, holders: Sequence[int], threshold: int, entropy: Entropy) -> dict[int, int]:
    """One share for each of `holders` (distinct, positive); any `threshold` of them rebuild the secret.

    Args:
        secret: 32 bytes.
        holders: evaluation points, at least `threshold` of them.
        threshold: 1..len(holders); fewer shares than this say nothing about the secret.
        entropy: source of the polynomial's coefficients.
    """
    # 512 bits reduced mod p: within 2^-255 of uniform.
    noise = entropy(64 * (threshold - 1))
    drawn = [int.from_bytes(noise[at : at + 64], "big") % PRIME for at in range(0, len(noise), 64)]
    coefficients = [int.from_bytes(secret, "big"), *drawn]
    return {holder: evaluate(coefficients, holder) for holder in holders}


def parse_share(data: bytes) -> int:
    """A share from `ELEMENT_BYTES` bytes.

    Raises:
        MalformedMessage: wrong length, or not below the field's prime.
    """
    value = int.from_bytes(data, "big")
    if len(data) != ELEMENT_BYTES or value >= PRIME:
        raise MalformedMessage("a share is not a field element")
    return value


def rebuild(shares: Mapping[int, int]) -> bytes | None:
    """The secret behind exactly `threshold` shares, 32 bytes; None when no 256-bit secret was shared so.

    Any shares give some answer: the caller checks it against what the owner is bound to.
    """
    value = combine(_weights_at_zero(tuple(shares)), list(shares.values()))
    return value.to_bytes(SECRET_BYTES, "big") if value < 2 ** (8 * SECRET_BYTES) else None


@lru_cache(maxsize=8)
def _weights_at_zero(points: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange weights, computed once for every set of responders."""
    return tuple(lagrange_weights(points))
