"""The table of each hospital alone: as long trained, on its own patients, judged on the same test set."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from app.config import RunConfig
from app.ring_keys import DEFAULTS
from app.ring_table import Table, table_of
from clients.tasks import DataSource, length_of, load_task
from clients.training import TrainingConfig, evaluate, train

CONFIG = RunConfig.parse({**DEFAULTS, "job": "ring", "rounds": 3})


def saved(folder: Path, value: float) -> Path:
    path = folder / "model.safetensors"
    save_file({"weight": np.zeros((1, 10), np.float32), "bias": np.full(1, value, np.float32)}, path)
    return path


def test_each_row_is_that_hospitals_own_training(tmp_path: Path) -> None:
    table = table_of(CONFIG, saved(tmp_path, 0.0))
    assert table is not None
    assert (table.figure, len(table.alone)) == ("mse", 5)
    task = load_task("diabetes")
    data = task.partition_data(DataSource("", 2, 5, "dirichlet", 0.5), CONFIG.validation_fraction, 0).train
    model, test = task.model(0), task.test_data(DataSource())
    assert test is not None
    for server_round in (1, 2, 3):
        train(task, model, data, TrainingConfig(1, 100, 0.1, 0.0), torch.device("cpu"), server_round, 2)
    found = evaluate(task, model, test, torch.device("cpu"))
    assert table.alone[2] == pytest.approx(found.metric_sums["mse"] / 50)
    assert table.patients[2] == length_of(data)


def test_together_is_the_saved_model(tmp_path: Path) -> None:
    """A constant prediction's error is known."""
    first, second = (table_of(CONFIG, saved(tmp_path, value)) for value in (0.0, 1.0))
    assert first is not None
    assert second is not None
    targets = load_task("diabetes").test_data(DataSource()).tensors[1].numpy()  # type: ignore[union-attr]
    assert first.together == pytest.approx(float((targets**2).mean()) * 75**2, rel=1e-5)
    assert second.together == pytest.approx(float(((targets - 1) ** 2).mean()) * 75**2, rel=1e-5)
    assert first.alone == second.alone


def test_a_task_without_a_test_set_has_no_table(tmp_path: Path) -> None:
    config = RunConfig.parse({"task": "tests.support.tiny_task", "clients": 3, "rounds": 1, "job": "ring"})
    task = load_task(config.task)
    assert task.test_data(DataSource()) is None
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.numpy() for name, tensor in task.model(0).state_dict().items()}, path)
    assert table_of(config, path) is None


def test_a_table_that_takes_too_long_is_cut(tmp_path: Path) -> None:
    assert table_of(CONFIG, saved(tmp_path, 0.0), longest=-1.0) is None


def test_its_lines_stand_in_columns() -> None:
    lines = Table("mse", (12, 100), (5663.2, 6543.1), 2773.4).lines
    assert lines == [
        "hospital  examples  mse alone  together   (on the public test set)",
        "       1        12       5663      2773",
        "       2       100       6543      2773",
    ]
