"""The prime field GF(p) with p = 2^256 + 297, the least prime above 2^256.

Decides: the prime, so that one field element holds any 256-bit secret, and how polynomials are evaluated
and interpolated.
Refuses to know: what a secret or a share is (`secagg.shamir`), and where randomness comes from.

Plain Python integers: not constant time. Only fresh random secrets of one session pass through here, on
the host that owns them or on the server that is meant to learn them.
"""

from collections.abc import Sequence

PRIME = 2**256 + 297
ELEMENT_BYTES = 33


def to_bytes(element: int) -> bytes:
    """Big-endian encoding of a field element; exactly `ELEMENT_BYTES` long."""
    return element.to_bytes(ELEMENT_BYTES, "big")


def evaluate(coefficients: Sequence[int], x: int) -> int:
    """Value at `x` of the polynomial with `coefficients` (constant term first), by Horner's rule."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % PRIME
    return value


def inverses(elements: Sequence[int]) -> list[int]:
    """Inverses of non-zero `elements`, for the price of one (Montgomery's trick)."""
    running, prefixes = 1, []
    for element in elements:
        prefixes.append(running)
        running = running * element % PRIME
    inverse = pow(running, -1, PRIME)
    result = [0] * len(elements)
    for position in range(len(elements) - 1, -1, -1):
        result[position] = inverse * prefixes[position] % PRIME
        inverse = inverse * elements[position] % PRIME
    return result


def lagrange_weights(points: Sequence[int]) -> list[int]:
    """Weights `w` with `f(0) = sum(w_i * f(points_i))` for every polynomial of degree below `len(points)`.

    `points` are distinct and not zero. Costs len(points)^2 products with small factors; the same weights serve every
    secret that the same points rebuild.
    """
    numerator = 1
    denominators = []
    for point in points:
        numerator = numerator * point % PRIME
        product = point
        for other in points:
            if other != point:
                product = product * (other - point) % PRIME
        denominators.append(product)
    return [numerator * inverse % PRIME for inverse in inverses(denominators)]


def combine(weights: Sequence[int], values: Sequence[int]) -> int:
    """The weighted sum of `values`; with Lagrange weights, the interpolated value."""
    return sum(w * v for w, v in zip(weights, values, strict=True)) % PRIME
