"""The work of r1: what enters the vector."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from app.server_app import training_record
from arithmetic.errors import ParameterError, RangeError
from arithmetic.fixed_point import MAGNITUDE_STEPS, FixedPoint
from arithmetic.residues import to_signed
from clients.tasks import DataSource
from clients.training import TrainingConfig, evaluate, train
from clients.updates import arrays_of
from clients.work import Done, Node, weight_of, work
from privacy.terms import PrivacyTerms
from secagg.errors import Refused, SuspectServer
from tests.support.run import TINY, Trial
from wire.rounds import Purpose
from wire.scalars import (
    EVALUATION_EXAMPLES,
    TRAINING_LOSS,
    WEIGHT,
    WEIGHTS_CLAMPED,
    ScalarLayout,
    exceeding_key,
)
from wire.settings import Assignment, layout_digest, privacy_record

NODE = Node("", 2, 5, simulated=True)
TRIAL = Trial({"max-examples": 100})


def assignment(purpose: Purpose = Purpose.TRAINING, **changes: Any) -> Assignment:
    layout = ScalarLayout.of(purpose, ("accuracy",), TRIAL.spec.integer_length)
    added = {
        "purpose": purpose.value, "encoding-bound": 1.0, "max-examples": 100,
        "layout-digest": layout_digest(TRIAL.spec, layout), **privacy_record(PrivacyTerms()),
    }  # fmt: skip
    return replace(
        Assignment.from_record(
            type(training_record(TRIAL.config))(dict(training_record(TRIAL.config)) | added)
        ),
        **changes,
    )


def params(purpose: Purpose = Purpose.TRAINING) -> Any:
    return TRIAL.strategy._params(purpose, 5)


def done(**changes: Any) -> Done:
    return work(TRIAL.initial, assignment(**changes), NODE, params(), 1)


def reference() -> tuple[Any, Any, Any]:
    """The same training by hand."""
    model = TRIAL.task.model(0)
    data = TRIAL.task.partition_data(DataSource("", 2, 5), 0.25, 0)
    judged = evaluate(TRIAL.task, model, data.validation, torch.device("cpu"))
    report = train(
        TRIAL.task, model, data.train, TrainingConfig(1, 4, 0.1, 0.9, 0.0, 0), torch.device("cpu"), 1, 2
    )
    return TRIAL.spec.flatten_update(arrays_of(model), TRIAL.initial), report, judged


def test_the_vector_holds_the_weighted_update_and_the_scalars() -> None:
    update, report, judged = reference()
    found = done()
    codec = FixedPoint(24, 5, 1.0)
    decoded = codec.decode(found.vector.tensor)
    assert np.max(np.abs(decoded - update.tensor * report.examples / 100)) <= codec.step
    named, integers = ScalarLayout.of(Purpose.TRAINING, ("accuracy",), 1).decode([found.vector.scalars], 5)
    assert (named[WEIGHT], named[WEIGHTS_CLAMPED]) == (16, 0)
    assert named[EVALUATION_EXAMPLES] == judged.examples == 6
    assert named[TRAINING_LOSS] == pytest.approx(report.mean_loss * 16, abs=1e-6)
    assert integers == [16 * int(update.integers[0])]
    for step in range(MAGNITUDE_STEPS):
        assert named[exceeding_key(step)] == np.count_nonzero(np.abs(update.tensor * 0.16) > 4.0**-step)
    assert (found.device, found.examples) == ("cpu", 16)


def test_rounding_is_fresh_and_the_work_otherwise_repeats() -> None:
    first, second = done().vector, done().vector
    assert np.any(first.tensor != second.tensor)
    codec = FixedPoint(24, 5, 1.0)
    assert np.max(np.abs(codec.decode(first.tensor) - codec.decode(second.tensor))) <= codec.step * (1 + 1e-9)
    np.testing.assert_array_equal(first.scalars, second.scalars)


def test_rounding_to_the_nearest_step_repeats_bit_for_bit() -> None:
    update, report, _ = reference()
    first, second = (done(rounding="nearest").vector for _ in range(2))
    np.testing.assert_array_equal(first.tensor, second.tensor)
    codec = FixedPoint(24, 5, 1.0)
    steps = update.tensor * (report.examples / 100) / codec.step
    apart = to_signed(first.tensor, 24) - steps
    assert np.max(np.abs(apart)) <= 0.5 + 1e-6
    assert np.any(first.tensor != done().vector.tensor)


def test_a_clamped_weight_scales_the_update_too() -> None:
    update, _, _ = reference()
    found = done(max_examples=8, encoding_bound=4.0)
    named, _ = ScalarLayout.of(Purpose.TRAINING, ("accuracy",), 1).decode([found.vector.scalars], 5)
    assert (named[WEIGHT], named[WEIGHTS_CLAMPED]) == (8, 1)
    codec = FixedPoint(24, 5, 4.0)
    assert np.max(np.abs(codec.decode(found.vector.tensor) - update.tensor)) <= codec.step


def test_evaluation_has_no_tensor_part_and_trains_nothing() -> None:
    purpose = Purpose.EVALUATION
    found = work(TRIAL.initial, assignment(purpose), NODE, params(purpose), 1)
    assert found.vector.tensor.size == 0
    assert found.vector.scalars.size == 3
    assert found.examples == 6


def test_another_layout_is_a_suspect_server() -> None:
    with pytest.raises(SuspectServer, match="disagree on the model's layout"):
        done(layout_digest=bytes(32))


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bound_that_is_no_bound(bound: float) -> None:
    with pytest.raises(RangeError, match="encoding-bound"):
        done(encoding_bound=bound)


@pytest.mark.parametrize("most", [0, -1, -(2**40)])
def test_a_largest_weight_that_is_none(most: int) -> None:
    with pytest.raises(RangeError, match="max-examples"):
        done(max_examples=most)


def test_a_model_that_does_not_fit_is_refused() -> None:
    broken = dict(TRIAL.initial)
    broken.pop("last.bias")
    with pytest.raises(Refused, match="not those of this task's model"):
        work(broken, assignment(), NODE, params(), 1)


@pytest.mark.parametrize(
    "change", [{"learning_rate": float("nan")}, {"batch_size": 0}, {"local_epochs": 10**9}]
)
def test_ranges_are_checked_where_values_are_used(change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        done(**change)


@pytest.mark.parametrize("bad", [0, -1, True, 1.0, float("nan"), "1", None, np.int64(3)])
def test_a_weight_is_a_whole_number_of_at_least_one(bad: object) -> None:
    with pytest.raises(RangeError):
        weight_of(bad, 10)


@pytest.mark.parametrize(("examples", "weight"), [(1, 1), (9, 9), (10, 10), (11, 10), (2**64, 10)])
def test_a_weight_is_clamped(examples: int, weight: int) -> None:
    assert weight_of(examples, 10) == weight


def test_the_nodes_own_folder_wins_over_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.tiny_task import Tiny

    asked: list[str] = []
    honest = Tiny.partition_data

    def watch(self: Any, source: DataSource, *rest: Any) -> Any:
        asked.append(source.data_path)
        return honest(self, source, *rest)

    monkeypatch.setattr(Tiny, "partition_data", watch)
    work(TRIAL.initial, assignment(data_path="/server"), NODE, params(), 1)
    work(TRIAL.initial, assignment(data_path="/server"), replace(NODE, data_path="/own"), params(), 1)
    assert asked == ["/server", "/own"]
    assert assignment().task == TINY


def test_a_clients_own_means_are_for_its_own_log() -> None:
    _, report, judged = reference()
    found = done()
    assert found.metrics == pytest.approx(
        {
            "loss": judged.loss_sum / judged.examples,
            "accuracy": judged.metric_sums["accuracy"] / judged.examples,
            "train_loss": report.mean_loss,
        }
    )
    only = work(TRIAL.initial, assignment(Purpose.EVALUATION), NODE, params(Purpose.EVALUATION), 1)
    assert set(only.metrics) == {"loss", "accuracy"}


@pytest.mark.parametrize(("server_round", "judges"), [(1, True), (2, False), (3, False), (4, True)])
def test_models_are_judged_as_often_as_asked_and_the_final_one_always(
    server_round: int, judges: bool
) -> None:
    found = work(TRIAL.initial, assignment(evaluate_every=3), NODE, params(), server_round)
    assert ("accuracy" in found.metrics) == judges
    assert "train_loss" in found.metrics
    named, _ = ScalarLayout.of(Purpose.TRAINING, ("accuracy",), 1).decode([found.vector.scalars], 5)
    assert named[EVALUATION_EXAMPLES] == (6 if judges else 0)
    purpose = Purpose.EVALUATION
    final = work(TRIAL.initial, assignment(purpose, evaluate_every=3), NODE, params(purpose), server_round)
    assert "accuracy" in final.metrics
