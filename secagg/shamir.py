"""Threshold sharing of 256-bit secrets over GF(p) (Shamir, CACM 1979), and reconstruction that finds liars.

Decides: one field element a secret, share i is the polynomial's value at i.
Refuses to know: whose secret it is. A candidate secret is believed only when the caller's check (public
key, commitment) says so.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice

from arithmetic.field import (
    ELEMENT_BYTES,
    PRIME,
    barycentric_weights,
    combine,
    evaluate,
    lagrange_weights,
)
from secagg.decoding import decode_with_errors
from secagg.errors import MalformedMessage
from secagg.primitives import Entropy

SECRET_BYTES = 32
_MOST_TRIALS = 4096


@dataclass(frozen=True)
class Recovered:
    """A secret that passed its check, and the holders whose shares are not on its polynomial."""

    secret: bytes
    liars: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Recovered(<secret>, liars={self.liars})"


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


def recover(shares: Mapping[int, int], threshold: int, accept: Callable[[bytes], bool]) -> Recovered | None:
    """The secret behind `shares` that `accept` confirms, with the liars named; None when there is none to
    be found.

    Shares that all lie on one polynomial settle the honest case. Otherwise Reed-Solomon decoding corrects
    up to half the surplus, and a bounded search over who else may lie, with `accept` as the judge, covers
    small cohorts beyond that.

    Args:
        shares: holder -> share value.
        threshold: how many shares rebuild.
        accept: whether a 32-byte candidate is the secret that was committed to.
    """
    if len(shares) < threshold:
        return None
    holders = tuple(sorted(shares))
    if _on_one_polynomial(holders, shares, threshold):
        secret = _interpolate(holders[:threshold], shares)
        return Recovered(secret, ()) if secret is not None and accept(secret) else None
    truthful = decode_with_errors(shares, threshold)
    if truthful is not None:
        secret = _interpolate(truthful[:threshold], shares)
        if secret is not None and accept(secret):
            return Recovered(secret, tuple(sorted(set(shares) - set(truthful))))
    return _search(holders, shares, threshold, accept)


def _search(
    holders: tuple[int, ...], shares: Mapping[int, int], threshold: int, accept: Callable[[bytes], bool]
) -> Recovered | None:
    """Try sets of `threshold` holders in turn, at most `_MOST_TRIALS` of them."""
    for points in islice(combinations(holders, threshold), _MOST_TRIALS):
        secret = _interpolate(points, shares)
        if secret is not None and accept(secret):
            return Recovered(secret, _off_polynomial(points, shares))
    return None


def _on_one_polynomial(holders: tuple[int, ...], shares: Mapping[int, int], threshold: int) -> bool:
    """Whether all shares fit one polynomial of degree below `threshold`, in one pass over them.

    Cascudo and David, SCRAPE (ACNS 2017), Lemma 1: a codeword is orthogonal to every word of the dual
    code, a non-codeword to a random one with probability 1/p only. The check only decides which path is
    taken; `accept` decides what is believed.
    """
    if len(holders) == threshold:
        return True
    return combine(_dual_word(holders, threshold), [shares[holder] for holder in holders]) == 0


@lru_cache(maxsize=8)
def _dual_word(holders: tuple[int, ...], threshold: int) -> tuple[int, ...]:
    """A word of the dual code, from a public pseudo-random polynomial of degree below len(holders) -
    threshold.
    """
    size = len(holders) - threshold
    drawn = hashlib.shake_256(repr((holders, threshold)).encode()).digest(64 * size)
    polynomial = [int.from_bytes(drawn[64 * at : 64 * at + 64], "big") % PRIME for at in range(size)]
    weights = barycentric_weights(holders)
    return tuple(w * evaluate(polynomial, x) % PRIME for w, x in zip(weights, holders, strict=True))


def _interpolate(points: tuple[int, ...], shares: Mapping[int, int]) -> bytes | None:
    """The polynomial's value at 0 as 32 bytes; None when it is not below 2^256."""
    value = combine(_weights_at_zero(points), [shares[point] for point in points])
    return value.to_bytes(SECRET_BYTES, "big") if value < 2 ** (8 * SECRET_BYTES) else None


@lru_cache(maxsize=8)
def _weights_at_zero(points: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange weights, computed once for every set of responders."""
    return tuple(lagrange_weights(points))


def _off_polynomial(points: tuple[int, ...], shares: Mapping[int, int]) -> tuple[int, ...]:
    """Holders whose share is not on the polynomial through `points`."""
    values = [shares[point] for point in points]
    others = sorted(set(shares) - set(points))
    return tuple(
        holder for holder in others if combine(lagrange_weights(points, holder), values) != shares[holder]
    )
