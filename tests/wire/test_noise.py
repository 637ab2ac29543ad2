"""Both sides' plan of the noise: sized for the fewest survivors less the colluders, and nothing else."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from privacy.accounting import rdp_epsilon
from privacy.mechanisms import GaussianRelease
from privacy.noise_shares import ROUNDING, NoisePlan, rounded_norm_squared
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.params import SecAggParams
from wire.noise import BIT_NOISE, LEAST_MODULUS_BITS, sum_plan, within_norm_plan

PARAMS = SecAggParams(10, 7, 9, 7, 32, 1000, 12)
DISTRIBUTED = PrivacyTerms(PrivacyMode.DISTRIBUTED, 1.5, 0.8, 0.1, delta=1e-5)
CLIENT = PrivacyTerms(
    PrivacyMode.CLIENT, client_noise_multiplier=1.2, client_clipping_norm=3.0, delta=1e-5, clipping_quantile=0.5
)  # fmt: skip
BOTH = replace(CLIENT, mode=PrivacyMode.LOCAL_CLIENT, noise_multiplier=9.0, clipping_norm=0.1)


def stated(plan: NoisePlan, honest: int) -> float:
    """The noise multiplier that `honest` shares come to, less the rounding that the proof takes off."""
    return math.sqrt(max(honest * plan.share**2 - ROUNDING**2, 0.0) / plan.norm_squared)


@pytest.mark.parametrize("colluders", [0, 1, 6])
@pytest.mark.parametrize("terms", [DISTRIBUTED, CLIENT, BOTH])
def test_the_fewest_survivors_less_the_colluders_carry_all_of_it(terms: PrivacyTerms, colluders: int) -> None:
    plan = sum_plan(replace(terms, colluders=colluders), PARAMS, 100)
    asked = 1.5 if terms is DISTRIBUTED else 1.2
    assert stated(plan, 7 - colluders) == pytest.approx(plan.noise_multiplier, rel=1e-12)
    assert asked <= plan.noise_multiplier <= asked * 1.001
    assert stated(plan, 6 - colluders) < asked  # one share fewer would break the promise
    assert plan.norm_squared == rounded_norm_squared(plan.clipping_norm * plan.scale, 1000)
    assert plan.clipping_norm == (0.8 if terms is DISTRIBUTED else 3.0)


def test_who_takes_part_plays_no_role_but_the_least_does() -> None:
    def share(params: SecAggParams) -> float:
        """In units of the model."""
        plan = sum_plan(CLIENT, params, 100)
        return plan.share / plan.scale

    assert share(replace(PARAMS, cohort=8, neighbours=7)) == pytest.approx(share(PARAMS), rel=1e-3)
    fuller = replace(PARAMS, min_survivors=10)
    assert share(PARAMS) / share(fuller) == pytest.approx(math.sqrt(10 / 7), rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([DISTRIBUTED, CLIENT]), st.floats(0.01, 50.0), st.floats(1e-6, 1e6), st.integers(1, 1000),
    st.integers(0, 6), st.sampled_from([32, 40, 48, 64]),
)  # fmt: skip
def test_a_sum_of_clipped_vectors_and_noise_never_wraps(
    terms: PrivacyTerms, noise: float, norm: float, most: int, colluders: int, bits: int
) -> None:
    names = ("noise_multiplier", "clipping_norm")
    names = names if terms is DISTRIBUTED else ("client_noise_multiplier", "client_clipping_norm")
    asked = replace(terms, **dict(zip(names, (noise, norm), strict=True)), colluders=colluders)
    try:
        plan = sum_plan(asked, replace(PARAMS, modulus_bits=bits), most)
    except ParameterError:
        assert bits == 32
        return
    vectors = 10 * most if terms is DISTRIBUTED else 10
    largest = vectors * (norm * plan.scale + 1) + 12 * math.sqrt(10) * plan.share
    assert largest < 2 ** (bits - 1)
    assert plan.noise_multiplier >= noise


def test_the_bit_gets_five_times_the_noise_and_costs_two_percent() -> None:
    update, bit = sum_plan(CLIENT, PARAMS, 1), within_norm_plan(CLIENT, PARAMS)
    assert bit.noise_multiplier == pytest.approx(BIT_NOISE * 1.2, rel=1e-3)
    assert bit.norm_squared >= (bit.scale / 2) ** 2  # half a unit, whichever side
    assert stated(bit, 7) == pytest.approx(bit.noise_multiplier, rel=1e-12)
    alone = [GaussianRelease(update.noise_multiplier, 100)]
    both = [*alone, GaussianRelease(bit.noise_multiplier, 100)]
    assert 1.01 < rdp_epsilon(both, 1e-5) / rdp_epsilon(alone, 1e-5) < 1.04


def test_the_bit_fits_its_scalar() -> None:
    bit = within_norm_plan(replace(CLIENT, client_noise_multiplier=1000.0), PARAMS)
    assert 10 * (bit.scale / 2 + 1) + 12 * math.sqrt(10) * bit.share < 2**63


@pytest.mark.parametrize(
    ("terms", "params", "most", "words"),
    [
        (replace(CLIENT, colluders=7), PARAMS, 1, "no noise is left"),
        (CLIENT, replace(PARAMS, modulus_bits=8), 1, "modulus"),
        (DISTRIBUTED, PARAMS, 2 * 10**8, "modulus"),
        (DISTRIBUTED, PARAMS, 2**31, "number of vectors"),
    ],
)
def test_what_cannot_work_together_is_refused(
    terms: PrivacyTerms, params: SecAggParams, most: int, words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        sum_plan(terms, params, most)


@pytest.mark.parametrize("terms", [DISTRIBUTED, CLIENT, BOTH])
def test_colluders_that_could_rebuild_a_clients_secrets_are_refused(terms: PrivacyTerms) -> None:
    """However many survive: with a threshold of colluders one client's vector stands alone, with its own share only."""
    full = replace(PARAMS, min_survivors=10)
    assert sum_plan(replace(terms, colluders=6), full, 100).noise_multiplier > 1
    for colluders in (7, 9):
        with pytest.raises(ParameterError, match="raise threshold above colluders"):
            sum_plan(replace(terms, colluders=colluders), full, 100)
    with pytest.raises(ParameterError, match="raise threshold above colluders"):
        within_norm_plan(replace(CLIENT, colluders=7), full)


@pytest.mark.parametrize("terms", [DISTRIBUTED, CLIENT, BOTH])
def test_colluders_in_a_sparse_graph_are_refused(terms: PrivacyTerms) -> None:
    """They could be all the neighbours of one client; without colluders the graph may be sparse."""
    sparse = replace(PARAMS, neighbours=8, threshold=6)
    assert sum_plan(terms, sparse, 100).noise_multiplier > 1
    with pytest.raises(ParameterError, match="sparse graph"):
        sum_plan(replace(terms, colluders=1), sparse, 100)
    with pytest.raises(ParameterError, match="sparse graph"):
        within_norm_plan(replace(CLIENT, colluders=1), sparse)


def test_the_least_modulus_bears_two_million_coordinates_at_no_cost_to_speak_of() -> None:
    large = replace(PARAMS, tensor_length=2_000_000, modulus_bits=LEAST_MODULUS_BITS)
    assert sum_plan(DISTRIBUTED, large, 256).cost < 1e-3
