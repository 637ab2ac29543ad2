"""The fit finds the law that made the points, and only where it is asked to look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.powerlaw import Curve

SIZES = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)


def _curve(costs: list[float]) -> Curve:
    return Curve("server", "n", "s", SIZES[: len(costs)], costs)


@given(
    exponent=st.floats(-2, 3),
    factor=st.floats(1e-6, 1e3),
    count=st.integers(3, len(SIZES)),
)
def test_a_power_law_gives_back_its_exponent_and_factor(exponent: float, factor: float, count: int) -> None:
    fit = _curve([factor * size**exponent for size in SIZES[:count]]).fit
    assert fit.exponent == pytest.approx(exponent, abs=1e-6)
    assert fit.factor == pytest.approx(factor, rel=1e-4)
    assert fit.at(500.0) == pytest.approx(factor * 500.0**exponent, rel=1e-4)


@given(below=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3))
def test_what_small_sizes_cost_does_not_count(below: list[float]) -> None:
    fit = _curve(below + [2e-3 * size for size in SIZES[3:]]).fit
    assert fit.exponent == pytest.approx(1.0, abs=1e-6)
    assert fit.start == SIZES[3]


@given(shares=st.lists(st.floats(0.9, 1.1), min_size=7, max_size=7))
def test_noise_of_a_tenth_moves_the_exponent_little(shares: list[float]) -> None:
    fit = _curve([share * size**1.5 for share, size in zip(shares, SIZES, strict=True)]).fit
    assert fit.exponent == pytest.approx(1.5, abs=0.08)


def test_costs_that_bend_upwards_show_a_larger_exponent() -> None:
    """A quadratic part hidden in a linear cost is seen: the fit never tells the nominal power by itself."""
    linear = _curve([1e-3 * size for size in SIZES]).fit.exponent
    bent = _curve([1e-3 * size + 1e-6 * size**2 for size in SIZES]).fit.exponent
    assert bent > linear + 0.5
