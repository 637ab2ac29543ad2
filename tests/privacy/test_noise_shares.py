"""Shares of integer noise: the claim against exact sums of discrete Gaussians, and the room in the modulus."""

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arithmetic.errors import ParameterError, RangeError
from privacy.accounting import pld_epsilon
from privacy.mechanisms import PoissonGaussian
from privacy.noise_shares import (
    MOST_SLACK,
    ROUNDING,
    NoisySum,
    norm_squared,
    plan_noise,
    rounded_norm_squared,
    share_sigma,
    slack_of,
)

LARGE = NoisySum(2_000_000, 10 * 256, 10, 7, 1, 32)
Law = npt.NDArray[np.float64]


def discrete_gaussian(sigma: float, reach: int) -> Law:
    """The law on -reach..reach."""
    points = np.arange(-reach, reach + 1)
    weights = np.exp(-(points**2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def sum_of_shares(share: float, honest: int, reach: int) -> Law:
    """The exact law of the sum, on -reach * honest..reach * honest."""
    law = one = discrete_gaussian(share, reach)
    for _ in range(honest - 1):
        law = np.convolve(law, one)
    return law


# ---- shares


def test_the_shares_of_the_fewest_survivors_without_the_colluders_are_the_whole_noise() -> None:
    assert share_sigma(30.0, 11, 2) == pytest.approx(10.0)


@pytest.mark.parametrize(("least", "colluders"), [(3, 3), (2, 3), (1, 1)])
def test_colluders_who_may_be_all_survivors_are_refused(least: int, colluders: int) -> None:
    with pytest.raises(ParameterError, match=f"at least {colluders + 1} survivors"):
        share_sigma(1.0, least, colluders)
    with pytest.raises(ParameterError, match="no noise is left"):
        NoisySum(1, 10, 10, least, colluders, 32)


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1.0, math.inf])
def test_noise_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ParameterError, match="standard deviation"):
        share_sigma(bad, 3, 1)
    with pytest.raises(ParameterError, match="noise multiplier"):
        plan_noise(bad, 1.0, LARGE)
    with pytest.raises(ParameterError, match="clipping norm"):
        plan_noise(1.0, bad, LARGE)


def test_more_survivors_than_the_cohort_are_refused() -> None:
    with pytest.raises(ParameterError, match="cannot have 11 survivors"):
        NoisySum(1, 10, 10, 11, 1, 32)


# ---- the integer norm


@given(st.lists(st.integers(-(2**32) + 1, 2**32 - 1), max_size=50))
def test_the_norm_is_exact(integers: list[int]) -> None:
    assert norm_squared(np.array(integers, dtype=np.int64)) == sum(number**2 for number in integers)


def test_the_norm_of_a_long_vector_does_not_wrap() -> None:
    assert norm_squared(np.full(100_000, 2**32 - 1)) == 100_000 * (2**32 - 1) ** 2


@pytest.mark.parametrize("bad", [2**32, -(2**32), -(2**63), 2**63 - 1])
def test_a_magnitude_that_would_wrap_is_refused(bad: int) -> None:
    with pytest.raises(RangeError, match="too large"):
        norm_squared(np.array([1, bad, 0]))


@pytest.mark.parametrize(("scaled", "dimension"), [(5.0, 4), (100.0, 1), (1e5, 10_000), (0.5, 1)])
def test_the_rounded_norm_is_the_one_of_the_paper(scaled: float, dimension: int) -> None:
    by_hand = scaled**2 + dimension / 4 + scaled + math.sqrt(dimension) / 2
    assert rounded_norm_squared(scaled, dimension) == math.floor(by_hand + 1e-9)
    assert rounded_norm_squared(scaled, dimension) <= (scaled + math.sqrt(dimension)) ** 2  # not rounded anew


def test_rounding_is_accepted_more_often_than_one_time_in_three() -> None:
    generator = np.random.default_rng(0)
    for dimension in (3, 1000):
        bound = rounded_norm_squared(8.0, dimension)
        vector = np.full(dimension, 8.0 / math.sqrt(dimension))
        rounded = np.floor(vector + generator.random((2000, dimension))).astype(np.int64)
        accepted = np.mean([norm_squared(row) <= bound for row in rounded])
        assert accepted > 1 - math.exp(-0.5)


# ---- what is claimed for a sum of shares


@pytest.mark.parametrize(("share", "honest"), [(0.75, 2), (0.8, 5), (1.0, 9), (1.2, 3)])
def test_the_slack_bounds_the_distance_to_one_discrete_gaussian(share: float, honest: int) -> None:
    summed = sum_of_shares(share, honest, 14)
    one = discrete_gaussian(share * math.sqrt(honest), 14 * honest)
    near = one > 1e-9  # where floats of a convolution still mean something
    furthest = np.abs(np.log(summed[near] / one[near])).max()
    assert 1e-9 < furthest <= slack_of(share, honest, 1)


@pytest.mark.parametrize("sampling", [0.1, 1.0])
def test_the_claimed_epsilon_holds_for_the_exact_law(sampling: float) -> None:
    share, honest, norm = 1.0, 9, 3
    left = math.sqrt(honest * share**2 - ROUNDING**2) / norm
    slack = slack_of(share, honest, 1)
    law = sum_of_shares(share, honest, 14)
    without, moved = np.pad(law, norm), np.roll(np.pad(law, norm), norm)
    with_one = (1 - sampling) * without + sampling * moved
    for delta in (1e-3, 1e-6):
        epsilon = pld_epsilon([PoissonGaussian(sampling, left, 1, slack)], delta)
        for one, other in ((with_one, without), (without, with_one)):
            assert np.maximum(one - math.exp(epsilon) * other, 0).sum() <= delta
    # The test can fail: a claim of twice the noise does not hold.
    bold = pld_epsilon([PoissonGaussian(sampling, left * 2, 1, slack)], 1e-6)
    assert np.maximum(with_one - math.exp(bold) * without, 0).sum() > 1e-6


def test_the_slack_grows_with_dimension_and_shares_and_falls_with_their_width() -> None:
    assert slack_of(1.0, 5, 200) == pytest.approx(200 * slack_of(1.0, 5, 1))
    assert slack_of(1.0, 5, 1) < slack_of(1.0, 64, 1) < slack_of(1.0, 65, 1) < slack_of(1.0, 1000, 1)
    assert slack_of(1.5, 5, 1) < slack_of(1.0, 5, 1)
    assert slack_of(0.7, 5, 1) == math.inf


def test_the_slack_of_many_shares_is_above_the_whole_sum() -> None:
    whole = math.fsum(10 * math.exp(-2 * math.pi**2 * k / (k + 1)) for k in range(1, 500))
    assert whole <= slack_of(1.0, 500, 1) <= 1.3 * whole


# ---- plans


def test_a_32_bit_modulus_costs_next_to_nothing_at_two_million_coordinates() -> None:
    plan = plan_noise(1.0, 1.0, LARGE)
    print(
        f"cost of integers: {plan.cost:.6%} more noise, share {plan.share:.0f} levels, slack {plan.slack:g}"
    )
    assert 0 < plan.cost < 1.4e-4
    assert plan.slack < 1e-20
    exact, integer = (
        PoissonGaussian(0.01, 1.0, 1000),
        PoissonGaussian(0.01, plan.noise_multiplier, 1000, plan.slack),
    )
    assert pld_epsilon([integer], 1e-5) == pytest.approx(pld_epsilon([exact], 1e-5), rel=1e-6)


@given(
    st.floats(0.3, 20.0),
    st.floats(1e-3, 1e3),
    st.integers(1, 2_000_000),
    st.integers(1, 5000),
    st.integers(2, 200),
    st.integers(20, 64),
)
def test_a_plan_keeps_its_promises(
    noise: float, clip: float, dimension: int, vectors: int, cohort: int, bits: int
) -> None:
    least, colluders = cohort // 2 + 1, cohort // 4
    release = NoisySum(dimension, vectors, cohort, least, colluders, bits)
    try:
        plan = plan_noise(noise, clip, release)
    except ParameterError:
        assume(False)
    left = (least - colluders) * plan.share**2 - ROUNDING**2
    assert math.sqrt(left / plan.norm_squared) == pytest.approx(plan.noise_multiplier)
    assert noise <= plan.noise_multiplier <= noise * (1 + 1e-9)
    assert plan.norm_squared == rounded_norm_squared(clip * plan.scale, dimension)
    assert math.frexp(plan.scale)[0] == 0.5  # a power of two
    assert 0 <= plan.slack <= MOST_SLACK
    largest = vectors * (Fraction(clip) * Fraction(plan.scale) + 1) + 12 * plan.share * math.sqrt(cohort)
    assert largest < Fraction(2) ** (bits - 1)


def test_the_scale_is_the_finest_that_fits() -> None:
    plan = plan_noise(1.0, 1.0, LARGE)
    doubled = share_sigma(2 * plan.share * math.sqrt(LARGE.honest), LARGE.least_survivors, LARGE.colluders)
    assert LARGE.room(1.0, plan.scale, plan.share)
    assert not LARGE.room(1.0, 2 * plan.scale, doubled)


def test_the_room_is_exact_at_its_edge() -> None:
    release = NoisySum(1, 1, 1, 1, 0, 8)  # less than 128 levels
    assert release.room(62.5, 2.0, (1.875) / 12)
    assert not release.room(62.5, 2.0, 2.0 / 12)


def test_a_modulus_without_room_is_refused_with_advice() -> None:
    with pytest.raises(ParameterError, match="more modulus-bits"):
        plan_noise(1.0, 1.0, NoisySum(10, 2560, 10, 7, 1, 10))


def test_shares_too_narrow_to_pass_for_gaussian_noise_are_refused() -> None:
    with pytest.raises(ParameterError, match="too narrow"):
        plan_noise(0.05, 1.0, NoisySum(1, 100, 100, 90, 1, 12))
