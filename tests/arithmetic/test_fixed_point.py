"""Reals to residues and back: headroom, rounding, refusals, the next bound, scalars."""

import math
import os
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from Crypto.Cipher import AES
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError, RangeError
from arithmetic.fixed_point import Encoded, FixedPoint, Reals, ScalarEncoding, next_bound
from arithmetic.residues import to_signed, word_type, zeros
from tests.support.residues import packed, unpacked

every_modulus = pytest.mark.parametrize("bits", [16, 23, 24, 32, 40, 48, 61, 64])
LEAST_LEVELS = 8
CHUNK = 1 << 16


def stream(key: int) -> Callable[[int], bytes]:
    """Uniform bytes that are the same in every run, so that no statistic below is a matter of luck."""
    cipher = AES.new(key.to_bytes(32, "big"), AES.MODE_CTR, nonce=b"", initial_value=bytes(16))
    return lambda size: cipher.encrypt(bytes(size))


def lowest(size: int) -> bytes:
    """U = 0 for every entry."""
    return bytes(size)


def highest(size: int) -> bytes:
    """U = 1 - 2^-32 for every entry."""
    return b"\xff" * size


def signed(encoding: FixedPoint, encoded: Encoded) -> list[int]:
    return [int(number) for number in to_signed(encoded.words, encoding.bits)]


def most_clients(bits: int) -> int:
    return int((2 ** (bits - 1) - 1) // LEAST_LEVELS)


# ---- headroom


@every_modulus
@pytest.mark.parametrize("cohort", [1, 2, 3, 7, 10, 100, 1000, 4095])
def test_headroom_is_used_up_but_never_crossed(bits: int, cohort: int) -> None:
    levels = FixedPoint(bits, cohort, 1.0).levels
    assert cohort * levels < 2 ** (bits - 1)
    assert levels >= LEAST_LEVELS
    if levels < 2**52:
        assert cohort * (levels + 1) >= 2 ** (bits - 1)


# 2^(b-1) - 1 is a multiple of these: the sum of all reaches the very last residue before the sign changes.
@pytest.mark.parametrize(
    ("bits", "cohort"), [(16, 7), (16, 31), (16, 217), (24, 47), (32, 1), (40, 79), (48, 2351), (64, 92737)]
)
def test_sum_may_reach_the_last_residue_exactly(bits: int, cohort: int) -> None:
    encoding = FixedPoint(bits, cohort, 0.75)
    assert cohort * encoding.levels == 2 ** (bits - 1) - 1
    one = encoding.encode(np.array([0.75, -0.75]), lowest).words
    total = one * one.dtype.type(cohort)
    assert to_signed(total, bits).tolist() == [2 ** (bits - 1) - 1, -(2 ** (bits - 1) - 1)]
    assert encoding.decode(total) == pytest.approx([0.75 * cohort, -0.75 * cohort], rel=1e-14)
    one_more = to_signed(total + one, bits)
    assert one_more[0] < 0 < one_more[1], "one client more than the cohort would have wrapped"


@pytest.mark.parametrize(("bits", "fits"), [(bits, bits + 1) for bits in range(8, 64)])
def test_one_client_too_many_is_refused_with_the_modulus_that_fits(bits: int, fits: int) -> None:
    cohort = most_clients(bits)
    assert FixedPoint(bits, cohort, 1.0).levels >= LEAST_LEVELS
    with pytest.raises(ParameterError, match=rf"modulus-bits = {fits}$") as refused:
        FixedPoint(bits, cohort + 1, 1.0)
    assert str(cohort + 1) in str(refused.value)
    assert FixedPoint(fits, cohort + 1, 1.0).levels >= LEAST_LEVELS


def test_no_modulus_fits_a_cohort_beyond_the_widest() -> None:
    assert FixedPoint(64, most_clients(64), 1.0).levels == LEAST_LEVELS
    with pytest.raises(ParameterError, match="make the cohort smaller"):
        FixedPoint(64, most_clients(64) + 1, 1.0)


@pytest.mark.parametrize("cohort", [0, -1, -(10**30)])
def test_cohort_must_be_positive(cohort: int) -> None:
    with pytest.raises(ParameterError):
        FixedPoint(24, cohort, 1.0)


@pytest.mark.parametrize("bound", [0.0, -0.0, -1.0, math.inf, -math.inf, math.nan])
def test_bound_must_be_positive_and_finite(bound: float) -> None:
    with pytest.raises(ParameterError, match="not usable"):
        FixedPoint(24, 3, bound)


def test_advice_skips_every_modulus_that_is_too_narrow() -> None:
    with pytest.raises(ParameterError, match=r"modulus-bits = 17$"):
        FixedPoint(8, 4096, 1.0)


@pytest.mark.parametrize("bits", [-8, 0, 7, 65])
def test_modulus_that_is_not_offered_is_refused(bits: int) -> None:
    with pytest.raises(ParameterError, match="choose b from 8 to 64"):
        FixedPoint(bits, 3, 1.0)


@pytest.mark.parametrize(("bits", "bound"), [(16, 5e-324), (24, 1e-320), (64, 1e-310), (64, 2.0**-1060)])
def test_bound_too_small_for_float64_is_refused_or_encoded(bits: int, bound: float) -> None:
    try:
        encoding = FixedPoint(bits, 3, bound)
    except ParameterError:
        return
    with np.errstate(all="ignore"):
        encoded = encoding.encode(np.array([0.0, bound]), lowest)
    assert signed(encoding, encoded) == [0, encoding.levels]
    assert encoding.decode(encoded.words)[1] == pytest.approx(bound, rel=1e-3, abs=0.0)


# ---- encode, sum, decode


@every_modulus
@pytest.mark.parametrize("cohort", [1, 3, 10, 100])
@pytest.mark.parametrize("bound", [1.0, 0.1, 3e-9, 12345.678])
def test_decoded_sum_is_within_a_step_a_client_of_the_real_sum(bits: int, cohort: int, bound: float) -> None:
    encoding = FixedPoint(bits, cohort, bound)
    rng = np.random.default_rng(bits * 1000 + cohort)
    rows = rng.uniform(-bound, bound, size=(cohort, 50))
    uniform = stream(cohort)
    total = zeros(50, bits)
    for row in rows:
        total = total + encoding.encode(row, uniform).words
    arrived = unpacked(packed(total, bits), 50, bits)
    exact = [math.fsum(rows[:, at]) for at in range(50)]
    error = np.abs(encoding.decode(arrived) - exact)
    assert error.max() <= cohort * encoding.step + 1e-15 * cohort * bound
    if cohort > 1 and bits < 48:
        assert error.max() > 0, "a rounding that never errs would make this test empty"


@every_modulus
@pytest.mark.parametrize("cohort", [1, 2, 3, 50])
@pytest.mark.parametrize("bound", [1.0, 0.25, 0.1, 7.3])
def test_all_clients_at_the_bound_never_wrap(bits: int, cohort: int, bound: float) -> None:
    encoding = FixedPoint(bits, cohort, bound)
    uniform = stream(1)
    total = zeros(4, bits)
    for _ in range(cohort):
        total = total + encoding.encode(np.array([bound, -bound, 1e300, -1e300]), uniform).words
    # At 2^52 levels bound * (levels / bound) may round to half a level below: one unit of float64.
    slack = cohort if encoding.levels == 2**52 else 0
    expected = cohort * encoding.levels
    off = to_signed(total, bits) - np.array([expected, -expected, expected, -expected])
    assert np.abs(off).max() <= slack
    sums = [cohort * bound, -cohort * bound, cohort * bound, -cohort * bound]
    assert encoding.decode(total) == pytest.approx(sums, rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([16, 24, 32]),
    st.integers(1, 1000),
    st.floats(1e-6, 1e6),
    st.lists(st.floats(-2, 2), min_size=1, max_size=20),
    st.binary(min_size=80, max_size=80),
)
def test_rounding_is_the_documented_floor(
    bits: int, cohort: int, bound: float, fractions: list[float], noise: bytes
) -> None:
    """floor(x / step + u) in exact rational arithmetic; float64 may only differ at a distance of 2^-20."""
    encoding = FixedPoint(bits, cohort, bound)
    values = np.array([fraction * bound for fraction in fractions])
    found = signed(encoding, encoding.encode(values, lambda size: noise[:size]))
    for at, value in enumerate(values):
        offset = Fraction(int.from_bytes(noise[4 * at : 4 * at + 4], "little"), 2**32)
        clamped = max(-Fraction(bound), min(Fraction(bound), Fraction(float(value))))
        exact = clamped * encoding.levels / Fraction(bound) + offset
        allowed = {math.floor(exact - Fraction(1, 2**20)), math.floor(exact + Fraction(1, 2**20))}
        levels = encoding.levels
        assert found[at] in {max(-levels, min(levels, number)) for number in allowed}


@every_modulus
def test_every_entry_clamps_to_the_levels(bits: int) -> None:
    encoding = FixedPoint(bits, 3, 2.0)
    huge = np.array(
        [1e308, -1e308, 2.0000001, -2.0000001, np.finfo(np.float64).max, -np.finfo(np.float64).max]
    )
    encoded = encoding.encode(huge, lowest)
    assert signed(encoding, encoded) == [encoding.levels, -encoding.levels] * 3
    assert encoded.exceeding[0] == 6
    # The largest u may lose a bit against many levels, but nothing passes beyond them.
    assert max(map(abs, signed(encoding, encoding.encode(huge, highest)))) == encoding.levels


@pytest.mark.parametrize("bits", [16, *(pytest.param(bits) for bits in (24, 32, 40, 48, 64))])
def test_a_value_that_is_a_level_is_never_moved(bits: int) -> None:
    """Rounding k + u to float64 before taking the floor may give k + 1."""
    encoding = FixedPoint(bits, 3, 2.0)
    wanted = [encoding.levels, -encoding.levels, 1 - encoding.levels, -encoding.levels // 2, 0]
    values = np.array([2.0 * level / encoding.levels for level in wanted])
    scaled = values * (encoding.levels / 2.0)
    exact = [at for at in range(len(wanted)) if scaled[at] == wanted[at]]
    assert {0, 1, 4} <= set(exact)
    found = signed(encoding, encoding.encode(values, highest))
    assert [found[at] for at in exact] == [wanted[at] for at in exact]


@pytest.mark.parametrize("bits", [16, 24, 32, 40, 48])
@pytest.mark.parametrize("bound", [1.0, 0.5, 1024.0])
def test_exactly_at_the_bound_and_one_ulp_around(bits: int, bound: float) -> None:
    encoding = FixedPoint(bits, 3, bound)
    inside, outside = np.nextafter(bound, 0.0), np.nextafter(bound, np.inf)
    values = np.array([bound, -bound, outside, -outside, inside, -inside])
    low, high = encoding.encode(values, lowest), encoding.encode(values, highest)
    levels = encoding.levels
    assert signed(encoding, low)[:4] == [levels, -levels] * 2
    assert signed(encoding, low)[4] in (levels - 1, levels)
    assert signed(encoding, low)[5] == -levels
    assert signed(encoding, high)[0] == signed(encoding, high)[2] == signed(encoding, high)[4] == levels
    assert low.exceeding[0] == high.exceeding[0] == 2, "at the bound is not above it"


@every_modulus
def test_zeros_of_both_signs_are_exact(bits: int) -> None:
    encoding = FixedPoint(bits, 10, 0.3)
    for uniform in (lowest, highest):
        encoded = encoding.encode(np.array([0.0, -0.0]), uniform)
        assert encoded.words.tolist() == [0, 0]
        assert encoded.exceeding == (0,) * 8


@every_modulus
def test_denormals_stay_within_a_level_of_zero(bits: int) -> None:
    encoding = FixedPoint(bits, 10, 1.0)
    tiny = np.array([5e-324, -5e-324, 2.2e-308, -2.2e-308])
    assert all(number in (-1, 0) for number in signed(encoding, encoding.encode(tiny, lowest)))
    assert signed(encoding, encoding.encode(tiny, highest)) == [0, 0, 0, 0]
    decoded = encoding.decode(encoding.encode(tiny, lowest).words)
    assert np.abs(decoded).max() <= encoding.step


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_short_floats_cast_to_float64_are_encoded_like_their_values(kind: type[np.floating]) -> None:
    encoding = FixedPoint(32, 10, 1.0)
    short = np.array([0.5, -0.25, 0.1, 1.0, -1.0, 6e-8], dtype=kind)
    plain = np.array([float(value) for value in short])
    found = encoding.encode(short.astype(np.float64), stream(2))
    assert found.words.tolist() == encoding.encode(plain, stream(2)).words.tolist()
    assert np.abs(encoding.decode(found.words) - plain).max() <= encoding.step


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_short_floats_are_never_encoded_as_another_number(kind: type[np.floating]) -> None:
    """Either a typed refusal or the right number; the annotation says float64, numpy does not check it."""
    encoding = FixedPoint(32, 10, 1.0)
    short = np.linspace(-1, 1, 1001).astype(kind)
    with np.errstate(all="ignore"):
        try:
            found = encoding.encode(short, stream(2))
        except (RangeError, ParameterError):
            return
    plain = encoding.encode(short.astype(np.float64), stream(2))
    assert found.words.tolist() == plain.words.tolist()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -math.nan])
@pytest.mark.parametrize("at", [0, 5, CHUNK - 1, CHUNK, CHUNK + 1])
def test_nan_and_infinities_are_refused_wherever_they_are(bad: float, at: int) -> None:
    values = np.zeros(CHUNK + 2)
    values[at] = bad
    with pytest.raises(RangeError, match="nothing was sent"):
        FixedPoint(24, 3, 1.0).encode(values, lowest)


def test_encode_leaves_its_input_alone_and_takes_read_only_arrays() -> None:
    values = np.array([3.0, -3.0, 0.2])
    before = values.copy()
    values.flags.writeable = False
    FixedPoint(24, 3, 1.0).encode(values, highest)
    assert values.tolist() == before.tolist()


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_chunks_leave_no_seam(length: int) -> None:
    encoding = FixedPoint(24, 10, 1.0)
    values = np.linspace(-1.2, 1.2, length)
    encoded = encoding.encode(values, stream(3))
    offsets = np.frombuffer(stream(3)(4 * length), dtype="<u4") * 2.0**-32
    naive = np.floor(np.clip(values, -1.0, 1.0) * float(encoding.levels) + offsets)
    naive = np.clip(naive, -encoding.levels, encoding.levels)
    assert encoded.words.dtype == word_type(24)
    assert to_signed(encoded.words, 24).tolist() == naive.astype(np.int64).tolist()
    assert encoded.exceeding == tuple(int(np.sum(np.abs(values) > 4.0**-j)) for j in range(8))


@settings(max_examples=60)
@given(st.floats(1e-9, 1e9), st.lists(st.floats(-1e12, 1e12), max_size=30), st.data())
def test_exceeding_counts_equal_a_naive_recount(
    bound: float, values: list[float], data: st.DataObject
) -> None:
    at_limits = data.draw(st.lists(st.integers(0, 9), max_size=8))
    entries = values + [bound * 4.0**-j for j in at_limits] + [-bound * 4.0**-j for j in at_limits]
    encoded = FixedPoint(24, 3, bound).encode(np.array(entries, dtype=np.float64), lowest)
    expected = tuple(sum(1 for entry in entries if abs(entry) > bound / 4.0**j) for j in range(8))
    assert encoded.exceeding == expected
    assert list(expected) == sorted(expected)
    assert all(type(count) is int for count in encoded.exceeding)


# ---- unbiased rounding


def mean_deviation(encoding: FixedPoint, value: float, uniform: Callable[[int], bytes], draws: int) -> float:
    """How many standard deviations the mean of `draws` roundings of `value` is from `value`."""
    words = encoding.encode(np.full(draws, value), uniform).words
    exact = Fraction(value) * encoding.levels / Fraction(encoding.bound)
    part = float(exact - math.floor(exact))
    mean = float(np.mean(to_signed(words, encoding.bits) - math.floor(exact)))
    return (mean - part) / math.sqrt(max(part * (1 - part), 1e-9) / draws)


FRACTIONS = [0.5, 0.1, 0.9, 0.01, 0.37]


@pytest.mark.parametrize("bits", [16, 24, 32])
@pytest.mark.parametrize("part", FRACTIONS)
@pytest.mark.parametrize("whole", [0, -1, 100, -101])
def test_rounding_is_unbiased(bits: int, part: float, whole: int) -> None:
    encoding = FixedPoint(bits, 10, 1.0)
    value = (whole + part) / encoding.levels
    assert abs(mean_deviation(encoding, value, stream(1000 + 10 * bits + whole), 20_000)) < 5


@pytest.mark.parametrize("part", [0.1, 0.37, 0.9])
def test_the_statistic_finds_a_biased_rounding(part: float) -> None:
    """Truncation (u = 0), rounding to nearest (u = 1/2), and a u that is too large by one tenth."""
    encoding = FixedPoint(24, 10, 1.0)
    value = (3 + part) / encoding.levels

    def skewed(size: int) -> bytes:
        offsets = np.frombuffer(stream(4)(size), dtype="<u4").astype(np.float64)
        return np.minimum(offsets + 0.1 * 2**32, 2**32 - 1).astype("<u4").tobytes()

    for uniform in (lowest, lambda size: b"\x00\x00\x00\x80" * (size // 4), skewed):
        assert abs(mean_deviation(encoding, value, uniform, 20_000)) > 20


def test_entries_are_rounded_independently() -> None:
    encoding = FixedPoint(24, 10, 1.0)
    words = encoding.encode(np.full(40_000, 0.5 / encoding.levels), stream(5)).words
    ups = to_signed(words, 24).astype(np.float64) - 0.5
    for lag in (1, 2, 7, 64):
        assert abs(float(np.mean(ups[:-lag] * ups[lag:])) * 4 * math.sqrt(ups.size)) < 5


def test_each_entry_takes_four_fresh_bytes() -> None:
    asked: list[int] = []

    def counting(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    FixedPoint(16, 3, 1.0).encode(np.zeros(CHUNK + 10), counting)
    assert sum(asked) == 4 * (CHUNK + 10)


def test_two_encodings_of_one_vector_differ() -> None:
    encoding = FixedPoint(24, 3, 1.0)
    values: Reals = np.full(200, 0.3)
    first, second = (encoding.encode(values, os.urandom).words for _ in range(2))
    assert first.tolist() != second.tolist()


# ---- the next bound


def counts(bound: float, largest: float) -> tuple[int, ...]:
    return tuple(int(largest > bound * 4.0**-j) for j in range(8))


def test_next_bound_grows_fourfold_while_anything_is_clamped() -> None:
    assert next_bound(1.0, (1, 1, 1, 1, 1, 1, 1, 1)) == 4.0
    assert next_bound(0.5, (10**9, *[10**9] * 7)) == 2.0


@pytest.mark.parametrize("unused", range(1, 9))
def test_next_bound_shrinks_to_four_times_the_least_limit_nobody_exceeded(unused: int) -> None:
    exceeding = [0] * unused + [3] * (8 - unused)
    least = 4.0 ** -(unused - 1)
    assert next_bound(1.0, exceeding) == min(4 * least, 1.0)


@settings(max_examples=200)
@given(st.floats(2.0**-40, 1e6), st.floats(1e-15, 1e6))
def test_next_bound_converges_from_both_sides(bound: float, largest: float) -> None:
    bounds = [bound]
    for _ in range(64):
        bounds.append(next_bound(bounds[-1], counts(bounds[-1], largest)))
        if bounds[-1] < bounds[-2] and bounds[-1] > 2.0**-40:
            assert largest <= bounds[-1] / 4, "shrinking keeps a factor of four"
    settled = bounds[-1]
    assert next_bound(settled, counts(settled, largest)) == settled
    assert settled >= largest, "nothing is clamped any more"
    assert settled <= max(16 * largest, 2.0**-40), "and the modulus is not wasted"
    assert min(bounds) >= 2.0**-40


def test_next_bound_stops_at_two_to_the_minus_forty() -> None:
    bound = 1.0
    for _ in range(20):
        bound = next_bound(bound, (0,) * 8)
    assert bound == 2.0**-40
    assert next_bound(2.0**-39, (0,) * 8) == 2.0**-40
    assert FixedPoint(64, 3, bound).encode(np.array([bound]), lowest).exceeding[0] == 0


# ---- scalars


@pytest.mark.parametrize("cohort", [1, 3, 10, 1 << 20])
def test_scalars_are_exact_up_to_the_limit_and_refused_beyond(cohort: int) -> None:
    encoding = ScalarEncoding(cohort, (0,))
    limit = encoding.largest
    assert cohort * limit < 2**63 <= cohort * (limit + 1)
    for value in (limit, -limit, limit - 1):
        total = encoding.encode([value]) * np.uint64(cohort)
        assert encoding.decode(total) == [cohort * value]
    for value in (limit + 1, -limit - 1, 2**63, 2**64, -(2**63), 10**100):
        with pytest.raises(RangeError, match="too large"):
            encoding.encode([value])


def test_fractions_are_rounded_to_the_nearest_multiple() -> None:
    encoding = ScalarEncoding(10, (24, 24, 24, 24, 1, 1))
    values = [0.1, -0.1, 2.0**-25 * 3, -1e-12, 0.75, 0.25]
    decoded = encoding.decode(encoding.encode(values))
    for value, found in zip(values, decoded, strict=True):
        assert type(found) is float
        assert abs(found - value) <= (2.0**-2 if abs(value) in (0.75, 0.25) else 2.0**-25)
    assert decoded[3] == 0.0
    assert decoded[4] == 1.0  # halves go to the even multiple
    assert decoded[5] == 0.0


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=8), st.integers(1, 20))
def test_integer_sums_are_exact(values: list[int], clients: int) -> None:
    encoding = ScalarEncoding(clients, (0,) * len(values))
    total = np.zeros(len(values), dtype="<u8")
    for client in range(clients):
        total = total + encoding.encode([value + client for value in values])
    expected = [clients * value + sum(range(clients)) for value in values]
    assert encoding.decode(total) == expected
    assert all(type(number) is int for number in encoding.decode(total))


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12))
def test_real_sums_are_within_half_a_step_a_client(values: list[float]) -> None:
    encoding = ScalarEncoding(len(values), (24,))
    total = np.zeros(1, dtype="<u8")
    for value in values:
        total = total + encoding.encode([value])
    error = Fraction(encoding.decode(total)[0]) - sum(Fraction(value) for value in values)
    assert abs(error) <= len(values) * Fraction(1, 2**25)


@pytest.mark.parametrize("fraction", [0, 24])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_scalar_nan_and_infinities_are_refused(fraction: int, value: float) -> None:
    with pytest.raises(RangeError, match="NaN or infinite"):
        ScalarEncoding(3, (fraction,)).encode([value])


@pytest.mark.parametrize("value", [0.5, -1.25, 1e-300, 3.0000000001])
def test_a_fraction_where_a_count_is_due_is_refused(value: float) -> None:
    with pytest.raises(RangeError, match="whole number"):
        ScalarEncoding(3, (0,)).encode([value])


def test_whole_floats_bools_and_negative_zero_pass_as_the_numbers_they_are() -> None:
    encoding = ScalarEncoding(3, (0, 0, 0, 0, 24))
    assert encoding.decode(encoding.encode([3.0, True, False, -0.0, True])) == [3, 1, 0, 0, 1.0]


@pytest.mark.parametrize("value", [1e18, 2.0**63, 1e308, -1e308])
def test_large_reals_with_a_fraction_are_refused(value: float) -> None:
    with pytest.raises(RangeError, match="too large"):
        ScalarEncoding(3, (24,)).encode([value])


@pytest.mark.parametrize("value", [np.int64(3), np.int64(2**62), np.uint8(200)])
def test_numpy_integers_are_counted_like_integers(value: np.integer) -> None:
    encoding = ScalarEncoding(1, (0,))
    assert encoding.decode(encoding.encode([value])) == [int(value)]  # type: ignore[list-item]


def test_scalar_count_must_match() -> None:
    with pytest.raises(ValueError, match="zip"):
        ScalarEncoding(3, (0, 24)).encode([1])
    with pytest.raises(ValueError, match="zip"):
        ScalarEncoding(3, (0, 24)).decode(np.zeros(3, dtype="<u8"))


def test_no_scalars_at_all() -> None:
    encoding = ScalarEncoding(3, ())
    assert encoding.encode([]).shape == (0,)
    assert encoding.decode(np.zeros(0, dtype="<u8")) == []


def test_negative_scalars_are_twos_complement_on_the_wire() -> None:
    words = ScalarEncoding(3, (0, 8)).encode([-1, -0.5])
    assert packed(words, 64).hex() == "ff" * 8 + "80" + "ff" * 7
