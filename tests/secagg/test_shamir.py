"""Threshold sharing: what rebuilds, and what reveals nothing."""

import os
import random
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.field import ELEMENT_BYTES, PRIME
from secagg.errors import MalformedMessage
from secagg.shamir import parse_share, rebuild, split

SECRET = bytes(range(100, 132))
secrets = st.one_of(
    st.binary(min_size=32, max_size=32), st.sampled_from([bytes(32), b"\xff" * 32, b"\x00" * 31 + b"\x01"])
)
quick = settings(max_examples=60, deadline=None)


def picked(shares: dict[int, int], holders: tuple[int, ...]) -> dict[int, int]:
    return {holder: shares[holder] for holder in holders}


def spoilt(shares: dict[int, int], liars: tuple[int, ...]) -> dict[int, int]:
    rng = random.Random(repr(liars))
    return shares | {liar: (shares[liar] + rng.randrange(1, PRIME)) % PRIME for liar in liars}


# ---- split


@quick
@given(secrets, st.integers(1, 6), st.integers(0, 4), st.binary(min_size=320, max_size=320))
def test_shares_are_values_of_the_polynomial_of_secret_and_entropy(
    secret: bytes, threshold: int, surplus: int, noise: bytes
) -> None:
    holders = list(range(1, threshold + surplus + 1))
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return noise[:size]

    shares = split(secret, holders, threshold, entropy)
    assert asked == [64 * (threshold - 1)]
    drawn = [int.from_bytes(noise[64 * at : 64 * at + 64], "big") for at in range(threshold - 1)]
    for holder in holders:
        exact = int.from_bytes(secret, "big") + sum(c * holder ** (at + 1) for at, c in enumerate(drawn))
        assert shares[holder] == exact % PRIME
    assert list(shares) == holders


def test_each_sharing_draws_a_new_polynomial() -> None:
    first, second = (split(SECRET, range(1, 6), 3, os.urandom) for _ in range(2))
    assert all(first[holder] != second[holder] for holder in range(1, 6))


def test_threshold_one_gives_everybody_the_secret() -> None:
    assert set(split(SECRET, [1, 2, 9], 1, os.urandom).values()) == {int.from_bytes(SECRET, "big")}


# ---- what rebuilds


@pytest.mark.parametrize(("size", "threshold"), [(1, 1), (2, 2), (3, 2), (5, 3), (6, 2), (6, 6), (7, 4)])
def test_any_threshold_of_the_shares_rebuild(size: int, threshold: int) -> None:
    shares = split(SECRET, range(1, size + 1), threshold, os.urandom)
    for count in range(threshold, size + 1):
        for holders in combinations(shares, count):
            assert rebuild(picked(shares, holders)) == SECRET


@quick
@given(secrets, st.integers(1, 8), st.data())
def test_rebuilds_from_scattered_holders(secret: bytes, threshold: int, data: st.DataObject) -> None:
    holders = data.draw(st.lists(st.integers(1, 1 << 20), min_size=threshold, max_size=12, unique=True))
    assert rebuild(split(secret, holders, threshold, os.urandom)) == secret


# ---- what reveals nothing


def interpolate(points: Sequence[int], values: Sequence[int], at: int) -> int:
    """The polynomial through points and values, at `at`, by the textbook formula."""
    total = 0
    for point, value in zip(points, values, strict=True):
        for other in points:
            if other != point:
                value = value * (at - other) * pow(point - other, -1, PRIME) % PRIME
        total += value
    return total % PRIME


@pytest.mark.parametrize(("size", "threshold"), [(3, 2), (4, 3), (6, 4)])
def test_fewer_shares_are_consistent_with_every_secret(size: int, threshold: int) -> None:
    """For any t - 1 shares and ANY secret there is a polynomial through both: nothing is excluded."""
    shares = split(SECRET, range(1, size + 1), threshold, os.urandom)
    targets = [bytes(32), b"\xff" * 32, SECRET[::-1], os.urandom(32)]
    for holders in combinations(shares, threshold - 1):
        for target in targets:
            points = (0, *holders)
            values = [int.from_bytes(target, "big"), *(shares[holder] for holder in holders)]
            other = next(holder for holder in shares if holder not in holders)
            completed = picked(shares, holders) | {other: interpolate(points, values, other)}
            assert rebuild(completed) == target


def test_fewer_shares_do_not_interpolate_to_the_secret() -> None:
    """A polynomial of too low degree would pass every test of rebuilding above."""
    shares = split(SECRET, range(1, 9), 5, os.urandom)
    for count in range(1, 5):
        for holders in combinations(shares, count):
            assert rebuild(picked(shares, holders)) != SECRET


def test_single_shares_spread_over_the_whole_field() -> None:
    """Top bytes of one holder's shares of one secret: chi-squared over 16 bins, 15 degrees of freedom."""
    counts = [0] * 16
    for _ in range(1600):
        counts[split(SECRET, [1], 1 + 1, os.urandom)[1] * 16 // PRIME] += 1
    assert sum((count - 100) ** 2 / 100 for count in counts) < 75  # p < 1e-9


# ---- what is not a secret


def test_a_value_beyond_256_bits_is_no_secret() -> None:
    """The field is a little larger than the secrets: such shares were never dealt for one."""
    for value in (2**256, PRIME - 1):
        assert rebuild({1: value}) is None
        assert rebuild({3: value, 8: value}) is None


def test_one_false_share_gives_another_secret_or_none() -> None:
    """Nothing here can tell: the caller checks what comes out."""
    shares = split(SECRET, range(1, 6), 4, os.urandom)
    for liar in (1, 2, 3, 4):
        assert rebuild(spoilt(picked(shares, (1, 2, 3, 4)), (liar,))) != SECRET


def test_the_order_of_arrival_does_not_matter() -> None:
    shares = split(SECRET, range(1, 6), 5, os.urandom)
    assert rebuild(dict(reversed(shares.items()))) == rebuild(shares) == SECRET


# ---- shares on the wire


@pytest.mark.parametrize("value", [0, 1, 2**256 - 1, 2**256, PRIME - 1])
def test_parse_share_takes_every_element(value: int) -> None:
    assert parse_share(value.to_bytes(ELEMENT_BYTES, "big")) == value


@pytest.mark.parametrize("value", [PRIME, PRIME + 1, 2**264 - 1])
def test_parse_share_refuses_values_beyond_the_field(value: int) -> None:
    with pytest.raises(MalformedMessage):
        parse_share(value.to_bytes(ELEMENT_BYTES, "big"))


@pytest.mark.parametrize("length", [0, 1, 32, 34, 66])
def test_parse_share_refuses_other_lengths(length: int) -> None:
    with pytest.raises(MalformedMessage):
        parse_share(bytes(length))
