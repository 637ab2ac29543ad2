"""What travels with r1, parsed strictly."""

import math
from dataclasses import fields, replace
from typing import Any

import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

from app.config import RunConfig
from app.server_app import training_record
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import MalformedMessage, Refused
from tests.support.run import Trial
from wire.rounds import ProtocolRound, Purpose
from wire.scalars import ScalarLayout
from wire.settings import Assignment, exact_types, layout_digest, privacy_record

ADDED: dict[str, Any] = {
    "purpose": "training", "encoding-bound": 1.0, "max-examples": 10, "layout-digest": b"d" * 32,
    **privacy_record(PrivacyTerms()),
}  # fmt: skip
CLIENT = PrivacyTerms(
    PrivacyMode.CLIENT, client_noise_multiplier=2.0, client_clipping_norm=3.0, clipping_quantile=0.5, colluders=2,
    epsilon=4.0, delta=1e-5, rounds=7,
)  # fmt: skip
TERMS = [
    PrivacyTerms(),
    PrivacyTerms(PrivacyMode.LOCAL, clipping_norm=0.5, epsilon=3.0, delta=1e-5, rounds=10),
    PrivacyTerms(PrivacyMode.DISTRIBUTED, 1.5, 0.5, 0.1, delta=1e-5, colluders=1),
    CLIENT,
    replace(CLIENT, mode=PrivacyMode.LOCAL_CLIENT, noise_multiplier=1.0, clipping_norm=2.0),
]


def record(**changes: Any) -> ConfigRecord:
    return ConfigRecord(dict(training_record(RunConfig())) | ADDED | changes)


def test_every_field_comes_over_the_wire() -> None:
    there = recorddict_from_proto(recorddict_to_proto(RecordDict({"c": record()}))).config_records["c"]
    found = Assignment.from_record(there)
    assert {f.name.replace("_", "-") for f in fields(found)} == set(record())
    assert found.learning_rate == 0.1
    assert found.layout_digest == b"d" * 32


def test_only_the_server_round_of_an_inner_strategy_may_come_along() -> None:
    assert Assignment.from_record(record(**{"server-round": 3})) == Assignment.from_record(record())
    with pytest.raises(MalformedMessage, match="does not know"):
        Assignment.from_record(record(mine="x"))


@pytest.mark.parametrize("key", [f.name.replace("_", "-") for f in fields(Assignment)])
def test_a_missing_or_mistyped_key_is_named(key: str) -> None:
    for broken in ({k: v for k, v in record().items() if k != key}, dict(record()) | {key: [1]}):
        with pytest.raises(MalformedMessage, match=f"^{key} is missing .* or of the wrong type"):
            Assignment.from_record(ConfigRecord(broken))


@pytest.mark.parametrize(
    "key", [f.name.replace("_", "-") for f in fields(Assignment) if f.type in (str, bytes)]
)
def test_a_text_of_any_length_is_not_accepted(key: str) -> None:
    value = record()[key]
    long = "x" * 4097 if isinstance(value, str) else b"x" * 4097
    with pytest.raises(MalformedMessage, match=f"^{key} .* longer than 4096"):
        Assignment.from_record(record(**{key: long}))


@pytest.mark.parametrize("broken", [None, ArrayRecord(), {}])
def test_no_config_record(broken: object) -> None:
    with pytest.raises(MalformedMessage):
        Assignment.from_record(broken)


@pytest.mark.parametrize("purpose", ["", "Training", "both"])
def test_a_session_has_one_of_two_purposes(purpose: str) -> None:
    with pytest.raises(MalformedMessage):
        Assignment.from_record(record(purpose=purpose))
    assert Assignment.from_record(record(purpose="evaluation")).purpose == Purpose.EVALUATION


def test_the_layout_digest_depends_on_both_parts() -> None:
    trial = Trial()
    scalars = [ScalarLayout.of(Purpose.TRAINING, ("accuracy",), n) for n in (0, 1)]
    other = Trial({"task": "digits"})
    assert len({layout_digest(spec, s) for spec in (trial.spec, other.spec) for s in scalars}) == 4


def test_the_round_trip_through_a_real_session_is_what_clients_see() -> None:
    trial = Trial({"learning-rate": 0.25})
    trial.session()
    r1 = ProtocolRound.SHARE_KEYS.message_type
    seen = [m.content["config"] for m in trial.grid.sent if m.metadata.message_type == r1]
    assert len({repr(sorted(c.items())) for c in seen}) == 1  # type: ignore[union-attr]
    assert Assignment.from_record(seen[0]).learning_rate == 0.25


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: terms.mode.value)
def test_terms_come_back_as_they_were(terms: PrivacyTerms) -> None:
    there = recorddict_to_proto(RecordDict({"c": record(**privacy_record(terms))}))
    found = Assignment.from_record(recorddict_from_proto(there).config_records["c"])
    assert found.terms == terms
    assert {type(value) for value in privacy_record(terms).values()} == {str, int, float}


@pytest.mark.parametrize("mode", ["", "None", "central", "local+", "client+local", "LOCAL"])
def test_a_mode_that_is_none_is_no_configuration(mode: str) -> None:
    with pytest.raises(
        MalformedMessage, match=r"privacy is one of none, local, distributed, client, local\+client"
    ):
        Assignment.from_record(record(privacy=mode))


@pytest.mark.parametrize(
    "name", ["client-noise-multiplier", "client-clipping-norm", "clipping-quantile", "delta"]
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_30_31_terms_that_are_none_are_refused_in_words_the_server_may_read(name: str, value: float) -> None:
    found = Assignment.from_record(record(**privacy_record(CLIENT) | {name: value}))
    with pytest.raises(Refused, match=rf"^{name}.* must be a number above 0") as caught:
        _ = found.terms
    assert (caught.value.code, caught.value.shareable) == ("POLICY", True)


@pytest.mark.parametrize("terms", TERMS[1:], ids=lambda terms: terms.mode.value)
def test_rounding_that_is_no_part_of_the_mechanism_is_refused(terms: PrivacyTerms) -> None:
    asked = privacy_record(terms) | {"rounding": "nearest"}
    with pytest.raises(Refused, match="rounding = nearest cannot be used with privacy = ") as caught:
        _ = Assignment.from_record(record(**asked)).terms
    assert caught.value.shareable
    assert Assignment.from_record(record(rounding="nearest")).terms == PrivacyTerms()


@pytest.mark.parametrize("rounding", ["", "down", "Nearest"])
def test_a_rounding_that_is_none_is_no_configuration(rounding: str) -> None:
    with pytest.raises(MalformedMessage, match="rounding is one of stochastic, nearest"):
        Assignment.from_record(record(rounding=rounding))


def test_colluders_that_are_no_count_are_refused() -> None:
    with pytest.raises(Refused, match=r"^colluders must be"):
        _ = Assignment.from_record(record(**privacy_record(CLIENT) | {"colluders": -1})).terms


def test_whole_numbers_of_a_strategys_author_become_floats_where_they_are_due() -> None:
    written = record(**{"noise-multiplier": 1, "delta": 0, "learning-rate": 1, "colluders": 2})
    found = Assignment.from_record(exact_types(written))
    assert (found.noise_multiplier, found.learning_rate, found.colluders) == (1.0, 1.0, 2)
    with pytest.raises(MalformedMessage, match="wrong type"):
        Assignment.from_record(written)
    with pytest.raises(MalformedMessage, match="noise-multiplier"):
        Assignment.from_record(exact_types(record(**{"noise-multiplier": True})))


@pytest.mark.parametrize("job", ["", "Gradients", "sum"])
def test_a_job_that_clients_do_not_do_in_such_a_session_is_refused(job: str) -> None:
    with pytest.raises(MalformedMessage, match="job is one of train"):
        Assignment.from_record(record(job=job))
