"""The diabetes task: its data, its public test set, its model, and the split that puts hospitals apart."""

import numpy as np
import pytest
import torch

from arithmetic.errors import ConfigError
from clients.tasks import DataSource, length_of, load_task
from clients.tasks.diabetes import CENTRES, SCALES, TARGET_CENTRE, TARGET_SCALE, TEST_PATIENTS, Diabetes
from clients.training import TrainingConfig, evaluate, train
from clients.updates import spec_of

TASK = load_task("diabetes")
CPU = torch.device("cpu")


def part(number: int, parts: int = 5, partition: str = "dirichlet", seed: int = 0) -> tuple[np.ndarray, int]:
    """Scaled targets a hospital trains on, and how many patients it has in all."""
    data = TASK.partition_data(DataSource("", number, parts, partition, 0.5), 0.2, seed)
    (_, targets) = data.train.tensors  # type: ignore[attr-defined]
    return targets.numpy().ravel(), length_of(data.train) + length_of(data.validation)


def test_everybody_is_somewhere_once() -> None:
    """442 patients, of whom 50 are the public test set."""
    assert isinstance(TASK, Diabetes)
    assert length_of(TASK.test_data(DataSource())) == TEST_PATIENTS == 50  # type: ignore[arg-type]
    for partition in ("iid", "dirichlet"):
        assert sum(part(number, partition=partition)[1] for number in range(5)) == 442 - TEST_PATIENTS


def test_it_is_scikit_learns_table() -> None:
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    sources = [TASK.partition_data(DataSource("", 0, 1), 0.2, 0), TASK.test_data(DataSource())]
    tensors = [each.tensors for each in (sources[0].train, sources[0].validation, sources[1])]  # type: ignore[union-attr]
    inputs = np.concatenate([pair[0].numpy() for pair in tensors]) * np.array(SCALES) + np.array(CENTRES)
    targets = np.concatenate([pair[1].numpy().ravel() for pair in tensors]) * TARGET_SCALE + TARGET_CENTRE
    ours = np.sort(np.column_stack([inputs, targets]), axis=0)
    assert np.allclose(ours, np.sort(np.column_stack([bunch.data, bunch.target]), axis=0), atol=1e-3)


def test_the_test_set_does_not_move_with_the_seed() -> None:
    first, second = (TASK.test_data(DataSource()) for _ in range(2))
    assert torch.equal(first.tensors[0], second.tensors[0])  # type: ignore[union-attr]
    assert not np.array_equal(part(0, seed=1)[0], part(0, seed=2)[0])


def test_hospitals_are_biased_where_they_are_dealt_so() -> None:
    means = {
        kind: [part(number, partition=kind)[0].mean() for number in range(5)] for kind in ("iid", "dirichlet")
    }
    assert np.ptp(means["dirichlet"]) > 2 * np.ptp(means["iid"])


def test_the_model_is_eleven_zeros_whatever_the_seed() -> None:
    for seed in (0, 7):
        model = TASK.model(seed)
        assert spec_of(model).tensor_length == 11
        assert all(not bool(weight.any()) for weight in model.parameters())


def test_it_comes_close_to_least_squares_and_counts_in_units_of_the_target() -> None:
    data = TASK.partition_data(DataSource("", 0, 1), 0.01, 0)
    model = TASK.model(0)
    train(TASK, model, data.train, TrainingConfig(200, 500, 0.1, 0.0), CPU, 1, 0)
    test = TASK.test_data(DataSource())
    assert test is not None
    found = evaluate(TASK, model, test, CPU)
    mse = found.metric_sums["mse"] / found.examples
    assert mse == pytest.approx(found.loss_sum / found.examples * TARGET_SCALE**2)
    assert 2_500 < mse < 2_900


def test_its_own_mistakes_are_typed() -> None:
    with pytest.raises(ConfigError, match="partition-id is 5 of 5"):
        TASK.partition_data(DataSource("", 5, 5), 0.2, 0)
