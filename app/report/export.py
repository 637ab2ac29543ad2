"""A run's curves for other tools: TensorBoard's event files, and a local MLflow store.

Decides: names of the curves, and that only this machine's disk is written: no server, no account, no login.
Refuses to install anything: where TensorBoard is missing nothing is written, and where MLflow is, one line says so.
"""

import importlib.util
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.report.page import state_of
from app.report.story import Story
from arithmetic.errors import ConfigError

FOLDER: Final = "tensorboard"
_CURVES: Final = {
    "accuracy/clients": "accuracy",
    "accuracy/public": "central_accuracy",
    "loss/clients": "loss",
    "loss/public": "central_loss",
}
_COSTS: Final = {
    "bytes/up": "bytes_up",
    "bytes/down": "bytes_down",
    "seconds/round": "seconds",
    "loss/training": "train_loss",
}
_EXPERIMENT: Final = "chorus"


def curves(story: Story) -> Iterator[tuple[str, int, float]]:
    """(name, server round, value): models after a round, and what each round cost."""
    for name, key in _CURVES.items():
        for at, value in story.judged(key):
            if value is not None and math.isfinite(value):
                yield name, int(at), value
    for name, key in _COSTS.items():
        for each in story.held:
            value = each.figure(key)
            if value is not None:
                yield name, each.number, value


def has_tensorboard() -> bool:
    """Whether event files can be written."""
    return importlib.util.find_spec("tensorboard") is not None


def to_tensorboard(story: Story) -> Path:
    """Write `tensorboard/` in the run directory anew; `tensorboard --logdir runs` shows all runs."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder = story.directory.path / FOLDER
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    writer = EventFileWriter(str(folder))
    times = {each.number: float(each.line.get("time", 0.0)) for each in story.held}
    for name, step, value in curves(story):
        told = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        writer.add_event(Event(wall_time=times.get(step, story.began or 0.0), step=step, summary=told))
    writer.close()
    return folder


def to_mlflow(story: Story, folder: Path) -> Path:
    """Add the run to the MLflow store in `folder`: settings, curves, how it ended.

    Raises:
        ConfigError: MLflow is not installed.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigError(
            "MLflow is not installed; install it into .venv (pip install mlflow-skinny), then try again"
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    place = folder.absolute()
    client = MlflowClient(tracking_uri=place.as_uri())
    found = client.get_experiment_by_name(_EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(_EXPERIMENT)
    began, ended = (int(1000 * (moment or 0.0)) for moment in (story.began, story.latest))
    run = client.create_run(experiment, start_time=began, run_name=story.directory.id)
    state = state_of(story)
    metrics = [Metric(name, value, ended, step) for name, step, value in curves(story)]
    params = [Param(key, str(value)) for key, value in story.config.table().items()]
    tags = [RunTag("state", state.word), RunTag("sentence", state.sentence)]
    for at in range(0, max(len(metrics), len(params)), 100):  # MLflow takes a hundred parameters a call
        client.log_batch(
            run.info.run_id, metrics[at : at + 100], params[at : at + 100], tags if at == 0 else []
        )
    client.set_terminated(run.info.run_id, "FINISHED" if state.kind == "good" else "FAILED", end_time=ended)
    return place
