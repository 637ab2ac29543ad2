"""Mask words through a battery of statistical tests.

NIST SP 800-22 (rev. 1a) where a section is named, Marsaglia's birthday spacings, and chi-square and serial correlation
of words. Each test gives a p-value for each stretch of words, and a second-level test whether those are uniform
(SP 800-22, section 4.2.2). No maintained package of a fitting licence has them, and they are a line or two each.

Decides: the tests, and how long a stretch is. Refuses to judge a p-value.
"""

import os
from collections.abc import Callable, Iterator
from math import log, sqrt

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]
from scipy.special import erfc  # type: ignore[import-untyped]

from secagg.masks import Mask, MaskSeed, add_masks, empty

STRETCH = 1 << 20
Octets = npt.NDArray[np.uint8]
Test = Callable[[Octets], float]


def mask_octets(size: int) -> Octets:
    """`size` bytes of one mask, added to zeros as a client adds it; a multiple of 8."""
    total = empty(size // 4, 0, 32)
    add_masks(total, [Mask(MaskSeed(os.urandom(32), os.urandom(32)), 1)])
    return total.tensor.view(np.uint8)


def battery(size: int, source: Callable[[int], Octets] = mask_octets) -> Iterator[tuple[str, float]]:
    """(name, p-value) of every test over `size` bytes, in stretches of 2^20 with a key of their own."""
    found: dict[str, list[float]] = {name: [] for name in TESTS}
    for _ in range(max(1, size // STRETCH)):
        octets = source(STRETCH)
        for name, test in TESTS.items():
            found[name].append(test(octets))
    for name, p in found.items():
        yield name, p[0] if len(p) == 1 else float(stats.kstest(p, "uniform").pvalue)


def monobit(octets: Octets) -> float:
    """Section 2.1: as many ones as zeros."""
    ones, size = int(np.unpackbits(octets).sum(dtype=np.int64)), 8 * octets.size
    return float(erfc(abs(2 * ones - size) / sqrt(2 * size)))


def block_frequency(octets: Octets) -> float:
    """Section 2.2: also in every 8192 bits."""
    share = np.unpackbits(octets).reshape(-1, 8192).mean(axis=1)
    return float(stats.chi2.sf(4 * 8192 * ((share - 0.5) ** 2).sum(), share.size))


def runs(octets: Octets) -> float:
    """Section 2.3: as many changes between neighbouring bits as there should be."""
    bits = np.unpackbits(octets)
    share, changes = bits.mean(), int((bits[1:] != bits[:-1]).sum()) + 1
    due = 2 * bits.size * share * (1 - share)
    return float(erfc(abs(changes - due) / (2 * sqrt(2 * bits.size) * share * (1 - share))))


def serial(octets: Octets) -> float:
    """Section 2.11: every pattern of four bits as often as the others."""
    bits = np.unpackbits(octets)

    def psi_square(length: int) -> float:
        patterns = np.zeros(bits.size, np.uint8)
        for at in range(length):
            np.bitwise_or(patterns << np.uint8(1), np.roll(bits, -at), out=patterns)
        counts = np.bincount(patterns, minlength=1 << length).astype(float)
        return float((counts**2).sum() * (1 << length) / bits.size - bits.size)

    return float(stats.chi2.sf(psi_square(4) - psi_square(3), 8))


def spectral(octets: Octets) -> float:
    """Section 2.6: no periods; with the variance of Pareschi, Rovatti and Setti (2012): 3.8 in the place of 4."""
    signs = 2.0 * np.unpackbits(octets[: 1 << 16]) - 1
    peaks = np.abs(np.fft.rfft(signs))[: signs.size // 2]
    below = int((peaks < sqrt(signs.size * log(1 / 0.05))).sum())
    distance = (below - 0.95 * signs.size / 2) / sqrt(signs.size * 0.95 * 0.05 / 3.8)
    return float(erfc(abs(distance) / sqrt(2)))


def birthday_spacings(octets: Octets) -> float:
    """Marsaglia, "The Marsaglia random number CDROM" (1995): 4096 birthdays of 2^32 days, 4 equal spacings a year.

    The number is nearly Poisson with mean m^3 / 4n. With 1024 birthdays of 2^24 days, which is more usual, the mean is
    1.4 % less than that, and a hundred stretches of any sound generator show it.
    """
    years = np.sort(octets.view("<u4").reshape(-1, 4096).astype(np.int64), axis=1)
    spacings = np.sort(np.diff(years, axis=1, prepend=0), axis=1)
    equal = int((np.diff(spacings, axis=1) == 0).sum())
    return _two_sided((equal - 4 * len(years)) / sqrt(4 * len(years)))


def values(octets: Octets) -> float:
    """Every byte as often as the others: a range that misses one value shows."""
    return float(stats.chisquare(np.bincount(octets, minlength=256)).pvalue)


def _high_bits(kind: str) -> Test:
    def test(octets: Octets) -> float:
        words = octets.view(kind)
        high = (words >> np.array(words.itemsize * 8 - 12, words.dtype)).astype(np.int64)
        return float(stats.chisquare(np.bincount(high, minlength=4096)).pvalue)

    return test


def _correlation(kind: str) -> Test:
    def test(octets: Octets) -> float:
        words = octets.view(kind).astype(float)
        return _two_sided(float(np.corrcoef(words[1:], words[:-1])[0, 1]) * sqrt(words.size - 1))

    return test


def _two_sided(distance: float) -> float:
    return float(erfc(abs(distance) / sqrt(2)))


TESTS: dict[str, Test] = {
    "monobit": monobit,
    "block frequency": block_frequency,
    "runs": runs,
    "serial": serial,
    "spectral": spectral,
    "birthday spacings": birthday_spacings,
    "chi-square of bytes": values,
    "chi-square of 32-bit words": _high_bits("<u4"),
    "chi-square of 64-bit words": _high_bits("<u8"),
    "correlation of 32-bit words": _correlation("<u4"),
    "correlation of 64-bit words": _correlation("<u8"),
}
