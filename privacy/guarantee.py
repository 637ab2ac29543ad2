"""The sentence of a guarantee, with every word it needs. Decides the words; refuses to know how they came true.

Unit, adjacency, adversary, what is released, delta, accountant, sampling: without one of them an epsilon says
nothing. Two guarantees are two sentences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from arithmetic.errors import ParameterError
from privacy.accounting import pld_epsilon, rdp_epsilon, unit_of
from privacy.mechanisms import Mechanism, Unit, real, whole

NO_PRIVACY = "no differential privacy"
ACCOUNTANT = "composition of all events by RDP and by PLD (dp-accounting; exact where nothing was sampled)"
COUNTS_PUBLIC = ", each client's number of examples being public"  # steps, rates and refusals follow from it


@dataclass(frozen=True)
class Guarantee:
    """One guarantee.

    Attributes:
        unit: whose presence is hidden.
        colluders: the guarantee holds against the server and that many clients together; None: against
            everyone, all others together among them.
        released: what leaves, as a noun in the plural: "noisy sums of clipped gradients".
        releases: how many.
        sampling: how units came into a release, as a phrase.
        integer_noise: false for floating-point noise, which is not hardened against precision attacks.
        delta: of the guarantee.
        rdp_epsilon, pld_epsilon: both bound the same loss; at least 0.

    Raises:
        ParameterError: a number that is none: NaN, negative, a delta that is not in (0, 1).
    """

    unit: Unit
    colluders: int | None
    released: str
    releases: int
    sampling: str
    integer_noise: bool
    delta: float
    rdp_epsilon: float
    pld_epsilon: float

    def __post_init__(self) -> None:
        """Refuse numbers that are none; an infinite epsilon is one, and is said."""
        real(self.delta, "delta", 0.0, math.nextafter(1.0, 0.0))
        whole(self.releases, "the number of releases", 1, 2**63)
        if self.colluders is not None:
            whole(self.colluders, "the number of colluders", 0, 2**31)
        if not (self.rdp_epsilon >= 0.0 and self.pld_epsilon >= 0.0):
            raise ParameterError(f"epsilon is at least 0, not {self.rdp_epsilon} and {self.pld_epsilon}")

    @property
    def sentence(self) -> str:
        """The one sentence; every epsilon in it is rounded up."""
        noise = "integer" if self.integer_noise else "floating-point (not hardened against precision attacks)"
        return (
            f"{self.unit}-level differential privacy with epsilon {_up(self.pld_epsilon)} by PLD "
            f"({_up(self.rdp_epsilon)} by RDP) at delta {self.delta:g} under add/remove-one {self.unit}, against "
            f"{self._adversary}, for {self.releases} {self._released} with {noise} noise, {self.sampling}"
            f"{COUNTS_PUBLIC if self.unit == 'example' else ''}; accountant: {ACCOUNTANT}"
        )

    @property
    def _adversary(self) -> str:
        if self.colluders is None:
            return "everyone, even all others together"
        server = "the server, as long as it keeps to the protocol"
        clients = "client" if self.colluders == 1 else "clients"
        return f"{server}, and up to {self.colluders} colluding {clients}" if self.colluders else server

    @property
    def _released(self) -> str:
        return self.released.replace("sums", "sum", 1) if self.releases == 1 else self.released


def _up(epsilon: float) -> str:
    """Four decimals, never below the number."""
    return "infinity" if math.isinf(epsilon) else f"{math.ceil(epsilon * 1e4) / 1e4:.4f}"


def guarantee_of(
    mechanisms: Sequence[Mechanism],
    delta: float,
    *,
    released: str,
    colluders: int | None,
    integer_noise: bool,
) -> Guarantee:
    """The guarantee of at least one mechanism, all for one unit.

    Raises:
        ParameterError: no mechanism, different units (they are two guarantees), or a delta not in (0, 1).
    """
    unit = unit_of(mechanisms)
    if unit is None:
        raise ParameterError(f"nothing was released with noise, so there is {NO_PRIVACY} to speak of")
    return Guarantee(
        unit=unit,
        colluders=colluders,
        released=released,
        releases=sum(mechanism.releases for mechanism in mechanisms),
        sampling=_sampling(mechanisms),
        integer_noise=integer_noise,
        delta=delta,
        rdp_epsilon=rdp_epsilon(mechanisms, delta),
        pld_epsilon=pld_epsilon(mechanisms, delta),
    )


def _sampling(mechanisms: Sequence[Mechanism]) -> str:
    """How units came into the releases."""
    rates = sorted({mechanism.event.sampling_probability for mechanism in mechanisms})
    if rates == [1.0]:
        return "without amplification by sampling"
    if len(rates) == 1:
        return f"amplified by Poisson sampling at probability {rates[0]:.6g}"
    return f"amplified by Poisson sampling at probabilities {rates[0]:.6g} to {rates[-1]:.6g}"


def sentences(guarantees: Sequence[Guarantee]) -> tuple[str, ...]:
    """One sentence a guarantee; without any, the one that says so."""
    return tuple(guarantee.sentence for guarantee in guarantees) or (NO_PRIVACY,)
