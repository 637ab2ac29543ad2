"""Training and evaluation: determinism, FedProx, odd sizes, typed refusals."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from arithmetic.errors import ConfigError, ParameterError, RangeError, SetupError
from arithmetic.layout import Array
from clients.tasks import DataSource
from clients.tasks.classification import ClassificationTask, Examples
from clients.training import (
    EvaluationReport,
    TrainingConfig,
    TrainingReport,
    evaluate,
    limit_threads,
    train,
)
from clients.updates import arrays_of, load_arrays, spec_of

CPU = torch.device("cpu")
CONFIG = TrainingConfig(local_epochs=2, batch_size=4, learning_rate=0.05)


class Blobs(ClassificationTask):
    """Three classes in four dimensions; `layers` chooses what the network is made of."""

    name = "blobs"

    def __init__(self, layers: str = "plain") -> None:
        self.layers = layers

    def network(self) -> nn.Module:
        middle = {
            "plain": nn.Tanh(),
            "dropout": nn.Dropout(0.5),
            "batchnorm": nn.BatchNorm1d(8),
        }[self.layers]
        return nn.Sequential(nn.Linear(4, 8), middle, nn.Linear(8, 3))

    def load(self, source: DataSource) -> Examples:
        return Examples(*numbers(30))


def numbers(count: int) -> tuple[Array, Array]:
    labels = np.arange(count) % 3
    noise = np.random.default_rng(0).normal(size=(count, 4))
    return (noise + 2 * np.eye(4)[labels]).astype(np.float32), labels.astype(np.int64)


def blobs(count: int) -> TensorDataset:
    inputs, labels = numbers(count)
    return TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels))


class Rows(Dataset[Any]):
    """The same examples behind a plain map-style data set, so that batches are collated."""

    def __init__(self, count: int) -> None:
        self.rows = list(zip(*blobs(count).tensors, strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def trained(
    config: TrainingConfig = CONFIG,
    data: Dataset[Any] | None = None,
    layers: str = "plain",
    server_round: int = 1,
    partition_id: int = 0,
) -> tuple[dict[str, Array], TrainingReport]:
    task = Blobs(layers)
    model = task.model(0)
    data = blobs(30) if data is None else data
    report = train(task, model, data, config, CPU, server_round, partition_id)
    return arrays_of(model), report


def equal(one: Mapping[str, Array], two: Mapping[str, Array]) -> bool:
    return all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("layers", ["plain", "dropout", "batchnorm"])
def test_equal_arguments_give_equal_bits_whatever_the_global_stream(layers: str) -> None:
    torch.manual_seed(1)
    first, _ = trained(layers=layers)
    torch.manual_seed(2)
    torch.rand(5)
    state = torch.random.get_rng_state()
    second, _ = trained(layers=layers)
    assert equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("layers", ["plain", "dropout"])
def test_seed_round_and_client_each_change_the_order(layers: str) -> None:
    runs = [
        trained(layers=layers),
        trained(layers=layers, server_round=2),
        trained(layers=layers, partition_id=1),
        trained(TrainingConfig(local_epochs=2, batch_size=4, learning_rate=0.05, seed=1)),
    ]
    assert len({arrays["0.weight"].tobytes() for arrays, _ in runs}) == 4


def test_report_counts() -> None:
    _, report = trained(data=blobs(30))
    assert (report.examples, report.steps) == (30, 2 * 8)
    assert 0 < report.mean_loss < 2


def test_matches_torch_sgd() -> None:
    """One full batch an epoch leaves the order out of it: the weights are torch.optim.SGD's."""
    task, data = Blobs(), blobs(30)
    config = TrainingConfig(local_epochs=5, batch_size=30, learning_rate=0.1, momentum=0.9)
    ours, reference = task.model(0), task.model(0)
    report = train(task, ours, data, config, CPU, 1, 0)
    optimiser = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = task.loss(reference, (data.tensors[0], data.tensors[1]))
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert report.mean_loss == pytest.approx(np.mean(losses), abs=1e-6)


def test_proximal_term_is_its_gradient() -> None:
    """FedProx: each step's gradient gains mu (w - w_global)."""
    task, data, mu = Blobs(), blobs(30), 0.7
    config = TrainingConfig(3, 30, 0.1, 0.0, proximal_mu=mu)
    ours, reference = task.model(0), task.model(0)
    train(task, ours, data, config, CPU, 1, 0)
    start = [weight.detach().clone() for weight in reference.parameters()]
    optimiser = torch.optim.SGD(reference.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        near: Any = sum(((w - s) ** 2).sum() for w, s in zip(reference.parameters(), start, strict=True))
        (task.loss(reference, (data.tensors[0], data.tensors[1])) + mu / 2 * near).backward()
        optimiser.step()
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_proximal_term_holds_the_model_back() -> None:
    start = arrays_of(Blobs().model(0))

    def moved(mu: float) -> float:
        arrays, _ = trained(TrainingConfig(5, 8, 0.05, 0.0, proximal_mu=mu))
        return float(sum(np.abs(arrays[name] - start[name]).sum() for name in start))

    assert moved(10.0) < 0.5 * moved(0.0)


@pytest.mark.parametrize("count", [0])
def test_66_empty_data_abstains(count: int) -> None:
    with pytest.raises(RangeError, match="abstains"):
        trained(data=blobs(count))
    with pytest.raises(RangeError, match="abstains"):
        evaluate(Blobs(), Blobs().model(0), blobs(count), CPU)


@pytest.mark.parametrize(("count", "batch", "steps"), [(1, 32, 1), (3, 32, 1), (5, 4, 1), (6, 4, 2)])
def test_66_one_row_and_batches_larger_than_the_data_train(count: int, batch: int, steps: int) -> None:
    """A last batch of one joins the batch before it: five rows by four are one step."""
    _, report = trained(TrainingConfig(1, batch, 0.05), blobs(count))
    assert (report.examples, report.steps) == (count, steps)
    assert math.isfinite(report.mean_loss)


def test_66_last_batch_of_one_works_with_batchnorm() -> None:
    arrays, report = trained(TrainingConfig(1, 4, 0.05), blobs(9), "batchnorm")
    assert report.steps == 2
    assert arrays["1.num_batches_tracked"] == 2


@pytest.mark.parametrize(("count", "batch"), [(1, 32), (3, 1)])
def test_66_batchnorm_on_single_examples_abstains(count: int, batch: int) -> None:
    with pytest.raises(RangeError, match="BatchNorm"):
        trained(TrainingConfig(1, batch, 0.05), blobs(count), "batchnorm")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_68_loss_that_is_no_number_stops_at_once(value: float) -> None:
    data = blobs(30)
    data.tensors[0][7] = value
    with pytest.raises(RangeError, match="nothing is sent"):
        trained(data=data)
    with pytest.raises(RangeError):
        evaluate(Blobs(), Blobs().model(0), data, CPU)


def test_68_divergence_and_bad_gradients_are_seen() -> None:
    class Steep(Blobs):
        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            output: torch.Tensor = model(batch[0])
            return output.pow(2).mean()

    steep = Steep()
    with pytest.raises(RangeError, match="learning-rate"):
        train(steep, steep.model(0), blobs(30), TrainingConfig(100, 4, 100.0, 0.9), CPU, 1, 0)

    class BadGradient(Blobs):
        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            loss = super().loss(model, batch)
            return torch.sqrt(loss * 0)  # zero, whose gradient is 0 * inf = NaN

    task = BadGradient()
    with pytest.raises(RangeError, match="no longer finite"):
        train(task, task.model(0), blobs(3), TrainingConfig(1, 32, 0.1), CPU, 1, 0)


def test_73_batchnorm_frozen_and_tied_through_one_round() -> None:
    task = Blobs("batchnorm")
    model = task.model(0)
    model.get_parameter("2.weight").requires_grad_(False)
    spec, old = spec_of(model), arrays_of(model)
    train(task, model, blobs(30), CONFIG, CPU, 1, 0)
    local = arrays_of(model)
    update = spec.flatten_update(local, old)
    assert update.integers.tolist() == [16]
    assert np.array_equal(local["2.weight"], old["2.weight"])
    assert not np.array_equal(local["1.running_mean"], old["1.running_mean"])
    new = spec.apply_mean(old, update.tensor, update.integers.astype(np.float64))
    assert equal(new, local)
    load_arrays(model, new)


def test_any_map_style_data_set_trains_alike() -> None:
    assert equal(trained(data=Rows(30))[0], trained(data=blobs(30))[0])


def test_data_without_a_length_is_refused() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter(())

    with pytest.raises(ConfigError, match="map-style"):
        trained(data=Stream())


def test_dictionaries_are_batches_too() -> None:
    class Keyed(Blobs):
        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            return super().loss(model, (batch["x"], batch["y"]))

    class Pairs(Rows):
        def __getitem__(self, index: int) -> Any:
            return dict(zip("xy", self.rows[index], strict=True))

    task = Keyed()
    model = task.model(0)
    train(task, model, Pairs(30), CONFIG, CPU, 1, 0)
    assert equal(arrays_of(model), trained()[0])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried"),
        MemoryError(),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_81_out_of_memory_is_the_machines_fault(error: Exception) -> None:
    class Greedy(Blobs):
        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            raise error

    task = Greedy()
    with pytest.raises(SetupError, match="batch-size"):
        train(task, task.model(0), blobs(3), CONFIG, CPU, 1, 0)


def test_a_mistake_in_the_task_is_not_hidden() -> None:
    class Wrong(Blobs):
        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        train(Wrong(), Wrong().model(0), blobs(3), CONFIG, CPU, 1, 0)


def test_loss_of_a_batch_is_one_number() -> None:
    class Vector(Blobs):
        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            output: torch.Tensor = model(batch[0])
            return output.sum(dim=1)

    with pytest.raises(ConfigError, match="mean"):
        train(Vector(), Vector().model(0), blobs(3), CONFIG, CPU, 1, 0)


def test_nothing_to_train_is_refused() -> None:
    model = Blobs().model(0).requires_grad_(False)
    with pytest.raises(ParameterError, match="requires_grad"):
        train(Blobs(), model, blobs(3), CONFIG, CPU, 1, 0)


def test_evaluation_is_a_sum_over_every_example() -> None:
    task, data = Blobs(), blobs(1100)  # three evaluation batches, the last one short
    model = task.model(0).train()
    report = evaluate(task, model, data, CPU)
    with torch.no_grad():
        logits = model(data.tensors[0])
    losses = nn.functional.cross_entropy(logits, data.tensors[1], reduction="sum")
    right = int((logits.argmax(1) == data.tensors[1]).sum())
    assert report == EvaluationReport(1100, report.loss_sum, {"accuracy": float(right)})
    assert report.loss_sum == pytest.approx(float(losses), rel=1e-5)
    assert model.training


def test_evaluation_does_not_move_batchnorm() -> None:
    task = Blobs("batchnorm")
    model = task.model(0).train()
    before = arrays_of(model)
    evaluate(task, model, blobs(30), CPU)
    assert equal(before, arrays_of(model))


@pytest.mark.parametrize(
    ("sums", "error"),
    [
        ({"loss": 1.0}, ConfigError),
        ({"loss": 1.0, "accuracy": 1.0, "f1": 1.0}, ConfigError),
        ({"loss": 1.0, "accuracy": math.nan}, RangeError),
        ({"loss": -math.inf, "accuracy": 1.0}, RangeError),
        ({"loss": 1.0, "accuracy": 3.1e6}, RangeError),
    ],
)
def test_sums_out_of_shape_or_range_are_refused(sums: dict[str, float], error: type[Exception]) -> None:
    class Odd(Blobs):
        def evaluate_batch(self, model: nn.Module, batch: Any) -> dict[str, float]:
            return sums

    with pytest.raises(error):
        evaluate(Odd(), Odd().model(0), blobs(3), CPU)


@pytest.mark.parametrize(
    "change",
    [
        {"local_epochs": 0},
        {"local_epochs": True},
        {"local_epochs": 1.0},
        {"batch_size": 0},
        {"batch_size": 10**6 + 1},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"learning_rate": "0.1"},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"proximal_mu": -1.0},
        {"proximal_mu": math.nan},
        {"seed": -1},
        {"seed": 2**63},
    ],
)
def test_configuration_out_of_range_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(change)).replace("_", "-")):
        TrainingConfig(**change)


def test_threads_are_limited_only_when_told() -> None:
    before = torch.get_num_threads()
    trained()
    assert torch.get_num_threads() == before
    try:
        limit_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        limit_threads(before)
