"""From exact sums to the mean: the public denominator, what no mode may let out, and the clipping norm that adapts."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arithmetic.errors import ParameterError, RangeError
from arithmetic.fixed_point import MAGNITUDE_STEPS, FixedPoint
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.params import SecAggParams
from strategies import decoding
from strategies.decoding import FixedPointDecoder, NoisySumDecoder, decoder_of
from strategies.groups import RoundTotal
from strategies.settings import Settings
from wire.noise import sum_plan, within_norm_plan
from wire.rounds import Purpose
from wire.scalars import (
    EVALUATION_EXAMPLES,
    TRAINING_LOSS,
    WEIGHT,
    WEIGHTS_CLAMPED,
    WITHIN_NORM,
    exceeding_key,
)

LENGTH = 4
PARAMS = SecAggParams.complete(5, 32, LENGTH, 12)
NO_INTEGERS = np.zeros(0)
DISTRIBUTED = PrivacyTerms(PrivacyMode.DISTRIBUTED, 1.5, 0.8, 0.5, delta=1e-4, rounds=3)
CLIENT = PrivacyTerms(
    PrivacyMode.CLIENT, client_noise_multiplier=1.2, client_clipping_norm=0.5, delta=1e-4, rounds=3
)
ADAPTIVE = replace(CLIENT, clipping_quantile=0.5)
LOCAL = PrivacyTerms(PrivacyMode.LOCAL, 1.5, 0.8, delta=1e-4, rounds=3)


def settings(terms: PrivacyTerms = DISTRIBUTED, **changes: Any) -> Settings:
    usual: dict[str, Any] = {"modulus_bits": 32, "update_per_sum": -0.25, "max_examples": 40}
    return Settings(5, privacy=terms, **usual | changes)


def total(integers: Any, survivors: int = 5) -> RoundTotal:
    return RoundTotal(np.array(integers, dtype=np.int64), [], survivors)


def sums(weight: int = 5, **more: int | float) -> dict[str, int | float]:
    silent = dict.fromkeys(map(exceeding_key, range(MAGNITUDE_STEPS)), 0)
    return silent | {WEIGHT: weight, WEIGHTS_CLAMPED: 0, TRAINING_LOSS: 0.0, EVALUATION_EXAMPLES: 0} | more


@pytest.mark.parametrize("mode", PrivacyMode)
def test_shares_of_noise_need_their_own_decoder(mode: PrivacyMode) -> None:
    numbers: dict[str, Any] = {
        "noise_multiplier": 1.0, "clipping_norm": 1.0, "sampling_probability": 1.0, "client_noise_multiplier": 1.0,
        "client_clipping_norm": 1.0, "delta": 1e-5,
    }  # fmt: skip
    found = decoder_of(settings(PrivacyTerms(mode, **numbers)))
    assert isinstance(found, NoisySumDecoder) == mode.shares_noise
    assert found.travelling["privacy"] == mode


# ---- noisy sums


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=LENGTH, max_size=LENGTH), st.integers(3, 5))
def test_the_denominator_is_public_and_no_count_of_anything(integers: list[int], survivors: int) -> None:
    found = NoisySumDecoder(settings()).mean(total(integers, survivors), sums(survivors), NO_INTEGERS, PARAMS)
    scale = sum_plan(DISTRIBUTED, PARAMS, 40).scale
    np.testing.assert_array_equal(found.update, np.array(integers) * (-0.25 / scale))
    assert (found.weight, found.train_loss) == (survivors, None)


def test_only_what_is_public_is_reported() -> None:
    fields = NoisySumDecoder(settings()).mean(total([1, 2, 3, 4]), sums(), NO_INTEGERS, PARAMS).fields
    plan = sum_plan(DISTRIBUTED, PARAMS, 40)
    assert fields == {"noise_multiplier": plan.noise_multiplier, "noise_slack": plan.slack}
    fields = NoisySumDecoder(settings(CLIENT)).mean(total([1, 2, 3, 4]), sums(), NO_INTEGERS, PARAMS).fields
    assert fields["client_clipping_norm"] == 0.5


@pytest.mark.parametrize("weight", [4, 6, 0, -5, 2**40])
@pytest.mark.parametrize("terms", [DISTRIBUTED, CLIENT, LOCAL])
def test_a_weight_that_is_no_count_of_survivors_is_a_false_vector(terms: PrivacyTerms, weight: int) -> None:
    decoder = decoder_of(settings(terms))
    decoder.check(Purpose.TRAINING, sums(), 5, PARAMS)
    with pytest.raises(RangeError, match="false vector"):
        decoder.check(Purpose.TRAINING, sums(weight), 5, PARAMS)


@pytest.mark.parametrize("name", [WEIGHTS_CLAMPED, EVALUATION_EXAMPLES, exceeding_key(0), exceeding_key(3)])
def test_a_counter_that_contradicts_itself_is_a_false_vector(name: str) -> None:
    with pytest.raises(RangeError, match="false vector"):
        NoisySumDecoder(settings()).check(Purpose.TRAINING, sums() | {name: -1}, 5, PARAMS)


@pytest.mark.parametrize(
    ("terms", "most", "params"),
    [
        (DISTRIBUTED, 4 * 10**8, PARAMS),
        (replace(CLIENT, colluders=4), 40, PARAMS),
        (replace(ADAPTIVE, colluders=4), 40, PARAMS),
    ],
)
def test_71_a_run_whose_noise_does_not_fit_is_refused_before_anyone_is_asked(
    terms: PrivacyTerms, most: int, params: SecAggParams
) -> None:
    with pytest.raises(ParameterError):
        decoder_of(settings(terms, max_examples=most)).check_params(params)
    decoder_of(settings(replace(terms, colluders=0))).check_params(PARAMS)


# ---- the clipping norm that adapts


def bit_sum(within: float, noise: int = 0) -> int:
    """What five clients' bits add up to when a fraction of them is within the norm."""
    scale = within_norm_plan(ADAPTIVE, PARAMS).scale
    return int((within - 0.5) * 5 * scale) + noise


@pytest.mark.parametrize(("within", "moves"), [(1.0, -1), (0.8, -1), (0.2, 1), (0.0, 1)])
def test_too_many_within_the_norm_make_it_shrink_and_too_few_make_it_grow(within: float, moves: int) -> None:
    decoder = NoisySumDecoder(settings(ADAPTIVE))
    found = decoder.mean(total([0] * LENGTH), sums() | {WITHIN_NORM: bit_sum(within)}, NO_INTEGERS, PARAMS)
    assert found.fields["within_clipping_norm"] == pytest.approx(within, abs=1e-6)
    norm = decoder.travelling["client-clipping-norm"]
    assert norm == pytest.approx(0.5 * math.exp(-0.2 * (within - 0.5)), rel=1e-6)
    assert math.copysign(1, norm - 0.5) == moves


@given(st.integers(-(2**62), 2**62))
def test_a_noisy_bit_may_be_anything_and_the_norm_stays_a_norm(noise: int) -> None:
    """Adversary: one false bit moves the norm by no more than noise does; no overflow ends the run."""
    decoder = NoisySumDecoder(settings(ADAPTIVE))
    decoder.mean(total([0] * LENGTH), sums() | {WITHIN_NORM: noise}, NO_INTEGERS, PARAMS)
    assert 0.5 * math.exp(-0.3) <= decoder.travelling["client-clipping-norm"] <= 0.5 * math.exp(0.3)


def test_the_norm_of_the_round_decodes_the_round_and_the_new_one_travels() -> None:
    decoder = NoisySumDecoder(settings(ADAPTIVE))
    bits = sums() | {WITHIN_NORM: bit_sum(1.0)}
    first = decoder.mean(total([1000] * LENGTH), bits, NO_INTEGERS, PARAMS)
    second = decoder.mean(total([1000] * LENGTH), bits, NO_INTEGERS, PARAMS)
    scales = [sum_plan(ADAPTIVE, PARAMS, 40).scale]
    smaller = replace(ADAPTIVE, client_clipping_norm=float(second.fields["client_clipping_norm"]))
    scales.append(sum_plan(smaller, PARAMS, 40).scale)
    assert first.fields["client_clipping_norm"] == 0.5 > second.fields["client_clipping_norm"]
    for mean, scale in zip((first, second), scales, strict=True):
        assert mean.update[0] == -0.25 * 1000 / scale


def test_a_fixed_norm_stays() -> None:
    decoder = NoisySumDecoder(settings(CLIENT))
    found = decoder.mean(total([0] * LENGTH), sums(), NO_INTEGERS, PARAMS)
    assert decoder.travelling["client-clipping-norm"] == 0.5
    assert "within_clipping_norm" not in found.fields


# ---- fixed point


def test_under_local_privacy_every_client_weighs_one_and_no_loss_is_told() -> None:
    decoder = FixedPointDecoder(settings(LOCAL))
    assert decoder.travelling["max-examples"] == 1
    codec = FixedPoint(32, 5, 1.0)
    exceeding = {exceeding_key(step): 3 * (step >= 2) for step in range(MAGNITUDE_STEPS)}
    found = decoder.mean(total([5 * codec.levels] * LENGTH), sums() | exceeding, NO_INTEGERS, PARAMS)
    np.testing.assert_allclose(found.update, 1.0)
    assert found.train_loss is None
    assert "train_loss" not in found.fields


def test_without_privacy_the_weight_is_the_examples() -> None:
    decoder = FixedPointDecoder(settings(PrivacyTerms()))
    assert decoder.travelling["max-examples"] == 40
    exceeding = {exceeding_key(step): 3 * (step >= 2) for step in range(MAGNITUDE_STEPS)}
    found = decoder.mean(
        total([0] * LENGTH), sums(100) | exceeding | {TRAINING_LOSS: 50.0}, NO_INTEGERS, PARAMS
    )
    assert (found.weight, found.train_loss, found.fields["train_loss"]) == (100, 0.5, 0.5)


def test_the_encoding_bound_follows_the_largest_entry() -> None:
    decoder = FixedPointDecoder(settings(LOCAL))
    saturated = {exceeding_key(step): 1 for step in range(MAGNITUDE_STEPS)}
    decoder.mean(total([0] * LENGTH), sums() | saturated, NO_INTEGERS, PARAMS)
    assert decoder.travelling["encoding-bound"] == 4.0


def test_the_step_of_the_norm_is_that_of_the_paper() -> None:
    assert decoding._CLIPPING_STEP == 0.2  # the sign is tested above: too many within, it shrinks
