"""Mask words through a battery of statistical tests, and generators that each of the tests finds."""

from collections.abc import Callable

import numpy as np
import pytest

from bench.mask_words import STRETCH, TESTS, Octets, battery, mask_octets

RNG = np.random.default_rng(7)
PLAIN: Octets = RNG.integers(0, 256, STRETCH, dtype=np.uint8)
# By chance once in a hundred thousand runs of all tests together.
LEAST = 1e-6


def test_mask_words_pass() -> None:
    assert {name: p for name, p in battery(STRETCH) if p < LEAST} == {}


@pytest.mark.nightly
def test_a_hundred_stretches_of_mask_words_pass() -> None:
    assert {name: p for name, p in battery(128 * STRETCH) if p < LEAST} == {}


def test_every_stretch_is_of_a_mask_of_its_own() -> None:
    assert not np.array_equal(mask_octets(64), mask_octets(64))
    assert mask_octets(64).size == 64


def test_p_values_of_a_sound_generator_are_spread_out() -> None:
    for name, test in TESTS.items():
        found = [test(RNG.integers(0, 256, 1 << 17, dtype=np.uint8)) for _ in range(6)]
        assert LEAST < max(found) <= 1, name
        assert len(set(found)) > 1, name


def biased(octets: Octets) -> Octets:
    """One byte in ten has its lowest bit set."""
    return octets | (RNG.integers(0, 10, octets.size) == 0).astype(np.uint8)


def one_value_short(octets: Octets) -> Octets:
    """An off-by-one in the range: the largest byte is never drawn."""
    return np.where(octets == 255, RNG.integers(0, 255, octets.size), octets).astype(np.uint8)


def periodic(octets: Octets) -> Octets:
    """The stream starts again after 4 KiB: a counter that wraps."""
    return np.tile(octets[:4096], octets.size // 4096)


def lattice(octets: Octets) -> Octets:
    """A Weyl sequence: even, and with the same spacings over and over."""
    return (np.arange(octets.size // 4, dtype=np.uint32) * np.uint32(0x9E3779B1)).view(np.uint8)


def alternating(octets: Octets) -> Octets:
    """One byte in ten is 01010101."""
    return np.where(RNG.integers(0, 10, octets.size) == 0, np.uint8(0x55), octets).astype(np.uint8)


def sticky(octets: Octets) -> Octets:
    """Each word leans towards the one before."""
    words = octets.view("<u4").astype(np.uint64)
    leaning = (words[1:] * 9 + words[:-1]) // 10
    return np.append(leaning, words[0]).astype(np.uint32).view(np.uint8)


FLAWS: list[tuple[Callable[[Octets], Octets], str]] = [
    (biased, "monobit"),
    (biased, "block frequency"),
    (biased, "chi-square of bytes"),
    (one_value_short, "chi-square of bytes"),
    (one_value_short, "chi-square of 32-bit words"),
    (one_value_short, "chi-square of 64-bit words"),
    (periodic, "spectral"),
    (periodic, "birthday spacings"),
    (lattice, "birthday spacings"),
    (alternating, "serial"),
    (alternating, "runs"),
    (sticky, "correlation of 32-bit words"),
    (lambda octets: np.repeat(octets.view("<u8"), 2)[: octets.size // 8].view(np.uint8), "correlation of 64-bit words"),
]  # fmt: skip


@pytest.mark.parametrize(("flaw", "name"), FLAWS, ids=range(len(FLAWS)))
def test_a_flaw_is_found(flaw: Callable[[Octets], Octets], name: str) -> None:
    assert TESTS[name](np.ascontiguousarray(flaw(PLAIN))) < LEAST


def test_every_test_has_a_flaw_that_it_finds() -> None:
    assert {name for _, name in FLAWS} == set(TESTS)
