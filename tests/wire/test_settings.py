"""What travels with r1, parsed strictly."""

from dataclasses import fields
from typing import Any

import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

from app.config import RunConfig
from app.server_app import training_record
from secagg.errors import MalformedMessage
from tests.support.run import Trial
from wire.rounds import ProtocolRound, Purpose
from wire.scalars import ScalarLayout
from wire.settings import Assignment, layout_digest

ADDED: dict[str, Any] = {
    "purpose": "training", "encoding-bound": 1.0, "max-examples": 10, "layout-digest": b"d" * 32,
}  # fmt: skip


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
