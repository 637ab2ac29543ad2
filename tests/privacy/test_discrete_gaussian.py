"""Integer noise: its distance to the law in exact arithmetic, every lazy decision forced, and refusals."""

import math
from dataclasses import dataclass
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from privacy.discrete_gaussian import (
    LEAST_SIGMA,
    MOST_SIGMA,
    WEIGHT_BITS,
    Blocks,
    DiscreteGaussian,
    blocks_of,
    exp_minus,
)
from tests.privacy.test_alias_table import law_of
from tests.support.streams import answers, stream

every_sigma = pytest.mark.parametrize(
    "sigma", [0.5, 1.0, 3.7, 100.0, 127.9, 128.0, 1000.0, 1e5, 2.0**20, 2.0**24]
)
DISTANCE = mpmath.mpf(2) ** -138


# ---- the law, in exact arithmetic


@given(exponent=st.fractions(0, 255, max_denominator=10**12) | st.just(Fraction(255)) | st.just(Fraction(0)))
def test_exponential_is_off_by_less_than_it_says(exponent: Fraction) -> None:
    with mpmath.workprec(600):
        true = mpmath.exp(-mpmath.mpf(exponent.numerator) / exponent.denominator) * 2**WEIGHT_BITS
        assert abs(exp_minus(exponent) - true) < 2**23


def acceptance(blocks: Blocks, integer: int) -> mpmath.mpf:
    """exp(-(x^2 - nearest^2) / (2 sigma^2)), from nothing but the definition."""
    start = integer // 2**blocks.shift * 2**blocks.shift
    nearest = min(abs(start), abs(start + 2**blocks.shift - 1))
    exponent = (integer**2 - nearest**2) / (2 * blocks.sigma**2)
    return mpmath.exp(-mpmath.mpf(exponent.numerator) / exponent.denominator)


@pytest.mark.parametrize("sigma", [LEAST_SIGMA, 0.5, 1.0, 3.7, 100.0, 127.9, 128.0, 300.5])
def test_distance_to_the_law_is_below_what_is_claimed(sigma: float) -> None:
    """Total variation between what table and acceptance give and the law, whose tail is taken to 20 sigma."""
    blocks = blocks_of(sigma)
    block_law = law_of(blocks.table)
    with mpmath.workprec(400):
        variance = 2 * mpmath.mpf(sigma) ** 2
        reach = math.ceil(20 * sigma)
        true = {x: mpmath.exp(-mpmath.mpf(x * x) / variance) for x in range(-reach, reach + 1)}
        ours = dict.fromkeys(true, mpmath.mpf(0))
        for outcome in range(2 * blocks.half):
            mass = mpmath.mpf(block_law[outcome].numerator) / block_law[outcome].denominator
            for x in range(
                (outcome - blocks.half) << blocks.shift, (outcome - blocks.half + 1) << blocks.shift
            ):
                ours[x] = mass * acceptance(blocks, x)
        true_sum, our_sum = mpmath.fsum(true.values()), mpmath.fsum(ours.values())
        distance = mpmath.fsum(abs(true[x] / true_sum - ours[x] / our_sum) for x in true) / 2
    assert 0 < distance < DISTANCE


@every_sigma
def test_certain_acceptance_is_a_lower_bound_everywhere_in_the_block(sigma: float) -> None:
    blocks = blocks_of(sigma)
    bits = 32 - blocks.shift
    for outcome in range(0, 2 * blocks.half, 37):
        first = (outcome - blocks.half) << blocks.shift
        least = min(acceptance(blocks, first), acceptance(blocks, first + 2**blocks.shift - 1))
        assert least * 2**bits - 3 < int(blocks.certain[outcome]) <= least * 2**bits


# ---- every lazy decision, forced by a written stream


def word(number: int) -> bytes:
    return number.to_bytes(4, "little")


@dataclass(frozen=True)
class Candidate:
    """A word that the table takes for an outcome, and an integer inside that block."""

    sigma: float
    first: int
    outcome: int
    inside: int

    @property
    def blocks(self) -> Blocks:
        return blocks_of(self.sigma)

    @property
    def integer(self) -> int:
        return (self.outcome - self.blocks.half << self.blocks.shift) + self.inside

    @property
    def neighbour(self) -> int:
        """What the stream gives where the integer is refused: the block's other end or its first integer."""
        return self.integer - self.inside + (0 if self.inside else 1)

    def drawn(self, number: int, bits: int) -> int:
        """The draw where the uniform number of acceptance is `number` / 2^bits, and only that many bits are given."""
        level = number >> (bits - 32 + self.blocks.shift)
        replies = [word(self.first), word(level << self.blocks.shift | self.inside)]
        if level >= int(self.blocks.certain[self.outcome]):
            more = number % 2 ** (bits - 32 + self.blocks.shift)
            middle, last = (more >> 128, more % 2**128) if bits > 128 else (more, None)
            replies.append(middle.to_bytes(8, "little"))
            replies += [] if last is None else [last.to_bytes(16, "big")]
        replies += [word(self.first), word(self.neighbour % 2**self.blocks.shift)]
        return int(DiscreteGaussian(self.sigma).draw(1, answers(*replies))[0])

    def threshold(self, bits: int) -> int:
        """floor(2^bits times the acceptance)."""
        with mpmath.workprec(400):
            return int(mpmath.floor(acceptance(self.blocks, self.integer) * mpmath.mpf(2) ** bits))


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    sigma = draw(st.sampled_from([128.0, 1000.0, 1e5 / 3, 2.0**20, MOST_SIGMA]))
    blocks = blocks_of(sigma)
    column = draw(st.integers(0, len(blocks.table.thresholds) - 1))
    width = 1 << (32 - blocks.table.column_bits)
    first = column * width + draw(st.sampled_from([0, width - 1]))
    prefix = int(blocks.table.prefixes[column])
    assume(first != prefix)
    outcome = column if first < prefix else int(blocks.table.aliases[column])
    return Candidate(sigma, first, outcome, draw(st.integers(0, 2**blocks.shift - 1)))


@given(chosen=candidates(), step=st.sampled_from([-(2**150), -2, 2, 2**150]))
@settings(deadline=None)  # the first example of a sigma computes its tables
def test_acceptance_too_close_for_float64_is_decided_in_integers(chosen: Candidate, step: int) -> None:
    """The uniform number is put a hair below or above the acceptance of the integer."""
    bits = 32 - chosen.blocks.shift + 192
    number = chosen.threshold(bits) + step
    assume(number < 2**bits)
    assert chosen.drawn(number, bits) == (chosen.integer if step < 0 else chosen.neighbour)


@given(chosen=candidates(), below=st.booleans())
@settings(deadline=None)  # the first example of a sigma computes its tables
def test_float64_decides_alone_where_it_is_sure(chosen: Candidate, below: bool) -> None:
    """No more than its 64 bits are asked for, just outside of the margin of 2^-40."""
    bits = 32 - chosen.blocks.shift + 64
    number = chosen.threshold(bits) + (-1 if below else 1) * 2 ** (bits - 39)
    assume(number < 2**bits)
    assert chosen.drawn(number, bits) == (chosen.integer if below else chosen.neighbour)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 100.0])
def test_a_word_on_a_boundary_of_the_table_is_continued_to_the_exact_value(sigma: float) -> None:
    blocks = blocks_of(sigma)
    for column, threshold in enumerate(blocks.table.thresholds):
        first, rest = threshold >> 160, threshold % 2**160
        for number, outcome in ((rest, blocks.table.aliases[column]), (rest - 1, column)):
            if number >= 0:
                drawn = DiscreteGaussian(sigma).draw(1, answers(word(first), number.to_bytes(20, "big")))
                assert drawn.tolist() == [outcome - blocks.half]


# ---- what goes in


@given(
    sigma=st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 5e-324, 2.0**1000])
    | st.floats(max_value=LEAST_SIGMA, exclude_max=True)
    | st.floats(min_value=MOST_SIGMA, exclude_min=True)
)
def test_a_scale_that_cannot_be_drawn_is_refused(sigma: float) -> None:
    with pytest.raises(ParameterError, match="cannot be drawn"):
        DiscreteGaussian(sigma)


@given(sigma=st.floats(LEAST_SIGMA, 100.0) | st.just(MOST_SIGMA), count=st.integers(0, 50))
@settings(deadline=None, max_examples=20)
def test_every_other_scale_is_drawn(sigma: float, count: int) -> None:
    sample = DiscreteGaussian(sigma).draw(count, stream(0))
    assert sample.shape == (count,)
    assert sample.dtype == np.int64
    assert np.all(np.abs(sample) <= 14 * sigma + 2**18)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ParameterError, match="at least 0"):
        DiscreteGaussian(1.0).draw(-1, stream(0))


@pytest.mark.parametrize("sigma", [1.0, 1000.0])
def test_a_stream_that_runs_short_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="buffer"):
        DiscreteGaussian(sigma).draw(10, lambda size: bytes(size - 1))


@pytest.mark.parametrize("sigma", [1.0, 1000.0])
def test_draws_depend_on_the_stream_alone_and_not_on_the_seed_of_numpy(sigma: float) -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    noise = DiscreteGaussian(sigma)
    first, again, other = (noise.draw(50_000, stream(key)) for key in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.mean(first == other) < 0.5
    assert np.array_equal(before, np.random.get_state()[1])
