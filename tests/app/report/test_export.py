"""Curves for other tools; where a tool is missing, nothing is written and the word says so."""

import importlib.util
from pathlib import Path

import pytest

from app.config import RunConfig
from app.report import export
from app.report.files import write
from app.report.story import read_story
from app.run_directory import RunDirectory
from arithmetic.errors import ConfigError


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory.at(tmp_path / "run", RunConfig())
    for number, accuracy in ((1, 0.25), (2, 0.5)):
        directory.emit(
            "round_finished", server_round=number, purpose="training", accuracy=accuracy, loss=1.0, bytes_up=10,
            bytes_down=20, seconds=0.5, central_accuracy=None, central_loss=None, train_loss=None,
        )  # fmt: skip
    directory.emit("run_finished", accuracy=0.75, loss=0.5, rounds_aggregated=2)
    return directory


CURVE = [("accuracy/clients", 0, 0.25), ("accuracy/clients", 1, 0.5), ("accuracy/clients", 2, 0.75)]


def test_curves_hold_models_after_rounds_and_costs_of_rounds(run: RunDirectory) -> None:
    told = list(export.curves(read_story(run)))
    assert [each for each in told if each[0] == "accuracy/clients"] == CURVE
    assert [each[1:] for each in told if each[0] == "bytes/up"] == [(1, 10.0), (2, 10.0)]
    assert "accuracy/public" not in {name for name, _, _ in told}


def test_without_tensorboard_no_events_are_written(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "has_tensorboard", lambda: False)
    write(run)
    assert not (run.path / "tensorboard").exists()


@pytest.mark.skipif(
    not export.has_tensorboard(), reason="TensorBoard is not installed; it is the extra 'tensorboard'"
)
def test_tensorboard_reads_what_was_written(run: RunDirectory) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # written anew, not twice
        write(run)
    found = EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    assert [
        ("accuracy/clients", each.step, each.value) for each in found.Scalars("accuracy/clients")
    ] == CURVE


def test_without_mlflow_one_line_says_what_to_do(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="install it into"):
        export.to_mlflow(read_story(run), run.path / "store")


@pytest.mark.skipif(
    not importlib.util.find_spec("mlflow"), reason="MLflow is not installed; it is the extra 'mlflow'"
)
def test_mlflow_s_own_store_holds_the_run(run: RunDirectory, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    place = export.to_mlflow(read_story(run), tmp_path / "store")
    client = MlflowClient(tracking_uri=place.as_uri())
    experiment = client.get_experiment_by_name("chorus")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(found.info.run_id, "accuracy/clients")
    assert [("accuracy/clients", each.step, each.value) for each in history] == CURVE
    assert found.data.params["rounds"] == "10"
    assert found.info.status == "FINISHED"
