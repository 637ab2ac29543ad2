"""One release: the curve against exact values, Opacus' and dp-accounting's."""

import math

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, rdp
from opacus.accountants.analysis.rdp import compute_rdp

from privacy.mechanisms import Event
from privacy.rdp import ORDERS, curve_of, epsilon_of, rdp_of

KNOWN_ORDERS = (1.5, 2.5, 5.0, 50.0, 100.0)
KNOWN = [6.70579741e-4, 1.08548710e-3, 2.18075656e-3, 2.38460375e-2, 167.416308]  # dp-accounting's own test
# By 40-digit quadrature of the definition; the published figures at 1.5 and 2.5 are upper bounds.
EXACT = [6.500708971880397e-4, 1.085418056918124e-3, 2.180756562307881e-3]

EVENTS = [
    Event(0.01, 2.5),
    Event(0.04, 1.5),
    Event(0.5, 0.7),
    Event(1e-4, 1.0),
    Event(0.2, 8.0),
    Event(0.001, 0.4),
]


def dp_accounting_curve(event: Event, orders: tuple[float, ...]) -> np.ndarray:
    accountant = rdp.RdpAccountant(orders)
    accountant.compose(PoissonSampledDpEvent(event[0], GaussianDpEvent(event[1])))
    return np.array(accountant._rdp)


def test_the_published_curve_is_reproduced_or_bettered() -> None:
    curve = 50 * rdp_of(Event(0.01, 2.5), KNOWN_ORDERS)
    np.testing.assert_allclose(50 * dp_accounting_curve(Event(0.01, 2.5), KNOWN_ORDERS), KNOWN, rtol=1e-8)
    np.testing.assert_allclose(curve[2:], KNOWN[2:], rtol=1e-8)
    np.testing.assert_allclose(curve[:3], EXACT, rtol=1e-9)
    assert (curve[:2] < KNOWN[:2]).all()


def test_one_value_to_fifteen_digits() -> None:
    assert rdp_of(Event(0.04, 1.5), (3.9,))[0] * 2250 == pytest.approx(4.12470494906368, rel=1e-12)


@pytest.mark.parametrize("event", EVENTS)
def test_whole_orders_agree_with_dp_accounting_and_others_never_exceed_it(event: Event) -> None:
    ours, theirs = curve_of(event), dp_accounting_curve(event, ORDERS)
    whole = np.array([order == int(order) for order in ORDERS])
    np.testing.assert_allclose(ours[whole], theirs[whole], rtol=1e-9, atol=1e-13)
    assert (ours[~whole] <= theirs[~whole] * (1 + 1e-9) + 1e-13).all()


def test_other_orders_agree_with_opacus() -> None:
    theirs = compute_rdp(q=0.04, noise_multiplier=1.5, steps=1, orders=list(ORDERS))
    np.testing.assert_allclose(curve_of(Event(0.04, 1.5)), theirs, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("event", EVENTS)
def test_the_curve_rises_with_the_order_and_sampling_helps(event: Event) -> None:
    curve = curve_of(event)
    assert (np.diff(curve) >= -1e-13).all()
    assert (curve <= curve_of(Event(1.0, event[1])) * (1 + 1e-12)).all()


def test_the_quadrature_joins_the_binomial_sum_without_a_step() -> None:
    for order in (2, 7, 11):
        below, at, above = rdp_of(Event(0.3, 1.1), (order - 1e-6, float(order), order + 1e-6))
        assert below < at < above
        assert above - below < 1e-4


def test_no_sampling_is_the_gaussian_itself() -> None:
    np.testing.assert_allclose(rdp_of(Event(1.0, 4.0), (2.0, 3.5)), [2 / 32, 3.5 / 32])
    np.testing.assert_allclose(rdp_of(Event(1 - 1e-12, 4.0), (2.0, 3.5)), [2 / 32, 3.5 / 32], rtol=1e-9)


@pytest.mark.parametrize("event", [Event(0.5, 1e-200), Event(1.0, 1e-200), Event(1e-300, 1e-200)])
def test_hardly_any_noise_is_no_privacy_and_no_crash(event: Event) -> None:
    assert epsilon_of(curve_of(event), 1e-5) == math.inf


def test_a_nan_is_an_infinite_epsilon() -> None:
    curve = np.zeros(len(ORDERS))
    curve[3] = math.nan
    assert epsilon_of(curve, 1e-5) == math.inf
