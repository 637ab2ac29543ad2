"""Composition: the known answers, what is pessimistic, and what fails closed."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from privacy.accounting import RdpTotal, noise_multiplier_for, pld_epsilon, rdp_epsilon
from privacy.mechanisms import GaussianRelease, Mechanism, PoissonGaussian
from privacy.rdp import ORDERS

DELTA = 1e-5
BATCHES = PoissonGaussian(256 / 60000, 1.1, 60 * 60000 // 256)


def test_known_answer_rdp() -> None:
    assert rdp_epsilon([PoissonGaussian(0.04, 1.5, 2250)], DELTA) == pytest.approx(7.32911117143, abs=1e-9)


def test_known_answer_calibration() -> None:
    noise = noise_multiplier_for(8.0, DELTA, PoissonGaussian(0.04, 1.0, 2250))
    assert noise == pytest.approx(1.416, abs=5e-4)
    assert rdp_epsilon([PoissonGaussian(0.04, noise, 2250)], DELTA) <= 8.0
    assert rdp_epsilon([PoissonGaussian(0.04, noise * (1 - 1e-6), 2250)], DELTA) > 8.0


@pytest.mark.parametrize(
    ("noise", "known"), [(1.0, 4.377178), (2.0, 1.993091), (4.0, 0.926342), (10.0, 0.340669)]
)
def test_known_answer_analytic_gaussian(noise: float, known: float) -> None:
    assert pld_epsilon([GaussianRelease(noise, 1)], DELTA) == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize(
    ("mechanism", "by_rdp", "by_pld"),
    [(BATCHES, 2.597, 2.382), (PoissonGaussian(0.01, 4.0, 10_000), 1.0355, 0.9470)],
)
def test_known_answer_both_accountants(mechanism: Mechanism, by_rdp: float, by_pld: float) -> None:
    assert rdp_epsilon([mechanism], DELTA) == pytest.approx(by_rdp, abs=6e-4)
    assert pld_epsilon([mechanism], DELTA) == pytest.approx(by_pld, abs=6e-4)


def test_known_answer_without_sampling() -> None:
    assert rdp_epsilon([GaussianRelease(4.0, 100)], DELTA) == pytest.approx(14.132226, abs=1e-6)
    assert pld_epsilon([GaussianRelease(4.0, 100)], DELTA) == pytest.approx(13.21, abs=5e-3)


def test_nothing_released_costs_nothing() -> None:
    assert (rdp_epsilon([], DELTA), pld_epsilon([], DELTA), RdpTotal().epsilon(DELTA)) == (0.0, 0.0, 0.0)


def test_epsilon_is_clamped_at_zero() -> None:
    much = [GaussianRelease(1e8, 1)]
    assert pld_epsilon(much, 0.5) == 0.0
    assert rdp_epsilon(much, 0.5) == 0.0


@pytest.mark.parametrize("bad", [math.nan, 0.0, 1.0, -1e-5, math.inf, True])
def test_a_delta_that_is_none_is_refused_whatever_was_released(bad: float) -> None:
    for mechanisms in ([], [GaussianRelease(1.0, 1)]):
        with pytest.raises(ParameterError, match="delta"):
            rdp_epsilon(mechanisms, bad)
        with pytest.raises(ParameterError, match="delta"):
            pld_epsilon(mechanisms, bad)


def test_a_nan_in_the_total_is_an_infinite_epsilon() -> None:
    assert RdpTotal(np.full(len(ORDERS), math.nan)).epsilon(DELTA) == math.inf


def test_examples_and_clients_are_never_one_guarantee() -> None:
    mixed = [PoissonGaussian(0.1, 1.0, 1), GaussianRelease(1.0, 1)]
    for accountant in (rdp_epsilon, pld_epsilon):
        with pytest.raises(ParameterError, match="never merge"):
            accountant(mixed, DELTA)


def test_hardly_any_noise_is_said_to_be_no_privacy() -> None:
    assert pld_epsilon([GaussianRelease(1e-200, 1)], DELTA) == math.inf
    assert pld_epsilon([PoissonGaussian(0.5, 0.001, 1)], DELTA) > 1e4


releases = st.lists(
    st.builds(PoissonGaussian, st.floats(1e-4, 0.5), st.floats(0.6, 20.0), st.integers(1, 500)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=20, deadline=None)
@given(releases)
def test_equal_events_are_one_event_and_the_running_total_is_the_same(
    mechanisms: list[PoissonGaussian],
) -> None:
    total = RdpTotal()
    for mechanism in mechanisms:
        total = total.plus(mechanism)
    whole = rdp_epsilon(mechanisms, DELTA)
    assert total.epsilon(DELTA) == pytest.approx(whole, rel=1e-12)
    first = mechanisms[0]
    split = [PoissonGaussian(first.sampling_probability, first.noise_multiplier, 1)] * min(first.steps, 50)
    rest = first.steps - len(split)
    parts = [*split, *([PoissonGaussian(*first.event, rest)] if rest else []), *mechanisms[1:]]
    assert rdp_epsilon(parts, DELTA) == pytest.approx(whole, rel=1e-12)


@settings(max_examples=5, deadline=None)
@given(st.floats(1e-3, 0.2), st.floats(0.8, 4.0), st.integers(10, 2000))
def test_pld_is_tighter_than_rdp(sampling: float, noise: float, steps: int) -> None:
    mechanism = PoissonGaussian(sampling, noise, steps)
    assert pld_epsilon([mechanism], DELTA) <= rdp_epsilon([mechanism], DELTA) + 2e-2


def test_pld_of_gaussians_in_company_agrees_with_the_exact_ones() -> None:
    gaussians: list[Mechanism] = [GaussianRelease(4.0, 60, "example"), GaussianRelease(2.0, 10, "example")]
    together = pld_epsilon([*gaussians, PoissonGaussian(1e-9, 50.0, 1)], DELTA)
    assert together == pytest.approx(13.2067122405, abs=1e-3)  # 60/16 + 10/4 = 100/16
    assert pld_epsilon(gaussians, DELTA) == pytest.approx(13.2067122405, abs=1e-9)


def test_hundreds_of_different_events_are_merged_towards_less_privacy() -> None:
    many = [PoissonGaussian(0.01 + 1e-5 * step, 1.2 - 1e-4 * step, 10) for step in range(300)]
    least, most = PoissonGaussian(0.01, 1.2, 3000), PoissonGaussian(0.013, 1.17, 3000)
    epsilon = pld_epsilon(many, DELTA)
    assert pld_epsilon([least], DELTA) < epsilon
    assert epsilon == pytest.approx(pld_epsilon([most], DELTA), rel=0.2)
    assert epsilon < rdp_epsilon(many, DELTA)


def test_the_slack_of_integer_noise_is_paid_for() -> None:
    plain, slack = [PoissonGaussian(0.01, 1.0, 1000)], [PoissonGaussian(0.01, 1.0, 1000, 1e-6)]
    for accountant in (rdp_epsilon, pld_epsilon):
        at_less = accountant(plain, DELTA * math.exp(-1e-3))
        assert accountant(slack, DELTA) == pytest.approx(2e-3 + at_less, rel=1e-9)
        assert at_less > accountant(plain, DELTA)


def test_what_was_spent_before_counts_in_a_calibration() -> None:
    template, spent = PoissonGaussian(0.04, 1.0, 1000), [PoissonGaussian(0.04, 1.5, 1000)]
    fresh, later = (
        noise_multiplier_for(8.0, DELTA, template),
        noise_multiplier_for(8.0, DELTA, template, spent),
    )
    assert later > fresh
    assert rdp_epsilon([*spent, PoissonGaussian(0.04, later, 1000)], DELTA) <= 8.0


def test_a_target_out_of_reach_is_refused() -> None:
    with pytest.raises(ParameterError, match="raise epsilon"):
        noise_multiplier_for(
            1.0, DELTA, GaussianRelease(1.0, 1, "example"), [PoissonGaussian(0.5, 0.5, 1000)]
        )


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1.0, math.inf])
def test_a_target_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ParameterError, match="target epsilon"):
        noise_multiplier_for(bad, DELTA, GaussianRelease(1.0, 1))


def test_who_only_gates_does_not_pay_for_dp_accounting() -> None:
    code = (
        "import sys, privacy.ledger, privacy.guarantee; from privacy.accounting import rdp_epsilon;"
        "from privacy.mechanisms import PoissonGaussian; rdp_epsilon([PoissonGaussian(.1, 1.0, 9)], 1e-5);"
        "sys.exit('dp_accounting' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
