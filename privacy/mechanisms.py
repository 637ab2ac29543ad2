"""What was released, as frozen data: the sampled Gaussian of DP-SGD and the plain Gaussian.

Decides which numbers describe a release, and which of them are no numbers at all; a mechanism has a JSON form
that gives back the same floats.
Refuses to know what a release costs (`privacy.accounting`) and who keeps the list (`privacy.ledger`).

Adjacency is add/remove-one everywhere. The noise multiplier is the standard deviation of the noise that the
adversary cannot take away, over the clipping norm. Only Poisson batches of examples are amplified by sampling:
the server knows which clients took part, so a client-level release has no sampling probability.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from arithmetic.errors import ParameterError

Unit = Literal["example", "client"]

_MOST_RELEASES = 2**48


class Event(NamedTuple):
    """One release, without how often: the sampling probability (1: no sampling) and the noise multiplier."""

    sampling_probability: float
    noise_multiplier: float


def real(value: object, name: str, least: float, most: float) -> float:
    """The number, if it is one and `least < value <= most`.

    Raises:
        ParameterError: NaN, infinite, out of range, a bool or no number at all.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least < value <= most:
        raise ParameterError(
            f"{name} must be a number above {least:g} and at most {most:g}, not {value!r:.40}"
        )
    return value


def whole(value: object, name: str, least: int, most: int) -> int:
    """The integer, if it is one and `least <= value <= most`.

    Raises:
        ParameterError: out of range, a bool, a float or no number at all.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ParameterError(f"{name} must be a whole number from {least} to {most}, not {value!r:.40}")
    return value


def _check_noise(noise_multiplier: object, slack: object) -> None:
    """Refuse what is no noise multiplier, and what is no slack."""
    real(noise_multiplier, "the noise multiplier", 0.0, 1e9)
    if slack != 0.0 or isinstance(slack, bool):
        real(slack, "the slack of the integer noise", 0.0, 1.0)


@dataclass(frozen=True)
class PoissonGaussian:
    """DP-SGD: `steps` noisy sums, each over a batch that every example joins on its own with one probability.

    Attributes:
        sampling_probability: in (0, 1].
        noise_multiplier: above 0.
        steps: at least 1; an empty batch is a step.
        slack: how far, in nats, the density of one release may be from that of a Gaussian's post-processing;
            0 for floating-point noise, `NoisePlan.slack` for integer noise.
        colluders: clients that may work with the server without being able to take any of the noise away; for
            noise in shares. Noise of a client's own holds against everyone.

    Raises:
        ParameterError: anything else, NaN and infinity among it.
    """

    sampling_probability: float
    noise_multiplier: float
    steps: int
    slack: float = 0.0
    colluders: int = 0
    unit: ClassVar[Unit] = "example"

    def __post_init__(self) -> None:
        """Refuse what is no mechanism."""
        real(self.sampling_probability, "the sampling probability", 0.0, 1.0)
        whole(self.steps, "steps", 1, _MOST_RELEASES)
        whole(self.colluders, "colluders", 0, _MOST_RELEASES)
        _check_noise(self.noise_multiplier, self.slack)

    @property
    def event(self) -> Event:
        """One step."""
        return Event(self.sampling_probability, self.noise_multiplier)

    @property
    def releases(self) -> int:
        """How many of them."""
        return self.steps


@dataclass(frozen=True)
class GaussianRelease:
    """`count` noisy sums without sampling: a client's whole update, or a metric line.

    Attributes:
        noise_multiplier: above 0.
        count: at least 1.
        unit: whose presence the noise hides.
        slack, colluders: as in `PoissonGaussian`.

    Raises:
        ParameterError: anything else, NaN and infinity among it.
    """

    noise_multiplier: float
    count: int
    unit: Unit = "client"
    slack: float = 0.0
    colluders: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no mechanism."""
        whole(self.count, "count", 1, _MOST_RELEASES)
        whole(self.colluders, "colluders", 0, _MOST_RELEASES)
        _check_noise(self.noise_multiplier, self.slack)
        if self.unit not in ("example", "client"):
            raise ParameterError(f"the unit is example or client, not {self.unit!r:.40}")

    @property
    def event(self) -> Event:
        """One release."""
        return Event(1.0, self.noise_multiplier)

    @property
    def releases(self) -> int:
        """How many of them."""
        return self.count


Mechanism: TypeAlias = PoissonGaussian | GaussianRelease
Record: TypeAlias = dict[str, str | int | float]

_NAMES: dict[str, type[PoissonGaussian] | type[GaussianRelease]] = {
    "poisson-gaussian": PoissonGaussian,
    "gaussian": GaussianRelease,
}


def to_record(mechanism: Mechanism) -> Record:
    """The JSON form: its name and its attributes."""
    name = next(name for name, kind in _NAMES.items() if isinstance(mechanism, kind))
    return {"name": name, **asdict(mechanism)}


def from_record(record: object) -> Mechanism:
    """The mechanism that `to_record` wrote.

    Raises:
        ParameterError: an unknown name, a missing or an extra key, a value that is none.
    """
    kind = _NAMES.get(str(record.get("name"))) if isinstance(record, Mapping) else None
    if kind is None or not isinstance(record, Mapping):
        raise ParameterError("a mechanism is an object whose name is one of " + ", ".join(_NAMES))
    if set(record) != {"name", *(attribute.name for attribute in fields(kind))}:
        raise ParameterError(f"these are not the keys of a {record['name']}: {list(record)!r:.80}")
    return kind(**{key: value for key, value in record.items() if key != "name"})


@dataclass(frozen=True)
class Budget:
    """What may be spent in all: epsilon at one delta, for one unit.

    Raises:
        ParameterError: epsilon not in (0, 1e6], delta not in (0, 1).
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        """Refuse NaN and what is no budget."""
        real(self.epsilon, "the epsilon of a budget", 0.0, 1e6)
        real(self.delta, "delta", 0.0, math.nextafter(1.0, 0.0))


def check_delta(delta: float, population: int) -> float:
    """`delta`, if it is in (0, 1 / (10 N)] for a population of N examples or clients.

    Raises:
        ParameterError: it is not; the message names the largest that is.
    """
    whole(population, "the number of examples or clients", 1, _MOST_RELEASES)
    most = 1 / (10 * population)
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0.0 < delta <= most:
        raise ParameterError(
            f"delta = {delta!r:.40} says too little about {population} of them; choose one above 0 and at most "
            f"1/(10 N) = {most:.3g}"
        )
    return delta
