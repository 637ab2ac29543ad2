"""What the server asks of a client in r1, besides the model: one frozen object, parsed strictly.

Decides: names and types of the settings that travel. Their digest enters the session's context, so
clients that were told different things hold masks that do not cancel.
Refuses to know: what the values do; ranges are checked where they are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self

from flwr.app import ConfigRecord

from arithmetic.errors import ParameterError
from arithmetic.layout import VectorSpec
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import MalformedMessage, Refused
from secagg.primitives import digest
from wire.rounds import Purpose
from wire.scalars import ScalarLayout

PURPOSE = "purpose"
JOB = "job"
ENCODING_BOUND = "encoding-bound"
MAX_EXAMPLES = "max-examples"
LAYOUT_DIGEST = "layout-digest"
_SERVER_ROUND = "server-round"  # FedAvg adds it
_LONGEST = 4096  # a path; nothing else comes near


class Job(StrEnum):
    """What a client's vector holds in a training session: what local training changed, or one batch's mean gradient."""

    TRAIN = "train"
    GRADIENTS = "gradients"


class Rounding(StrEnum):
    """How a coordinate becomes a whole number of steps: unbiased from fresh randomness, or to the nearest."""

    STOCHASTIC = "stochastic"
    NEAREST = "nearest"


@dataclass(frozen=True)
class Assignment:
    """One client's work in a session; every field is a key of the configuration record, in kebab case.

    Attributes:
        purpose: `training` or `evaluation`.
        job: a `Job`.
        encoding_bound: clamp of weight / max_examples * update.
        max_examples: largest weight.
        layout_digest: what the server takes the vector to be.
        evaluate_every: server rounds between two models that are judged, from the first on.
        rounding: a `Rounding`; `nearest` only without differential privacy.
        privacy: the mode; what follows it are the fields of `PrivacyTerms`.
    """

    purpose: str
    job: str
    encoding_bound: float
    max_examples: int
    layout_digest: bytes
    rounding: str
    task: str
    partition: str
    dirichlet_alpha: float
    validation_fraction: float
    data_path: str
    device: str
    seed: int
    evaluate_every: int
    local_epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    proximal_mu: float
    privacy: str
    noise_multiplier: float
    clipping_norm: float
    sampling_probability: float
    client_noise_multiplier: float
    client_clipping_norm: float
    clipping_quantile: float
    colluders: int
    epsilon: float
    delta: float
    rounds: int

    @classmethod
    def from_record(cls, record: object) -> Self:
        """Parse a configuration record of exactly these keys, and FedAvg's `server-round`.

        Raises:
            MalformedMessage: a key is missing, unknown, too long or of another type (an int is no float).
        """
        if not isinstance(record, ConfigRecord):
            raise MalformedMessage("the training configuration travels as a config record")
        names = {field.name.replace("_", "-") for field in fields(cls)}
        if set(record) - names - {_SERVER_ROUND}:
            raise MalformedMessage("the training configuration has keys that this version does not know")
        values = {}
        for field in fields(cls):
            key = field.name.replace("_", "-")
            if type(record.get(key)) is not field.type:
                raise MalformedMessage(
                    f"{key} is missing from the training configuration or of the wrong type"
                )
            values[field.name] = value = record[key]
            if isinstance(value, str | bytes) and len(value) > _LONGEST:
                raise MalformedMessage(f"{key} in the training configuration is longer than {_LONGEST}")
        if values[PURPOSE] not in (Purpose.TRAINING, Purpose.EVALUATION):
            raise MalformedMessage("a session is for training or for evaluation")
        if values[JOB] not in set(Job):
            raise MalformedMessage(f"a client's job is one of {', '.join(Job)}")
        if values["privacy"] not in set(PrivacyMode):
            raise MalformedMessage(f"privacy is one of {', '.join(PrivacyMode)}")
        if values["rounding"] not in set(Rounding):
            raise MalformedMessage(f"rounding is one of {', '.join(Rounding)}")
        return cls(**values)  # type: ignore[arg-type]

    @property
    def terms(self) -> PrivacyTerms:
        """What the server asks in the way of differential privacy.

        Raises:
            Refused: a number that the mode needs is missing, or none; or rounding, which is a part of the mechanism,
                would not be random.
        """
        if self.privacy != PrivacyMode.NONE and self.rounding != Rounding.STOCHASTIC:
            raise Refused(
                f"rounding = {self.rounding} cannot be used with privacy = {self.privacy}; it needs stochastic"
            )
        named = {
            field.name: getattr(self, field.name) for field in fields(PrivacyTerms) if field.name != "mode"
        }
        try:
            return PrivacyTerms(PrivacyMode(self.privacy), **named)
        except ParameterError as error:
            raise Refused(str(error)) from error  # the numbers are the server's own, so it may read them


def privacy_record(terms: PrivacyTerms) -> dict[str, str | int | float]:
    """The part of a configuration record that says what is asked; `Assignment.terms` is the inverse."""
    record: dict[str, str | int | float] = {"privacy": terms.mode.value}
    for field in fields(PrivacyTerms):
        if field.name != "mode":
            value = getattr(terms, field.name)
            record[field.name.replace("_", "-")] = float(value) if field.type is float else value
    return record


def exact_types(config: ConfigRecord) -> ConfigRecord:
    """A copy in which whole numbers stand as floats where a float is due, as a strategy's author may write them."""
    floats = {field.name.replace("_", "-") for field in fields(Assignment) if field.type is float}
    pairs = {key: float(v) if key in floats and type(v) is int else v for key, v in config.items()}
    return ConfigRecord(pairs)


def agreed_record(
    config: ConfigRecord,
    purpose: Purpose,
    job: Job,
    layout: bytes,
    travelling: Mapping[str, str | int | float],
) -> ConfigRecord:
    """All that travels in r1 beside the model; `Assignment.from_record` is the inverse.

    Args:
        config: as configured, or as a strategy's author wrote it.
        purpose: of the session.
        job: of its clients.
        layout: `layout_digest` of its vector.
        travelling: what the decoder of the sum asks of those who encode.
    """
    agreed = exact_types(config)
    agreed.update({PURPOSE: purpose.value, JOB: job.value, LAYOUT_DIGEST: layout, **travelling})
    return agreed


def layout_digest(spec: VectorSpec, scalars: ScalarLayout) -> bytes:
    """Digest of the whole vector's layout, tensor part and scalar part; both sides compare it."""
    return digest("vector layout", spec.digest, scalars.digest)
