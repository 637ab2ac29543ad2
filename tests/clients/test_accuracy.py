"""Plain federated averaging over the built-in tasks reaches the accuracy that is promised."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clients.tasks import DataSource, Task, load_task
from clients.training import TrainingConfig, evaluate, limit_threads, train
from clients.updates import arrays_of, load_arrays, spec_of

REAL = Path(__file__).parents[3] / "shared" / "data" / "mnist"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As a simulated client runs; many times faster when the cores are busy."""
    before = torch.get_num_threads()
    limit_threads(1)
    yield
    limit_threads(before)


def federated_accuracy(
    task: Task, path: str, clients: int, rounds: int, config: TrainingConfig, partition: str = "iid"
) -> tuple[float, dict[str, np.ndarray[Any, Any]]]:
    """Plain federated averaging in one process: the answer a secure run must reproduce."""
    cpu = torch.device("cpu")
    sources = [DataSource(path, number, clients, partition) for number in range(clients)]
    data = [task.partition_data(source, 0.2, config.seed).train for source in sources]
    model = task.model(config.seed)
    spec, arrays = spec_of(model), arrays_of(model)
    for server_round in range(1, rounds + 1):
        total, weight = np.zeros(spec.tensor_length), 0
        for number in range(clients):
            load_arrays(model, arrays)
            report = train(task, model, data[number], config, cpu, server_round, number)
            total += report.examples * spec.flatten_update(arrays_of(model), arrays).tensor
            weight += report.examples
        arrays = spec.apply_mean(arrays, total / weight, np.zeros(0))
    load_arrays(model, arrays)
    test = task.test_data(DataSource(path))
    assert test is not None
    report_ = evaluate(task, model, test, cpu)
    return report_.metric_sums["accuracy"] / report_.examples, arrays


@pytest.mark.parametrize("seed", [0, 1])
def test_ten_clients_ten_rounds_reach_95(seed: int) -> None:
    accuracy, _ = federated_accuracy(load_task("digits"), "", 10, 10, TrainingConfig(seed=seed))
    assert accuracy >= 0.96


def test_a_run_is_deterministic_by_seed() -> None:
    task = load_task("digits")
    one = federated_accuracy(task, "", 3, 2, TrainingConfig(seed=3))[1]
    torch.rand(3)
    two = federated_accuracy(task, "", 3, 2, TrainingConfig(seed=3))[1]
    other = federated_accuracy(task, "", 3, 2, TrainingConfig(seed=4))[1]
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["0.weight"], other["0.weight"])


@pytest.mark.nightly
def test_real_images_reach_98_in_five_rounds() -> None:
    if not REAL.is_dir():
        pytest.skip(f"no MNIST files in {REAL}; see the README there")
    config = TrainingConfig(local_epochs=1)
    accuracy, _ = federated_accuracy(load_task("mnist"), str(REAL), 10, 5, config)
    assert accuracy >= 0.98
