"""Stochastic rounding that never leaves the norm bound: exact at the edge, without bias, and never silent."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import RangeError
from privacy.noise_shares import norm_squared, rounded_norm_squared
from privacy.rounding import round_rows
from tests.support.streams import stream

Rows = npt.NDArray[np.float64]
EDGE = 1000.0
LARGER = math.nextafter(2.0**31, math.inf)


def scaled(rows: Rows, norm: float) -> Rows:
    return np.asarray(rows * (norm / np.linalg.norm(rows, axis=1, keepdims=True)))


def draw(rows: int, dimension: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).normal(size=(rows, dimension))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(0.5, 1e6), st.integers(0, 2**32 - 1))
def test_no_row_is_ever_longer_than_the_bound(dimension: int, norm: float, seed: int) -> None:
    bound = rounded_norm_squared(norm, dimension)
    rows = scaled(draw(5, dimension, seed), norm)
    found = round_rows(rows, bound, stream(seed))
    assert found.shape == rows.shape
    assert found.dtype == np.int64
    assert max(norm_squared(row) for row in found) <= bound
    assert np.abs(found - rows).max() < 1


def test_a_row_above_the_bound_is_drawn_anew_and_the_others_stay() -> None:
    """A bound that a third of the draws pass: what is kept is a draw like any other, below it."""
    rows = np.tile(scaled(draw(1, 50), 8.0), (2000, 1))
    free = round_rows(rows, 2**61, stream(1))
    squares = (free**2).sum(axis=1)
    bound = int(np.quantile(squares, 0.6))
    kept = round_rows(rows, bound, stream(1))
    assert np.mean(squares > bound) > 0.2
    assert (kept**2).sum(axis=1).max() <= bound
    np.testing.assert_array_equal(kept[squares <= bound], free[squares <= bound])
    assert np.any(kept[squares > bound] != free[squares > bound])


def test_it_has_no_bias() -> None:
    row = np.array([0.0, 0.25, -0.25, 0.5, 1.75, -3.1, 1e-9])
    found = round_rows(np.tile(row, (40_000, 1)), 2**61, stream(2)).mean(axis=0)
    deviation = np.sqrt((row - np.floor(row)) * (1 - (row - np.floor(row))) / 40_000)
    assert np.all(np.abs(found - row) <= 5 * deviation + 1e-8)


@pytest.mark.parametrize(
    "value",
    [0.0, -0.0, 5e-324, -5e-324, EDGE, -EDGE, math.nextafter(EDGE, 0), math.nextafter(-EDGE, 0), 2.0**-32, 1 - 2.0**-53,
     -(2.0**-53), float(np.float16(0.1)), 2.0**30],
)  # fmt: skip
def test_69_an_entry_is_rounded_to_a_neighbour_and_a_whole_one_stays(value: float) -> None:
    found = round_rows(np.full((500, 1), value), 2**61, stream(3))
    assert set(found.ravel()) <= {math.floor(value), math.ceil(value)}
    if value == math.floor(value):
        assert set(found.ravel()) == {int(value)}


def test_69_one_ulp_above_what_the_bound_was_made_for_is_still_rounded() -> None:
    """A clip may err in the last bit; the integers never do."""
    for norm in (math.nextafter(EDGE, 0), EDGE, math.nextafter(EDGE, 2 * EDGE)):
        found = round_rows(np.array([[norm, 0.0]]), rounded_norm_squared(EDGE, 2), stream(4))
        assert norm_squared(found[0]) <= rounded_norm_squared(EDGE, 2)


def test_a_zero_row_is_zero() -> None:
    assert not round_rows(np.zeros((3, 9)), 0, stream(5)).any()


def test_no_rows_ask_for_no_bytes() -> None:
    assert round_rows(np.zeros((0, 4)), 10, stream(6)).shape == (0, 4)
    assert round_rows(np.zeros((4, 0)), 10, stream(6)).shape == (4, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, LARGER, -LARGER, 1e308])
def test_68_what_is_no_number_or_not_clipped_gives_nothing(bad: float) -> None:
    rows = np.zeros((2, 3))
    rows[1, 2] = bad
    with pytest.raises(RangeError, match="not finite or was not clipped"):
        round_rows(rows, 2**61, stream(7))


@pytest.mark.parametrize("value", [2.0**31, -(2.0**31)])
def test_the_largest_entry_is_rounded_to_itself(value: float) -> None:
    assert round_rows(np.array([[0.0, value]]), 2**62, stream(7)).tolist() == [[0, int(value)]]


def test_a_row_that_was_not_clipped_is_refused_and_not_cut() -> None:
    rows = scaled(draw(3, 20), 10.0)
    rows[1] *= 3
    with pytest.raises(RangeError, match="longer than its clipping norm"):
        round_rows(rows, rounded_norm_squared(10.0, 20), stream(8))


def test_a_square_that_would_wrap_is_too_long() -> None:
    """Four entries of 2^31 - 1: their squares pass 2^63, and wrapped they would look short."""
    with pytest.raises(RangeError, match="longer"):
        round_rows(np.full((1, 4), 2.0**31 - 1), 2**62 - 1, stream(9))


def test_the_bytes_are_the_callers() -> None:
    rows = draw(4, 30)
    assert np.array_equal(round_rows(rows, 2**61, stream(10)), round_rows(rows, 2**61, stream(10)))
    assert not np.array_equal(round_rows(rows, 2**61, stream(10)), round_rows(rows, 2**61, stream(11)))
