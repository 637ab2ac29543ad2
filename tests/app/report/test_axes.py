"""Round numbers at an axis: few, within the range, and told apart."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.report.axes import horizontal, vertical, written

NUMBERS = st.floats(min_value=-1e12, max_value=1e12).filter(lambda x: x == 0 or abs(x) > 1e-9)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_every_value_has_a_place_within_the_picture(values: list[float]) -> None:
    axis = vertical(values)
    top, bottom = min(axis.start, axis.end), max(axis.start, axis.end)
    for value in values:
        assert top - 1e-6 <= axis.at(value) <= bottom + 1e-6
    assert 1 <= len(axis.ticks) <= 8
    assert list(axis.ticks) == sorted(set(axis.ticks))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_tick_lies_between_two_counts(low: int, more: int) -> None:
    for tick in horizontal(float(low), float(low + more), whole=True).ticks:
        assert math.isclose(tick, round(tick))


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        ((0.0, 0.2, 0.4), ["0.0", "0.2", "0.4"]),
        ((0.0, 0.25, 0.5), ["0.00", "0.25", "0.50"]),
        ((-5e6, 0.0, 5e6), ["\N{MINUS SIGN}5M", "0", "5M"]),
        ((0.0, 2000.0, 4000.0), ["0", "2000", "4000"]),
        ((0.0, 20_000.0), ["0", "20k"]),
        ((7.0,), ["7"]),
    ],
)
def test_ticks_are_written_alike_and_apart(ticks: tuple[float, ...], told: list[str]) -> None:
    assert [written(tick, ticks) for tick in ticks] == told


def test_a_flat_curve_has_room_around_it() -> None:
    axis = vertical([0.5, 0.5])
    assert axis.low < 0.5 < axis.high
    assert vertical([0.0], floor=0.0).low == 0.0
