"""Integer noise by statistics that can fail: against the law, against the exact sampler, on wrong scales.

The streams have fixed keys, so no verdict is a matter of luck.
"""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from privacy.discrete_gaussian import MOST_SIGMA, DiscreteGaussian, blocks_of
from tests.support.exact_gaussian import discrete_gaussian
from tests.support.streams import stream

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

every_sigma = pytest.mark.parametrize(
    "sigma", [0.5, 1.0, 3.7, 100.0, 127.9, 128.0, 1000.0, 1e5, 2.0**20, 2.0**24]
)


def draws(sigma: float, count: int, key: int = 0) -> Integers:
    return DiscreteGaussian(sigma).draw(count, stream(key))


def exact_draws(sigma: float, count: int) -> Integers:
    uniform = stream(1)
    return np.array([discrete_gaussian(sigma, uniform) for _ in range(count)], dtype=np.int64)


def cumulative(integers: Integers, sigma: float) -> Reals:
    """P[X <= x]; above sigma = 500 by the normal law at x + 1/2, which is off by less than 1e-6."""
    if sigma > 500:
        return np.asarray(stats.norm.cdf((integers + 0.5) / sigma))
    reach = math.ceil(12 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return np.asarray(weights.cumsum()[np.clip(integers + reach, 0, 2 * reach)] / weights.sum())


def edges_of(sigma: float) -> Integers:
    """The last integers of at most 40 cells, each of which holds 1 draw in 10,000 or more."""
    return np.unique(np.trunc(np.linspace(-3, 3, 39) * sigma).astype(np.int64))


def counts_of(sample: Integers, edges: Integers) -> Integers:
    return np.bincount(np.searchsorted(edges, sample), minlength=edges.shape[0] + 1)


def chi_square(sample: Integers, sigma: float) -> float:
    edges = edges_of(sigma)
    masses = np.diff(np.concatenate([[0.0], cumulative(edges, sigma), [1.0]]))
    return float(stats.chisquare(counts_of(sample, edges), masses * sample.shape[0], sum_check=False).pvalue)


def kolmogorov(sample: Integers, sigma: float) -> float:
    """p-value; conservative, as the law is discrete."""
    at = np.unique(np.concatenate([sample, sample - 1]))
    empirical = np.searchsorted(np.sort(sample), at, side="right") / sample.shape[0]
    distance = np.abs(empirical - cumulative(at, sigma)).max()
    return float(stats.kstwobign.sf(distance * math.sqrt(sample.shape[0])))


@every_sigma
def test_draws_follow_the_law_and_neither_two_thirds_nor_three_halves_of_it(sigma: float) -> None:
    sample = draws(sigma, 200_000)
    for p_value in (chi_square, kolmogorov):
        assert p_value(sample, sigma) > 1e-3
        assert p_value(sample, sigma * 2 / 3) < 1e-100
        assert p_value(sample, sigma * 3 / 2) < 1e-100


@pytest.mark.parametrize("sigma", [0.5, 2.0, 130.0, 1e5])
def test_draws_are_those_of_the_exact_sampler(sigma: float) -> None:
    edges = edges_of(sigma)
    exact = counts_of(exact_draws(sigma, 4000), edges)

    def p_value(scale: float) -> float:
        table = np.stack([exact, counts_of(draws(sigma * scale, 200_000), edges)])
        return float(stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)

    assert p_value(1.0) > 1e-3
    assert p_value(2 / 3) < 1e-20
    assert p_value(3 / 2) < 1e-20


@every_sigma
def test_moments_symmetry_and_independence_of_neighbours(sigma: float) -> None:
    """Each within 4.5 standard errors; the variance against the law's, which is below sigma^2 for a small sigma."""
    count = 400_000
    sample = draws(sigma, count)
    at = np.arange(-math.ceil(12 * sigma), math.ceil(12 * sigma) + 1) if sigma < 500 else None
    mass = None if at is None else np.exp(-(at**2) / (2 * sigma**2))
    variance = sigma**2 if at is None or mass is None else float((at**2 * mass).sum() / mass.sum())
    scaled = sample / math.sqrt(variance)
    spread = float((scaled**2).std())
    assert abs(scaled.mean()) < 4.5 / math.sqrt(count)
    assert abs((scaled**2).mean() - 1) < 4.5 * spread / math.sqrt(count)
    assert abs((scaled**3).mean()) < 4.5 * float((scaled**3).std()) / math.sqrt(count)
    assert abs((scaled[1:] * scaled[:-1]).mean()) < 4.5 / math.sqrt(count)
    positive, negative = int((sample > 0).sum()), int((sample < 0).sum())
    assert abs(positive - negative) < 4.5 * math.sqrt(positive + negative)


@pytest.mark.parametrize("sigma", [300.0, 1e5, MOST_SIGMA])
def test_integers_inside_the_blocks_are_even(sigma: float) -> None:
    """The low bits, one more than a block has, are uniform to 2^-100 or better under the law."""
    cells = 2 ** min(blocks_of(sigma).shift + 1, 10)
    low = np.bincount(draws(sigma, 400_000) % cells, minlength=cells)
    assert stats.chisquare(low).pvalue > 1e-3


def test_a_sum_of_shares_has_the_full_noise_and_a_missing_share_is_seen() -> None:
    """What an audit does with 100,000 coordinates that are zero: the sum of squares against chi-square."""
    sigma, parties, count = 1000.0, 10, 100_000
    shares = [draws(sigma / math.sqrt(parties), count, key) for key in range(parties)]

    def p_value(total: Integers) -> float:
        return float(stats.chi2.cdf(((total / sigma) ** 2).sum(), count))

    assert 1e-3 < p_value(np.sum(shares, axis=0)) < 1 - 1e-3
    assert p_value(np.sum(shares[1:], axis=0)) < 1e-100
    assert kolmogorov(np.sum(shares, axis=0), sigma) > 1e-3
    assert kolmogorov(np.sum(shares[1:], axis=0), sigma) < 1e-20
