"""A task is tried before a run: each thing that would fail in one is told at once, with what to mend."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import TensorDataset

from arithmetic.errors import ChorusError, ConfigError
from clients.tasks import ClientData, DataSource
from clients.tasks.classification import ClassificationTask, Examples, seeded
from clients.tasks.trial import tried

SOURCE = DataSource(num_partitions=3)


class Signs(ClassificationTask):
    """Whether the first of two numbers is positive."""

    name = "signs"

    def network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 2))

    def load(self, source: DataSource) -> Examples:
        inputs = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
        return Examples(inputs, (inputs[:, 0] > 0).astype(np.int64))


class Line:
    """The interface without the base class: a regression."""

    name: str = "line"
    metric_names: tuple[str, ...] = ()

    def model(self, seed: int) -> nn.Module:
        with seeded(seed):
            return nn.Linear(2, 1)

    def partition_data(self, source: DataSource, validation_fraction: float, seed: int) -> ClientData:
        rows = torch.arange(40.0).reshape(20, 2) / 40
        return ClientData(TensorDataset(rows[:16], rows[:16, :1]), TensorDataset(rows[16:], rows[16:, :1]))

    def test_data(self, source: DataSource) -> None:
        return None

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    def evaluate_batch(self, model: nn.Module, batch: Any) -> dict[str, float]:
        return {"loss": float(((model(batch[0]) - batch[1]) ** 2).sum())}


def trial(task: Any) -> Any:
    return tried(task, SOURCE, 0.2, 0, 8)


def refusal(task: Any) -> str:
    with pytest.raises(ChorusError) as caught:
        trial(task)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_tasks_that_hold_are_described() -> None:
    found = trial(Signs())
    assert (found.parameters, found.training, found.validation, found.remarks) == (22, 16, 4, ())
    assert found.line.endswith("a batch is float32 (8, 2) and int64 (8,)")
    assert trial(Line()).parameters == 3


def test_batch_norm_is_named_for_what_it_rules_out() -> None:
    class Normed(Signs):
        def network(self) -> nn.Module:
            return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    assert trial(Normed()).line.endswith(
        "; BatchNorm in layer '1': neither privacy nor job = gradients takes it"
    )


def test_a_model_that_leaks_is_refused_where_gradients_are_clipped() -> None:
    class Normed(Signs):
        def network(self) -> nn.Module:
            return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    assert tried(Signs(), SOURCE, 0.2, 0, 8, clipped=True).remarks == ()
    with pytest.raises(ChorusError, match="use GroupNorm"):
        tried(Normed(), SOURCE, 0.2, 0, 8, clipped=True)


def test_a_layer_that_the_loss_leaves_out_is_remarked_on() -> None:
    def first(model: nn.Module, batch: Any) -> torch.Tensor:
        return model.get_submodule("0")(batch[0]).square()

    task = _with(
        Line,
        model=lambda *_: _two_layers(),
        loss=lambda _, model, batch: first(model, batch).mean(),
        evaluate_batch=lambda _, model, batch: {"loss": float(first(model, batch).sum())},
    )
    assert trial(task).remarks == ("loss does not depend on parameter 1.weight",)


def _with(base: type[Any], **methods: Any) -> Any:
    return type("Mine", (base,), methods)()


def _nothing(*_: Any) -> None:
    return None


def _raises(*_: Any) -> None:
    raise FileNotFoundError("no such\nfile")


def _counter(give: Callable[[int], Any]) -> Callable[..., Any]:
    calls = iter(range(1, 1000))
    return lambda *_: give(next(calls))


def _line_of(inputs: Any, targets: Any) -> Callable[..., ClientData]:
    data = TensorDataset(inputs, targets)
    return lambda *_: ClientData(data, data)


_ROWS = torch.rand(16, 2)
_BROKEN = {
    "model-raises": (_with(Line, model=_raises), r"model(seed) of task line failed (FileNotFoundError: no such file)"),
    "model-is-none": (_with(Line, model=_nothing), "return a torch nn.Module"),
    "model-without-weights": (_with(Line, model=lambda *_: nn.GELU()), "has nothing to train"),
    "model-ignores-the-seed": (_with(Line, model=lambda *_: nn.Linear(2, 1)), "gives another weight each time"),
    "model-of-other-layers": (_with(Line, model=_counter(lambda n: nn.Linear(2, n))), "gives another weight each"),
    "weights-not-finite": (
        _with(Line, model=lambda *_: nn.Linear(2, 1).requires_grad_(True).apply(lambda m: _spoil(m))),
        "is no longer finite",
    ),
    "data-raises": (_with(Line, partition_data=_raises), "see that data-path names the file that it reads"),
    "data-is-none": (_with(Line, partition_data=_nothing), "return ClientData(train, validation)"),
    "data-is-empty": (_with(Line, partition_data=_line_of(_ROWS[:0], _ROWS[:0, :1])), "has no training examples"),
    "data-has-no-length": (_with(Line, partition_data=lambda *_: ClientData(iter(()), iter(()))), "no len()"),  # type: ignore[arg-type]
    "data-differs-each-time": (
        _with(Line, partition_data=lambda *_: _line_of(torch.rand(9, 2), torch.rand(9, 1))()),
        "np.random.default_rng(seed)",
    ),
    "examples-make-no-batch": (
        _with(Line, partition_data=lambda *_: ClientData([torch.zeros(n) for n in range(1, 5)], [])),  # type: ignore[arg-type]
        "one shape and type",
    ),
    "missing-values": (
        _with(Line, partition_data=_line_of(torch.tensor([[0.0, 1.0], [2.0, torch.nan]]), torch.zeros(2, 1))),
        "training example 1 of task line holds NaN or infinity, position 1; fill in what is missing",
    ),
    "wrong-width": (
        _with(Line, partition_data=_line_of(torch.rand(16, 3), torch.rand(16, 1))),
        "the batch is float32 (8, 3) and float32 (8, 1): inputs are float32 and as wide as the first layer",
    ),
    "wrong-dtype": (
        _with(Line, partition_data=_line_of(_ROWS.double(), _ROWS[:, :1])),
        "the batch is float64 (8, 2) and float32 (8, 1)",
    ),
    "loss-is-a-number": (_with(Line, loss=lambda *_: 1.0), "return the batch's mean as a tensor"),
    "loss-is-detached": (_with(Line, loss=lambda *_: torch.tensor(1.0)), "carries no gradient"),
    "loss-of-each-example": (
        _with(Line, loss=lambda _, model, batch: model(batch[0])), "give the batch's mean",
    ),
    "metric-is-missing": (_with(Line, metric_names=("error",)), "it must give sums for ['error', 'loss']"),
    "metrics-are-none": (_with(Line, evaluate_batch=_nothing), "gives NoneType"),
    "metric-is-a-mean": (
        _with(Line, evaluate_batch=lambda _, model, batch: {"loss": float(Line().loss(model, batch))}),
        "loss of evaluate_batch of task line is no sum",
    ),
    "test-data-raises": (_with(Line, test_data=_raises), "return None where there is no public test set"),
    "labels-out-of-range": (
        _with(Signs, network=lambda *_: nn.Linear(2, 1)),
        "a label of task signs is 1, but the network has 1 outputs",
    ),
    "network-of-another-shape": (
        _with(Signs, network=lambda *_: nn.Sequential(nn.Linear(2, 2), nn.Flatten(0))),
        "end it with a linear layer",
    ),
    "load-gives-a-tuple": (_with(Signs, load=lambda *_: (1, 2)), "return Examples(inputs, labels)"),
}  # fmt: skip


def _spoil(layer: nn.Module) -> None:
    with torch.no_grad():
        for weight in layer.parameters():
            weight.fill_(torch.nan)


def _two_layers() -> nn.Module:
    with seeded(0):
        return nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))


@pytest.mark.parametrize("what", sorted(_BROKEN))
def test_what_would_fail_in_a_run_is_told_with_its_remedy(what: str) -> None:
    task, words = _BROKEN[what]
    assert words in refusal(task)


_GOOD: NDArray[Any] = np.zeros((4, 2), dtype=np.float32)
_LABELS: NDArray[Any] = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("inputs", "labels", "words"),
    [
        ([[1.0]], _LABELS, "inputs are a list"),
        (torch.zeros(4, 2), _LABELS, "inputs are a Tensor"),
        (np.array([["a"]] * 4), _LABELS, "number the categories"),
        (_GOOD, _LABELS[:3], "one label for each row"),
        (_GOOD, _LABELS.reshape(4, 1), "one label for each row"),
        (
            np.where(np.arange(8).reshape(4, 2) == 5, np.nan, 0.0),
            _LABELS,
            "input 2, column 1, counted from 0, is NaN",
        ),
        (_GOOD, _LABELS.astype(np.float32), "give whole numbers from 0"),
        (_GOOD, _LABELS - 1, "a label is -1; number classes from 0"),
    ],
    ids=["list", "tensor", "text", "lengths", "columns", "missing", "real-labels", "negative-labels"],
)
def test_examples_that_no_network_could_be_given_are_refused(inputs: Any, labels: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Examples(inputs, labels)
    assert words in str(caught.value)
