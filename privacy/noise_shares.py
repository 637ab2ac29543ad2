"""Integer noise in shares: how large each client's share is, on which scale, and what may be claimed for it.

Decides the scale, the integer norm bound and the share, so that the survivors' shares less the colluders' hide
what one vector adds. Refuses to know how noise is drawn and who is in the cohort.

Source: Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
Aggregation", 2021, sections 3 (sums of discrete Gaussians) and 4 (conditional rounding).

Why a Gaussian's accounting holds for the sum of the shares, sampling included. Let m honest survivors add
discrete Gaussians of parameter s each to integers c; further ones only post-process.
- Their sum is within a factor exp(tau) a coordinate of one discrete Gaussian of variance m s^2, with tau = 10
  sum_{k=1}^{m-1} exp(-2 pi^2 s^2 k / (k + 1)) for s^2 >= 1/2 (Kairouz et al., section 3).
- A *continuous* Gaussian at c of variance m s^2 - r^2, rounded at random by a discrete Gaussian of parameter r
  around it, is that same law up to the weights of shifted lattices, which differ from r sqrt(2 pi) by a factor
  within 1 +- 2.1 exp(-2 pi^2 r^2) (Poisson summation): exp(+-8 exp(-2 pi^2 r^2)) a coordinate at r = 2.
So a release is the post-processing of a Gaussian release with noise multiplier sqrt(m s^2 - r^2) / (norm bound),
up to a factor exp(slack) with slack = d (tau + 8 exp(-2 pi^2 r^2)): `privacy.accounting` adds it. The sampler's
own distance (`privacy.discrete_gaussian`, 2^-138 a draw) is below 2^-90 of delta in any run, and not counted.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from arithmetic.errors import ParameterError, RangeError
from arithmetic.residues import LEAST_BITS, MOST_BITS
from privacy.discrete_gaussian import MOST_SIGMA, Integers
from privacy.mechanisms import real, whole

ROUNDING = 2.0  # r above, in levels
TAIL = 12  # sigmas of room: a coordinate of the sum passes them with probability below 2^-106
MOST_SLACK = 1e-9  # a release; above it the integers would be felt
_LEAST_SHARE = math.sqrt(0.5)
_MOST_NORM = 2.0**31
_MOST_COUNT = 2**31


def share_sigma(total_sigma: float, least_survivors: int, colluders: int) -> float:
    """The share of one client, so that the shares of `least_survivors` less `colluders` add up to the total.

    Args:
        total_sigma: standard deviation that must stay in the sum, above 0.
        least_survivors: fewer, and nothing is unmasked.
        colluders: survivors that may subtract their own shares.

    Raises:
        ParameterError: every survivor could be a colluder.
    """
    real(total_sigma, "the standard deviation of the noise", 0.0, 1e200)
    return total_sigma / math.sqrt(_honest(least_survivors, colluders))


def _honest(least_survivors: int, colluders: int) -> int:
    """How many shares nobody can subtract."""
    whole(least_survivors, "the fewest survivors", 1, _MOST_COUNT)
    whole(colluders, "the number of colluders", 0, _MOST_COUNT)
    if least_survivors <= colluders:
        raise ParameterError(
            f"of {least_survivors} survivors {colluders} may collude, so no noise is left against them; ask for "
            f"at least {colluders + 1} survivors"
        )
    return least_survivors - colluders


def rounded_norm_squared(scaled_norm: float, dimension: int) -> int:
    """Largest squared L2 norm of a vector of that scaled norm after conditional rounding to integers.

    Stochastic rounding, drawn anew while the integers are above c^2 + d / 4 + c + sqrt(d) / 2, is accepted with
    probability at least 1 - exp(-1/2) (Kairouz et al., section 4, with beta = exp(-1/2)).

    Args:
        scaled_norm: clipping norm in levels, above 0.
        dimension: d, at least 1.
    """
    norm = Fraction(real(scaled_norm, "the clipping norm in levels", 0.0, _MOST_NORM))
    whole(dimension, "the dimension", 1, _MOST_COUNT)
    root = Fraction(math.isqrt(dimension << 64) + 1, 2**32)
    return math.floor(norm**2 + Fraction(dimension, 4) + norm + root / 2)


def norm_squared(integers: Integers) -> int:
    """Squared L2 norm, exactly, of integers of shape (d,).

    Raises:
        RangeError: an entry is 2^32 or more in magnitude.
    """
    magnitudes = np.abs(integers.astype(np.int64, copy=False)).view(np.uint64)  # |-2^63| is 2^63, unsigned
    if magnitudes.size and int(magnitudes.max()) >= 2**32:
        raise RangeError("a rounded update is too large to be clipped; nothing was sent, check the clipping")
    high, low = magnitudes >> np.uint64(16), magnitudes & np.uint64(0xFFFF)
    squares, mixed, small = int(high @ high), int(high @ low), int(low @ low)
    return (squares << 32) + (mixed << 17) + small


def slack_of(share: float, honest: int, dimension: int) -> float:
    """How far, in nats, the density of a release may be from the Gaussian it is accounted as."""
    if share < _LEAST_SHARE:
        return math.inf
    sums = math.fsum(math.exp(-2 * (math.pi * share) ** 2 * k / (k + 1)) for k in range(1, min(honest, 64)))
    # From 64 shares on the exponent is within 1/64 of its limit; the rest is bounded by its largest term.
    sums += max(honest - 64, 0) * math.exp(-2 * (math.pi * share) ** 2 * 64 / 65)
    return dimension * (10 * sums + 8 * math.exp(-2 * (math.pi * ROUNDING) ** 2))


@dataclass(frozen=True)
class NoisePlan:
    """What client and server agree upon before a release of integers.

    Attributes:
        clipping_norm: C, in the units of the model.
        scale: levels per unit, a power of two, so that scaling is exact.
        norm_squared: bound that every rounded vector is checked against, in levels squared.
        share: parameter of one client's discrete Gaussian, in levels.
        noise_multiplier: against the server and the colluders; at least what was asked for.
        slack: what `privacy.mechanisms` wants to know, in nats.
    """

    clipping_norm: float
    scale: float
    norm_squared: int
    share: float
    noise_multiplier: float
    slack: float

    @property
    def cost(self) -> float:
        """By how much more noise, relatively, the integers need than real numbers would."""
        total = math.sqrt(self.norm_squared) * self.noise_multiplier
        return math.hypot(total, ROUNDING) / (self.noise_multiplier * self.clipping_norm * self.scale) - 1


@dataclass(frozen=True)
class NoisySum:
    """The masked sum that the noise goes into.

    Attributes:
        dimension: d.
        most_vectors: how many clipped vectors it holds at most, over all clients.
        cohort: how many clients add a share at most.
        least_survivors: fewer, and nothing is unmasked.
        colluders: how many of them may work with the server.
        modulus_bits: b, of the modulus 2^b.

    Raises:
        ParameterError: a number out of its range, or as many colluders as survivors.
    """

    dimension: int
    most_vectors: int
    cohort: int
    least_survivors: int
    colluders: int
    modulus_bits: int

    def __post_init__(self) -> None:
        """Refuse what cannot be summed privately."""
        whole(self.dimension, "the dimension", 1, _MOST_COUNT)
        whole(self.most_vectors, "the number of vectors", 1, _MOST_COUNT)
        whole(self.cohort, "the cohort", 1, _MOST_COUNT)
        whole(self.modulus_bits, "modulus-bits", LEAST_BITS, MOST_BITS)
        _honest(self.least_survivors, self.colluders)
        if self.least_survivors > self.cohort:
            raise ParameterError(f"a cohort of {self.cohort} cannot have {self.least_survivors} survivors")

    @property
    def honest(self) -> int:
        """Shares that stay in the sum for certain."""
        return _honest(self.least_survivors, self.colluders)

    def room(self, clipping_norm: float, scale: float, share: float) -> bool:
        """Whether nothing wraps: `vectors * (C * scale + 1) + 12 sigma` of all shares < 2^(b-1)."""
        levels = self.most_vectors * (Fraction(clipping_norm) * Fraction(scale) + 1)
        noise = Fraction(TAIL * share * math.sqrt(self.cohort))
        return levels + noise < Fraction(2) ** (self.modulus_bits - 1)


def plan_noise(noise_multiplier: float, clipping_norm: float, release: NoisySum) -> NoisePlan:
    """The finest scale that leaves room for vectors and noise, and the shares that go with it.

    Args:
        noise_multiplier: wanted against the server and the colluders together.
        clipping_norm: C, of one vector, from 1e-100 to 1e100.
        release: the sum.

    Raises:
        ParameterError: no scale leaves both room and shares large enough for the integers not to be felt; the
            message names what would help.
    """
    real(noise_multiplier, "the noise multiplier", 0.0, 1e9)
    real(clipping_norm, "the clipping norm", 1e-100, 1e100)
    exponent = math.floor(math.log2(_MOST_NORM / clipping_norm))
    while clipping_norm * 2.0**exponent >= 0.5:
        plan = _plan(noise_multiplier, clipping_norm, 2.0**exponent, release)
        if plan.share <= MOST_SIGMA and release.room(clipping_norm, plan.scale, plan.share):
            return _checked(plan, release)
        exponent -= 1
    raise ParameterError(
        f"a modulus of 2^{release.modulus_bits} leaves no room for {release.most_vectors} clipped vectors and the "
        "noise; use more modulus-bits, fewer vectors or a smaller noise multiplier"
    )


def _plan(noise_multiplier: float, clipping_norm: float, scale: float, release: NoisySum) -> NoisePlan:
    """The shares for one scale."""
    squared = rounded_norm_squared(clipping_norm * scale, release.dimension)
    total = math.hypot(noise_multiplier * math.sqrt(squared), ROUNDING) * (1 + 2.0**-40)
    share = share_sigma(total, release.least_survivors, release.colluders)
    left = math.sqrt((release.honest * share**2 - ROUNDING**2) / squared)
    return NoisePlan(
        clipping_norm, scale, squared, share, left, slack_of(share, release.honest, release.dimension)
    )


def _checked(plan: NoisePlan, release: NoisySum) -> NoisePlan:
    """The plan, if the shares are wide enough to be accounted as Gaussians."""
    if not plan.slack <= MOST_SLACK:
        raise ParameterError(
            f"shares of {plan.share:.2f} levels are too narrow to pass for Gaussian noise in {release.dimension} "
            f"coordinates; use more than {release.modulus_bits} modulus-bits, or more noise"
        )
    return plan
