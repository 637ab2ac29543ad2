"""Reed-Solomon decoding over GF(p): which of m shares lie on one polynomial of degree below t, when a few
do not.

Decides: Gao's algorithm (A new algorithm for decoding Reed-Solomon codes, 2003): interpolate all points,
run the extended Euclidean algorithm half way, divide. Corrects up to (m - t) / 2 wrong shares in O(m^2)
field operations.
Refuses to know: what the shares share.
"""

from collections.abc import Mapping

from arithmetic.field import PRIME, evaluate, inverses

Polynomial = list[int]


def decode_with_errors(shares: Mapping[int, int], threshold: int) -> tuple[int, ...] | None:
    """The holders (ascending) whose shares lie on the one polynomial that most of them fit; None when too
    many do not.
    """
    points = sorted(shares)
    product = _vanishing(points)
    interpolant = _interpolant(points, [shares[point] for point in points], product)
    remainder, cofactor = _half_euclid(product, interpolant, (len(points) + threshold) // 2)
    quotient, rest = _divide(remainder, cofactor)
    if rest or len(quotient) > threshold:
        return None
    truthful = tuple(point for point in points if evaluate(quotient, point) == shares[point])
    return truthful if len(truthful) >= threshold else None


def _vanishing(points: list[int]) -> Polynomial:
    """Prod (X - x_i), constant term first."""
    result = [1]
    for point in points:
        shifted = [0, *result]
        for at, coefficient in enumerate(result):
            shifted[at] = (shifted[at] - point * coefficient) % PRIME
        result = shifted
    return result


def _interpolant(points: list[int], values: list[int], product: Polynomial) -> Polynomial:
    """The polynomial of degree below m through all points."""
    derivative = [at * coefficient % PRIME for at, coefficient in enumerate(product)][1:]
    scales = inverses([evaluate(derivative, point) for point in points])
    total = [0] * len(points)
    for point, value, scale in zip(points, values, scales, strict=True):
        factor, carry = value * scale % PRIME, 0
        for at in range(len(points), 0, -1):  # synthetic division of the product by (X - point)
            carry = (product[at] + carry * point) % PRIME
            total[at - 1] = (total[at - 1] + factor * carry) % PRIME
    return _trim(total)


def _half_euclid(high: Polynomial, low: Polynomial, stop: int) -> tuple[Polynomial, Polynomial]:
    """Extended Euclid until the remainder's degree is below `stop`; the remainder and its cofactor of
    `low`.
    """
    previous, current = high, low
    before: Polynomial = []
    cofactor = [1]
    while len(current) > stop:
        quotient, rest = _divide(previous, current)
        previous, current = current, rest
        before, cofactor = cofactor, _subtract(before, _multiply(quotient, cofactor))
    return current, cofactor


def _divide(numerator: Polynomial, denominator: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Quotient and remainder; `denominator` is not zero."""
    rest = list(numerator)
    lead = pow(denominator[-1], -1, PRIME)
    quotient = [0] * max(len(rest) - len(denominator) + 1, 0)
    for at in range(len(quotient) - 1, -1, -1):
        factor = rest[at + len(denominator) - 1] * lead % PRIME
        quotient[at] = factor
        for offset, coefficient in enumerate(denominator):
            rest[at + offset] = (rest[at + offset] - factor * coefficient) % PRIME
    return _trim(quotient), _trim(rest)


def _multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    if not left or not right:
        return []
    result = [0] * (len(left) + len(right) - 1)
    for at, coefficient in enumerate(left):
        for offset, other in enumerate(right):
            result[at + offset] = (result[at + offset] + coefficient * other) % PRIME
    return _trim(result)


def _subtract(left: Polynomial, right: Polynomial) -> Polynomial:
    size = max(len(left), len(right))
    padded = zip(left + [0] * (size - len(left)), right + [0] * (size - len(right)), strict=True)
    return _trim([(a - b) % PRIME for a, b in padded])


def _trim(polynomial: Polynomial) -> Polynomial:
    """Drop leading zeros; the zero polynomial is the empty list."""
    while polynomial and polynomial[-1] == 0:
        polynomial.pop()
    return polynomial
