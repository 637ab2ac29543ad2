"""The configuration record of an analytics session, and which kind of work a record asks for.

Decides: names and types of what travels with a question. The record's digest enters the session's context, so clients
that were asked different questions hold masks that do not cancel.
Refuses to know: what a question means (`wire.questions`), and what becomes of the answer.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, Final, Self

from flwr.app import ConfigRecord

from arithmetic.errors import ParameterError
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import MalformedMessage, Refused
from wire.questions import LONGEST, Question
from wire.rounds import Purpose
from wire.settings import Assignment, privacy_record

JOB: Final = "job"
ANALYTICS: Final = "analytics"
_TERMS: Final = {
    field.name.replace("_", "-"): str if field.name == "mode" else field.type
    for field in fields(PrivacyTerms)
}
_PLAIN: Final = {JOB: str, "question": str, "data-path": str, "seed": int, "max-examples": int}
_TYPES: Final = _PLAIN | {"privacy" if key == "mode" else key: kind for key, kind in _TERMS.items()}


@dataclass(frozen=True)
class Inquiry:
    """One client's work in an analytics session.

    Attributes:
        question: what is summed.
        data_path: folder of the data where the node names none.
        seed: by which an embedded table is dealt out to simulated clients.
        max_examples: most rows of a client that the noise leaves room for.
        terms: what is asked in the way of differential privacy: none, or `distributed`.
    """

    question: Question
    data_path: str
    seed: int
    max_examples: int
    terms: PrivacyTerms
    purpose: ClassVar[str] = Purpose.ANALYTICS.value
    job: ClassVar[str] = ANALYTICS

    def to_record(self) -> ConfigRecord:
        """As it travels."""
        plain: dict[str, str | int | float] = {
            JOB: ANALYTICS, "question": self.question.to_json(), "data-path": self.data_path, "seed": self.seed,
            "max-examples": self.max_examples,
        }  # fmt: skip
        return ConfigRecord(dict(plain | privacy_record(self.terms)))

    @classmethod
    def from_record(cls, record: ConfigRecord) -> Self:
        """The inverse of `to_record`.

        Raises:
            MalformedMessage: a key is missing, unknown, too long or of another type; or no question.
            Refused: privacy terms that promise what they do not keep.
        """
        if set(record) != set(_TYPES) or record[JOB] != ANALYTICS:
            raise MalformedMessage("the inquiry has other keys than this version knows")
        for key, kind in _TYPES.items():
            value = record[key]
            if type(value) is not kind or (isinstance(value, str) and len(value) > LONGEST):
                raise MalformedMessage(f"{key} of the inquiry is of the wrong type or too long")
        plain = {key: record[key] for key in _PLAIN}
        return cls(
            Question.from_json(str(plain["question"])), str(plain["data-path"]), _whole(plain["seed"]),
            _whole(plain["max-examples"]), _terms_of(record),
        )  # fmt: skip


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise MalformedMessage("a number of the inquiry is negative or too large")
    return value


def _terms_of(record: ConfigRecord) -> PrivacyTerms:
    if record["privacy"] not in set(PrivacyMode):
        raise MalformedMessage(f"privacy is one of {', '.join(PrivacyMode)}")
    named = {key.replace("-", "_"): record[key] for key in _TERMS if key != "mode"}
    try:
        terms = PrivacyTerms(PrivacyMode(str(record["privacy"])), **named)  # type: ignore[arg-type]
    except ParameterError as error:
        raise Refused(str(error)) from error  # the numbers are the server's own, so it may read them
    if terms.mode not in (PrivacyMode.NONE, PrivacyMode.DISTRIBUTED):
        raise Refused(f"sums over rows know no privacy = {terms.mode}; choose distributed, or none")
    return terms


def assigned(record: object) -> Assignment | Inquiry:
    """What a session's configuration record asks for: training or evaluation, or an answer.

    Raises:
        MalformedMessage, Refused: it is neither.
    """
    if isinstance(record, ConfigRecord) and record.get(JOB) == ANALYTICS:
        return Inquiry.from_record(record)
    return Assignment.from_record(record)
