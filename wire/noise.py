"""The noise that both sides of a session reckon with: the same plan from the same terms and parameters.

Decides: how many vectors a masked sum may hold, what its release is accounted as, and that noise is sized for the
fewest survivors below which nothing is unmasked (`SecAggParams.min_survivors`), less the colluders.
Colluders that could rebuild or isolate one client's vector are refused: its own share would be all its noise.
Refuses to know: who draws the noise, and what it costs.
"""

from dataclasses import replace

from arithmetic.errors import ParameterError
from privacy.mechanisms import GaussianRelease, Mechanism, PoissonGaussian
from privacy.noise_shares import NoisePlan, NoisySum, plan_noise
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.params import SecAggParams

LEAST_MODULUS_BITS = 32
_BIT_NORM = 0.5
_BIT_MODULUS = 40
BIT_NOISE = 5.0


def sum_plan(terms: PrivacyTerms, params: SecAggParams, max_examples: int) -> NoisePlan:
    """The plan of the tensor part.

    Args:
        terms: a mode that shares noise.
        params: of the session.
        max_examples: most clipped gradients of one client in a step (distributed).

    Raises:
        ParameterError: modulus, survivors and noise cannot work together.
    """
    if terms.mode is PrivacyMode.DISTRIBUTED:
        norm, noise, vectors = terms.clipping_norm, terms.noise_multiplier, params.cohort * max_examples
    else:
        norm, noise, vectors = terms.client_clipping_norm, terms.client_noise_multiplier, params.cohort
    return plan_noise(noise, norm, _sum(terms, params, params.tensor_length, vectors, params.modulus_bits))


def within_norm_plan(terms: PrivacyTerms, params: SecAggParams) -> NoisePlan:
    """The plan of the bit "my update was within the clipping norm", less one half (adaptive clipping).

    It gets five times the noise multiplier of the update: the two together cost 2 % more than the update alone
    (Andrew et al., "Differentially Private Learning with Adaptive Clipping", 2021, section 3).
    """
    noise = BIT_NOISE * terms.client_noise_multiplier
    return plan_noise(noise, _BIT_NORM, _sum(terms, params, 1, params.cohort, _BIT_MODULUS))


def plans_of(
    terms: PrivacyTerms, params: SecAggParams, max_examples: int
) -> tuple[NoisePlan, NoisePlan | None]:
    """The plan of the tensor part and, where the clipping norm adapts, that of the bit; arguments as for `sum_plan`.

    Raises:
        ParameterError: modulus, survivors and noise cannot work together.
    """
    plan = sum_plan(terms, params, max_examples)
    return plan, within_norm_plan(terms, params) if terms.clipping_quantile > 0 else None


def releases_of(
    terms: PrivacyTerms, plan: NoisePlan, bit: NoisePlan | None, rounds: int = 1
) -> list[Mechanism]:
    """Everything that the masked sums of so many server rounds release: what a client charges, and a run announces.

    Args:
        terms: a mode that shares noise.
        plan: of the tensor part, from `plans_of`.
        bit: of the bit, or None, from there too.
        rounds: server rounds, at least 1.
    """
    if terms.mode is PrivacyMode.DISTRIBUTED:
        probability, noise = terms.sampling_probability, plan.noise_multiplier
        return [PoissonGaussian(probability, noise, rounds, plan.slack, terms.colluders)]
    found = [
        GaussianRelease(each.noise_multiplier, rounds, "client", each.slack, terms.colluders)
        for each in (plan, bit)
        if each is not None
    ]
    if terms.mode.is_local:
        return [*found]
    # One example can turn a client's update around, which moves it by twice the clipping norm.
    halved = [replace(each, unit="example", noise_multiplier=each.noise_multiplier / 2) for each in found]
    return [*found, *halved]


def _sum(terms: PrivacyTerms, params: SecAggParams, dimension: int, vectors: int, bits: int) -> NoisySum:
    release = NoisySum(dimension, vectors, params.cohort, params.min_survivors, terms.colluders, bits)
    if terms.colluders >= params.threshold:
        raise ParameterError(
            f"{terms.colluders} colluders hold the {params.threshold} shares that rebuild a client's secrets, so its "
            "noise would stand alone; raise threshold above colluders"
        )
    if terms.colluders and params.neighbours < params.cohort - 1:
        raise ParameterError(
            "in a sparse graph colluders can cut the others into parts whose sums come out alone, each with its own "
            "noise only; leave neighbours, corrupt-fraction and dropout-fraction at 0, or colluders"
        )
    return release
