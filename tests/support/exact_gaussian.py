"""The exact discrete Gaussian sampler, in rational arithmetic: the oracle of `privacy.discrete_gaussian`.

Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", 2020, Algorithms 1 to 3, line by line.
"""

from collections.abc import Callable
from fractions import Fraction
from math import floor

Uniform = Callable[[int], bytes]


def below(bound: int, uniform: Uniform) -> int:
    """A uniform integer in [0, bound)."""
    bits = (bound - 1).bit_length()
    size = (bits + 7) // 8
    while True:
        number = int.from_bytes(uniform(size), "big") >> (8 * size - bits)
        if number < bound:
            return number


def bernoulli(probability: Fraction, uniform: Uniform) -> bool:
    """True with a rational probability."""
    return below(probability.denominator, uniform) < probability.numerator


def bernoulli_exp(gamma: Fraction, uniform: Uniform) -> bool:
    """True with probability exp(-gamma), gamma >= 0 (Algorithm 1)."""
    while gamma > 1:
        if not bernoulli_exp(Fraction(1), uniform):
            return False
        gamma -= 1
    order = 1
    while bernoulli(gamma / order, uniform):
        order += 1
    return order % 2 == 1


def discrete_laplace(scale: int, uniform: Uniform) -> int:
    """Probability of x proportional to exp(-|x| / scale) (Algorithm 2)."""
    while True:
        rest = below(scale, uniform)
        if not bernoulli_exp(Fraction(rest, scale), uniform):
            continue
        whole = 0
        while bernoulli_exp(Fraction(1), uniform):
            whole += 1
        magnitude = rest + scale * whole
        negative = bernoulli(Fraction(1, 2), uniform)
        if not (negative and magnitude == 0):
            return -magnitude if negative else magnitude


def discrete_gaussian(sigma: float, uniform: Uniform) -> int:
    """Probability of x proportional to exp(-x^2 / (2 sigma^2)) (Algorithm 3)."""
    variance = Fraction(sigma) ** 2
    scale = floor(Fraction(sigma)) + 1
    while True:
        proposed = discrete_laplace(scale, uniform)
        if bernoulli_exp((abs(proposed) - variance / scale) ** 2 / (2 * variance), uniform):
            return proposed
