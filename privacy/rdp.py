"""Renyi differential privacy of one sampled Gaussian, at every order we use.

Decides the orders and how a curve becomes epsilon. Refuses to know histories and budgets.
Source: Mironov, Talwar, Zhang, "Renyi Differential Privacy of the Sampled Gaussian Mechanism", 2019, section
3.3; conversion by Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", 2020,
Proposition 12.

Not dp-accounting's curve: at orders that are not whole its series adds the magnitudes of alternating terms, an
upper bound (3e-5 above in a usual run) that gives up where it converges slowly; and it takes most of a second
to import, which a gate before every round should not cost. The tests hold the two against each other.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from privacy.mechanisms import Event

Curve = npt.NDArray[np.float64]

ORDERS: tuple[float, ...] = (
    *(1 + tenths / 10 for tenths in range(1, 100)),
    *range(12, 64),
    *(128, 256, 512, 1024),
)
_LEAST_FRACTIONAL_NOISE = 0.05
_REACH = 12.0  # in standard deviations: what lies further out is below exp(-72) of the whole


def rdp_of(event: Event, orders: tuple[float, ...] = ORDERS) -> Curve:
    """Renyi divergence of one release at each order (above 1), shape (len(orders),); infinite where not known.

    Not known are orders that are not whole under a noise multiplier of 0.05, where epsilon is in the hundreds.
    """
    sampling, noise = event
    alphas = np.array(orders, dtype=np.float64)
    with np.errstate(over="ignore", divide="ignore"):
        if sampling == 1.0:
            return np.asarray(alphas / 2 / np.float64(noise) / noise, dtype=np.float64)
        is_whole = alphas == np.floor(alphas)
        log_moments = np.full(alphas.shape, np.inf)
        log_moments[is_whole] = [_log_moment(sampling, noise, int(alpha)) for alpha in alphas[is_whole]]
        if noise >= _LEAST_FRACTIONAL_NOISE and not is_whole.all():
            log_moments[~is_whole] = _log_moments(sampling, noise, alphas[~is_whole])
        return np.asarray(np.maximum(log_moments, 0.0) / (alphas - 1), dtype=np.float64)


@lru_cache(maxsize=1 << 14)
def curve_of(event: Event) -> Curve:
    """`rdp_of` at `ORDERS`, kept; read-only."""
    curve = rdp_of(event)
    curve.flags.writeable = False
    return curve


@lru_cache(maxsize=256)
def _log_factorials(most: int) -> Curve:
    """Logarithms of k! for k = 0..most, shape (most + 1,)."""
    return np.array([math.lgamma(k + 1) for k in range(most + 1)])


def _log_moment(sampling: float, noise: float, order: int) -> float:
    """Log E[(1 - q + q e^L)^order] by the binomial sum; its terms less those of (1 - q + q)^order are all
    positive, so nothing cancels, however small q is.
    """
    counts = np.arange(2, order + 1, dtype=np.float64)
    log_factorials = _log_factorials(order)
    chosen = log_factorials[order] - log_factorials[2:] - log_factorials[order - 2 :: -1]
    exponents = counts * (counts - 1) / (2 * np.float64(noise) * noise)
    excess = np.where(exponents < 1, np.log(np.expm1(np.minimum(exponents, 1))), 0)
    excess += np.where(exponents < 1, 0, exponents + np.log1p(-np.exp(-np.maximum(exponents, 1))))
    terms = chosen + counts * math.log(sampling) + (order - counts) * math.log1p(-sampling) + excess
    return float(np.logaddexp(0.0, np.logaddexp.reduce(terms)))


def _log_moments(sampling: float, noise: float, orders: Curve) -> Curve:
    """The same at orders that are not whole, by the trapezoidal rule.

    The integrand is analytic within pi * noise standard deviations of the real line, so steps of a quarter of
    min(noise, 1) leave an error below exp(-2 pi * 4 pi + pi^2 / 2) of the whole (Trefethen, Weideman, "The
    Exponentially Convergent Trapezoidal Rule", 2014): less than a float sees.
    """
    step = min(noise, 1.0) / 4
    points = np.arange(-_REACH, float(orders.max()) / noise + _REACH, step)
    log_weights = math.log(step / math.sqrt(2 * math.pi)) - points**2 / 2
    log_ratios = np.logaddexp(
        math.log1p(-sampling), math.log(sampling) + points / noise - 0.5 / noise / noise
    )
    exponents = log_weights + orders[:, None] * log_ratios
    return np.asarray(np.logaddexp.reduce(exponents, axis=1), dtype=np.float64)


def epsilon_of(curve: Curve, delta: float) -> float:
    """The least epsilon, at least 0, that a curve at `ORDERS` gives at `delta`; infinite for NaN."""
    alphas = np.array(ORDERS)
    epsilons = curve + np.log1p(-1 / alphas) - (math.log(delta) + np.log(alphas)) / (alphas - 1)
    least = float(np.min(epsilons))
    return math.inf if math.isnan(least) else max(0.0, least)
