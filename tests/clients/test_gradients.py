"""A client's gradient: of exactly the batch that everybody can name, and nothing moved."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from arithmetic.errors import ParameterError, RangeError
from clients.gradients import batch_gradient, batch_of, check_trained
from clients.tasks import DataSource, load_task
from clients.training import TrainingConfig
from clients.updates import arrays_of, spec_of
from tests.support.run import TINY

CPU = torch.device("cpu")
LINEAR = "tests.support.linear_task"


def gradient(task: Any, model: nn.Module, data: Any, server_round: int = 1, size: int = 5) -> Any:
    config = TrainingConfig(batch_size=size, seed=3)
    return batch_gradient(task, model, data, config, spec_of(model), CPU, server_round, 2)


def test_it_is_torchs_own_gradient_of_the_mean_loss_of_the_batch_and_the_model_stays() -> None:
    task = load_task(LINEAR)
    model, data = task.model(1), task.partition_data(DataSource("", 2, 5), 0.2, 3).train
    before = {name: array.copy() for name, array in arrays_of(model).items()}
    found = gradient(task, model, data, server_round=2)
    inputs, labels = (part[batch_of(len(data), 5, 3, 2, 2)] for part in data.tensors)
    weight, bias = (parameter.detach().clone().requires_grad_() for parameter in model.parameters())
    loss = nn.functional.cross_entropy(inputs @ weight.T + bias, labels)
    wanted = np.concatenate([part.numpy().ravel() for part in torch.autograd.grad(loss, (weight, bias))])
    np.testing.assert_allclose(found.values, wanted, atol=1e-7)
    assert np.abs(wanted).max() > 0.01
    assert (found.examples, found.mean_loss) == (5, pytest.approx(loss.item(), abs=1e-6))
    after = arrays_of(model)
    assert all((after[name] == before[name]).all() for name in before)


def test_an_epoch_sees_every_example_once_and_the_next_in_another_order() -> None:
    epochs = [
        torch.cat([batch_of(23, 5, 0, 5 * epoch + at, 1) for at in range(1, 6)]).tolist() for epoch in (0, 1)
    ]
    assert [sorted(epoch) for epoch in epochs] == [list(range(23))] * 2
    assert epochs[0] != epochs[1]
    assert [len(batch_of(23, 5, 0, at, 1)) for at in range(1, 7)] == [5, 5, 5, 5, 3, 5]


def test_batches_follow_seed_server_round_and_partition_and_nothing_else() -> None:
    def at(seed: int = 0, server_round: int = 1, partition: int = 0) -> list[int]:
        return batch_of(1000, 20, seed, server_round, partition).tolist()

    torch.manual_seed(1)
    first = at()
    torch.manual_seed(2)
    assert at() == first
    assert first not in (at(seed=1), at(server_round=2), at(partition=1), at(server_round=51))


def test_known_batches_stay_what_they_are() -> None:
    """Whoever reproduces a run centrally depends on them."""
    assert batch_of(10, 4, 0, 1, 0).tolist() == [3, 5, 1, 8]
    assert batch_of(10, 4, 7, 4, 2).tolist() == [3, 2, 5, 0]


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    assert sorted(batch_of(3, 32, 0, 9, 0).tolist()) == [0, 1, 2]


def test_running_statistics_are_no_gradients() -> None:
    model = load_task(TINY).model(0)
    with pytest.raises(ParameterError, match=r"norm\.num_batches_tracked, norm\.running_mean.*GroupNorm"):
        check_trained(model, spec_of(model))


def test_of_a_parameter_that_the_loss_does_not_see_the_gradient_is_zero_and_a_frozen_one_has_none() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unseen = nn.Parameter(torch.ones(4))
            self.frozen = nn.Parameter(torch.ones(6), requires_grad=False)
            self.seen = nn.Linear(6, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.seen(inputs * self.frozen)

    task = load_task(LINEAR)
    data = task.partition_data(DataSource("", 2, 5), 0.2, 3).train
    found = gradient(task, Partly(), data)
    assert found.values.shape == (4 + 18 + 3,)
    assert not found.values[:4].any()
    assert found.values[4:].any()


def test_no_examples_and_numbers_that_are_none_send_nothing() -> None:
    task = load_task(LINEAR)
    empty = TensorDataset(torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(RangeError, match="abstains"):
        gradient(task, task.model(0), empty)
    broken = TensorDataset(torch.full((8, 6), float("inf")), torch.zeros(8, dtype=torch.int64))
    with pytest.raises(RangeError, match="nothing is sent"):
        gradient(task, task.model(0), broken)


def test_a_finite_loss_with_a_gradient_that_is_not_sends_nothing() -> None:
    class Steep:
        @staticmethod
        def loss(model: nn.Module, batch: Any) -> torch.Tensor:
            return sum(torch.sqrt(weight * 0.0).sum() for weight in model.parameters())  # slope infinity * 0

    task = load_task(LINEAR)
    data = task.partition_data(DataSource("", 2, 5), 0.2, 3).train
    with pytest.raises(RangeError, match="gradient is not finite"):
        gradient(Steep(), task.model(0), data)
