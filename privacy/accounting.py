"""What a list of releases costs: epsilon by RDP, which gates, and by PLD, which is reported.

Decides how releases compose (events, never epsilons), how integer noise enters the claim, and how a noise
multiplier is found for a target. Refuses to know files, budgets and rounds.
Never the GDP accountant (too low) and never PRV (hangs on some histories).

Integer noise: the density of such a release differs from that of a Gaussian's post-processing by a factor of
at most exp(slack), whatever was released before. Over all releases, with K the sum of their slacks, (epsilon,
delta) of the Gaussians becomes (epsilon + 2 K, exp(K) delta): both accountants are asked at exp(-K) delta.

dp-accounting takes most of a second to import, so it is imported by the first PLD.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from arithmetic.errors import ParameterError
from privacy.mechanisms import Event, Mechanism, Unit, real
from privacy.rdp import ORDERS, Curve, curve_of, epsilon_of

_INTERVAL = 1e-4
_FEW_EVENTS, _MOST_EVENTS = 8, 64
_MOST_BUCKETS = 2**20
_LEAST_NOISE, _MOST_NOISE = 2.0**-6, 2.0**20
_PRECISION = 1e-9
_NO_PRIVACY = 1e4  # nobody needs a tighter epsilon than RDP's up here


@dataclass(frozen=True)
class RdpTotal:
    """The RDP of everything so far at the orders of `privacy.rdp`; one more release costs microseconds."""

    curve: Curve = field(default_factory=lambda: np.zeros(len(ORDERS)), repr=False)
    slack: float = 0.0

    def plus(self, mechanism: Mechanism) -> "RdpTotal":
        """The total with one more mechanism."""
        curve = self.curve + mechanism.releases * curve_of(mechanism.event)
        return RdpTotal(curve, self.slack + mechanism.releases * mechanism.slack)

    def epsilon(self, delta: float) -> float:
        """Epsilon at `delta`, at least 0; infinite where it is not known.

        Raises:
            ParameterError: delta is not in (0, 1).
        """
        _check(delta)
        if not self.curve.any():
            return 0.0
        return 2 * self.slack + epsilon_of(self.curve, delta * math.exp(-self.slack))


def rdp_epsilon(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon of all of them by Renyi differential privacy, at least 0.

    Raises:
        ParameterError: delta is not in (0, 1), or the mechanisms protect different units.
    """
    counts, slack = _merged(mechanisms)
    curve = sum((count * curve_of(event) for event, count in counts.items()), np.zeros(len(ORDERS)))
    return RdpTotal(curve, slack).epsilon(delta)


def pld_epsilon(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon of all of them by privacy loss distributions, rounded upwards; at least 0.

    Plain Gaussians compose to one Gaussian, whose epsilon is exact (Balle, Wang, "Improving the Gaussian
    Mechanism for Differential Privacy", 2018). The time is bounded: at most 64 different events are composed
    (more are merged, each towards less privacy), in at most about a million buckets each.

    Raises:
        ParameterError: delta is not in (0, 1), or the mechanisms protect different units.
    """
    bound = rdp_epsilon(mechanisms, delta)
    counts, slack = _merged(mechanisms)
    if not counts or bound > _NO_PRIVACY:
        return bound
    precision = sum(count / event.noise_multiplier**2 for event, count in counts.items() if event[0] == 1.0)
    sampled = _few({event: count for event, count in counts.items() if event[0] < 1.0})
    epsilon = _pld(sampled, precision, delta * math.exp(-slack), _interval(sampled, bound))
    return math.inf if math.isnan(epsilon) else max(0.0, 2 * slack + epsilon)


def noise_multiplier_for(
    target_epsilon: float, delta: float, template: Mechanism, spent: Sequence[Mechanism] = ()
) -> float:
    """The least noise multiplier for which `template`, over the whole run and after `spent`, keeps to a target.

    By RDP, which is what gates the rounds; the answer is on the safe side, to one part in 1e9.

    Raises:
        ParameterError: no noise multiplier up to 2^20 does.
    """
    real(target_epsilon, "the target epsilon", 0.0, 1e6)

    def fits(noise: float) -> bool:
        return rdp_epsilon([*spent, replace(template, noise_multiplier=noise)], delta) <= target_epsilon

    low, high = _LEAST_NOISE, _MOST_NOISE
    if not fits(high):
        raise ParameterError(
            f"no noise multiplier keeps this run within epsilon {target_epsilon:g} at delta {delta:g}; raise "
            "epsilon, or take fewer steps"
        )
    if fits(low):
        return low
    while high > low * (1 + _PRECISION):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _check(delta: float) -> None:
    """Refuse a delta that is none."""
    real(delta, "delta", 0.0, math.nextafter(1.0, 0.0))


def unit_of(mechanisms: Sequence[Mechanism]) -> Unit | None:
    """The unit that all of them protect; None for none.

    Raises:
        ParameterError: they protect different units.
    """
    units = {mechanism.unit for mechanism in mechanisms}
    if len(units) > 1:
        raise ParameterError(
            "releases for examples and for clients are accounted apart; two guarantees never merge"
        )
    return units.pop() if units else None


def _merged(mechanisms: Sequence[Mechanism]) -> tuple[Mapping[Event, int], float]:
    """How often each event happened, and the slack of all together."""
    unit_of(mechanisms)
    counts: Counter[Event] = Counter()
    for mechanism in mechanisms:
        counts[mechanism.event] += mechanism.releases
    return counts, math.fsum(mechanism.releases * mechanism.slack for mechanism in mechanisms)


def _few(counts: Mapping[Event, int]) -> Mapping[Event, int]:
    """At most 64 events that give no more privacy: on an ever coarser grid q is rounded up, noise down."""
    fewer, step = counts, 1 / 256
    while len(fewer) > _MOST_EVENTS:
        merged: Counter[Event] = Counter()
        for (sampling, noise), count in counts.items():
            more = min(1.0, 2 ** (math.ceil(math.log2(sampling) / step) * step))
            less = 2 ** (math.floor(math.log2(noise) / step) * step)
            merged[Event(max(more, sampling), min(less, noise))] += count
        fewer, step = merged, step * 2
    return fewer


def _interval(sampled: Mapping[Event, int], bound: float) -> float:
    """Width of a bucket of privacy loss: 1e-4, more for long lists, large losses and a large epsilon."""
    widest = max((12 / noise + 0.5 / noise**2 for _, noise in sampled), default=0.0)
    usual = _INTERVAL * (1 if len(sampled) <= _FEW_EVENTS else 10)
    return max(usual * max(1.0, bound / 10), 2 * widest / _MOST_BUCKETS)


def _pld(sampled: Mapping[Event, int], precision: float, delta: float, interval: float) -> float:
    """Epsilon of the sampled events and of plain Gaussians of that precision in all."""
    import dp_accounting as dp

    if not sampled:
        return float(dp.get_epsilon_gaussian(1 / math.sqrt(precision), delta))
    accountant = dp.pld.PLDAccountant(dp.NeighboringRelation.ADD_OR_REMOVE_ONE, interval)
    for (sampling, noise), count in sampled.items():
        step = dp.PoissonSampledDpEvent(sampling, dp.GaussianDpEvent(noise))
        accountant.compose(dp.SelfComposedDpEvent(step, count))
    if precision > 0:
        accountant.compose(dp.GaussianDpEvent(1 / math.sqrt(precision)))
    return float(accountant.get_epsilon(delta))
