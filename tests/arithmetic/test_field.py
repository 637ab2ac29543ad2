"""GF(p): the prime, inverses, evaluation and interpolation."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.field import (
    ELEMENT_BYTES,
    PRIME,
    combine,
    evaluate,
    inverses,
    lagrange_weights,
    to_bytes,
)

elements = st.integers(0, PRIME - 1)
polynomials = st.lists(elements, min_size=1, max_size=12)
SMALL_PRIMES = [p for p in range(2, 312) if all(p % q for q in range(2, p))]


def probably_prime(number: int) -> bool:
    """Miller-Rabin with the 64 least primes as bases; a False is a proof."""
    if number % 2 == 0:
        return number == 2
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in SMALL_PRIMES:
        if number % base == 0:
            return number == base
        value = pow(base, odd, number)
        if value in (1, number - 1):
            continue
        for _ in range(twos - 1):
            value = value * value % number
            if value == number - 1:
                break
        else:
            return False
    return True


def naive(coefficients: list[int], x: int) -> int:
    return sum(c * pow(x, power, PRIME) for power, c in enumerate(coefficients)) % PRIME


def test_miller_rabin_of_this_file_tells_primes_from_composites() -> None:
    sieve = [n for n in range(2, 2000) if all(n % q for q in range(2, int(n**0.5) + 1))]
    assert [n for n in range(2, 2000) if probably_prime(n)] == sieve
    assert not probably_prime(561 * 1105)  # Carmichael numbers
    assert probably_prime(2**255 - 19)
    assert not probably_prime((2**127 - 1) * (2**89 - 1))


def test_prime_is_the_least_above_two_to_the_256() -> None:
    assert len(SMALL_PRIMES) == 64
    assert probably_prime(PRIME)
    assert [offset for offset in range(1, 298) if probably_prime(2**256 + offset)] == [297]
    assert PRIME == 2**256 + 297


def test_every_256_bit_secret_is_an_element_and_every_element_fits_its_bytes() -> None:
    assert PRIME > 2**256 - 1
    assert ELEMENT_BYTES == 33
    assert PRIME - 1 < 256**ELEMENT_BYTES
    assert PRIME - 1 >= 256 ** (ELEMENT_BYTES - 1)


def test_bytes_are_big_endian_of_fixed_length() -> None:
    assert to_bytes(0) == bytes(33)
    assert to_bytes(0x0102) == bytes(31) + b"\x01\x02"
    assert to_bytes(PRIME - 1) == b"\x01" + bytes(30) + b"\x01\x28"  # 297 - 1 = 0x128


@given(elements)
def test_bytes_round_trip(element: int) -> None:
    assert int.from_bytes(to_bytes(element), "big") == element
    assert len(to_bytes(element)) == ELEMENT_BYTES


@pytest.mark.parametrize("element", [-1, 256**ELEMENT_BYTES])
def test_bytes_refuse_what_does_not_fit(element: int) -> None:
    with pytest.raises(OverflowError):
        to_bytes(element)


@given(polynomials, elements)
def test_evaluate_equals_the_sum_of_powers(coefficients: list[int], x: int) -> None:
    assert evaluate(coefficients, x) == naive(coefficients, x)


def test_evaluate_at_zero_is_the_constant_term_and_the_empty_polynomial_is_zero() -> None:
    assert evaluate([7, 8, 9], 0) == 7
    assert evaluate([], 5) == 0
    assert evaluate([1, 1], PRIME - 1) == 0
    assert evaluate([PRIME], 3) == 0


@settings(max_examples=50)
@given(st.lists(st.integers(1, PRIME - 1), max_size=20))
def test_inverses(values: list[int]) -> None:
    found = inverses(values)
    assert len(found) == len(values)
    assert all(value * inverse % PRIME == 1 for value, inverse in zip(values, found, strict=True))
    assert all(0 < inverse < PRIME for inverse in found)


def test_inverses_exhaustively_on_small_and_negative_small_numbers() -> None:
    values = [*range(1, 200), *(PRIME - k for k in range(1, 200))]
    assert inverses(values) == [pow(value, -1, PRIME) for value in values]


@pytest.mark.parametrize("values", [[0], [3, 0, 5], [PRIME]])
def test_inverse_of_zero_is_refused(values: list[int]) -> None:
    with pytest.raises(ValueError, match="not invertible"):
        inverses(values)


def interpolated(points: list[int], coefficients: list[int]) -> int:
    return combine(lagrange_weights(points), [evaluate(coefficients, point) for point in points])


def test_lagrange_weights_by_hand() -> None:
    """Through (1, y1) and (2, y2) the line meets zero at 2 y1 - y2; through three points at 3 y1 - 3 y2 + y3."""
    assert lagrange_weights([1, 2]) == [2, PRIME - 1]
    assert lagrange_weights([1, 2, 3]) == [3, PRIME - 3, 1]
    assert lagrange_weights([7]) == [1]


@given(st.lists(elements, min_size=1, max_size=8), st.data())
@settings(max_examples=80, deadline=None)
def test_lagrange_reproduces_the_constant_term(coefficients: list[int], data: st.DataObject) -> None:
    count = st.integers(len(coefficients), len(coefficients) + 3)
    distinct = st.lists(st.integers(1, 1 << 20), min_size=data.draw(count), max_size=12, unique=True)
    assert interpolated(data.draw(distinct), coefficients) == coefficients[0]


def test_lagrange_exhaustively_over_small_point_sets() -> None:
    coefficients = [PRIME - 5, 3, 2**256, 1]
    for size in range(1, 6):
        for points in combinations(range(1, 9), size):
            assert interpolated(list(points), coefficients[:size]) == coefficients[0]


def test_one_point_too_few_does_not_reproduce_the_constant_term() -> None:
    coefficients = [PRIME - 5, 3, 2**256, 1]
    for points in combinations(range(1, 9), 3):
        assert interpolated(list(points), coefficients) != coefficients[0]


def test_order_of_points_does_not_matter() -> None:
    points = [5, 1, 9, 4]
    weights = dict(zip(points, lagrange_weights(points), strict=True))
    assert lagrange_weights(sorted(points)) == [weights[point] for point in sorted(points)]


def test_combine_refuses_lists_of_different_length() -> None:
    with pytest.raises(ValueError, match="zip"):
        combine([1, 2], [3])
