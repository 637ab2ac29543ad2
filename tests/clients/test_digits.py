"""The digits task: a fixed public test set, scaling, the model."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from clients.tasks import DataSource, digits, length_of, load_task
from clients.updates import spec_of


def rows(data: Any) -> set[bytes]:
    assert isinstance(data, TensorDataset)
    return {row.numpy().tobytes() for row in data.tensors[0]}


def test_test_set_is_fixed_stratified_and_apart_from_the_pool() -> None:
    task = load_task("digits")
    test = task.test_data(DataSource())
    assert isinstance(test, TensorDataset)
    counts = torch.bincount(test.tensors[1], minlength=10)
    assert len(test) == int(counts.sum()) == 359
    assert counts.min() >= 34
    assert counts.max() <= 37
    pool: set[bytes] = set()
    total = 0
    for number in range(10):
        data = task.partition_data(DataSource("", number, 10), 0.2, 7)
        pool |= rows(data.train) | rows(data.validation)
        total += length_of(data.train) + length_of(data.validation)
    assert total == 1797 - 359
    assert not pool & rows(test)


def test_inputs_are_scaled_and_shaped() -> None:
    data = load_task("digits").test_data(DataSource())
    assert isinstance(data, TensorDataset)
    inputs, labels = data.tensors
    assert inputs.shape == (359, 1, 8, 8)
    assert inputs.dtype is torch.float32
    assert (inputs.min().item(), inputs.max().item()) == (0.0, 1.0)
    assert labels.dtype is torch.int64


def test_default_model_has_no_batchnorm() -> None:
    model = load_task("digits").model(0)
    assert not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules())
    assert (spec_of(model).tensor_length, spec_of(model).integer_length) == (10_026, 0)


def test_the_table_is_scikit_learns_with_or_without_its_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    own = digits._table()
    monkeypatch.setattr(digits, "FILE", Path("moved.csv.gz"))
    theirs = digits._table()
    for ours, other in zip(own, theirs, strict=True):
        assert ours.dtype == other.dtype
        assert np.array_equal(ours, other)


def test_a_client_process_does_not_import_scikit_learn() -> None:
    code = (
        "import sys; from clients.tasks import DataSource, load_task; "
        "load_task('digits').partition_data(DataSource('', 0, 10), 0.2, 0); print('sklearn' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "False"
