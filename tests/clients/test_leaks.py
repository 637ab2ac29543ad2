"""What leaks is refused by behaviour, with the layer's name and the fix; what does not is let through."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import nn
from torch.nn import functional

from clients.leaks import LeakyModel, check_leaks
from clients.tasks.classification import Batch, ClassificationTask
from clients.training import own_random_stream

torch.manual_seed(5)
INPUTS, LABELS = torch.randn(9, 4, 6), torch.arange(9) % 3


def gather(indices: torch.Tensor) -> Batch:
    return INPUTS[indices], LABELS[indices]


def replay() -> AbstractContextManager[None]:
    return own_random_stream(7, torch.device("cpu"))


def check(model: nn.Module, task: ClassificationTask | None = None, examples: int = 9) -> None:
    check_leaks(task or ClassificationTask(), model.train(), gather, examples, replay)


def around(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(4, 4, 3), layer, nn.Flatten(), nn.Linear(16, 3))


class Counter(nn.Module):
    """State of its own making, not persistent: no list of types knows it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.largest = torch.maximum(self.largest, x.detach().abs().max())
        return x


class Centred(nn.Module):
    """Takes the batch's mean off: no state, but examples meet."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0)


class Noisy(nn.Module):
    """Dropout that no list of types knows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rand_like(x)


def still_batch_norm() -> nn.Module:
    return nn.BatchNorm1d(4).requires_grad_(False)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda: nn.BatchNorm1d(4), "GroupNorm"),
        (lambda: nn.BatchNorm1d(4, affine=False), "running_mean"),
        (still_batch_norm, "running_mean"),
        (lambda: nn.BatchNorm1d(4, affine=False, track_running_stats=False), "influence each other"),
        (lambda: nn.InstanceNorm1d(4, track_running_stats=True), "track_running_stats=False"),
        (lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True), "ModuleValidator.fix"),
        (Counter, "'largest'"),
        (Centred, "influence each other"),
    ],
)
def test_a_layer_that_leaks_is_named_with_the_fix(layer: Callable[[], nn.Module], said: str) -> None:
    made = layer()
    with pytest.raises(LeakyModel, match="layer '1'") as raised:
        check(around(made))
    assert said in str(raised.value)
    assert type(made).__name__ in str(raised.value)
    assert "ModuleValidator.fix" in str(raised.value)
    assert raised.value.code == "CONFIG"


@pytest.mark.parametrize(
    "layer",
    [
        nn.Identity,
        lambda: nn.GroupNorm(2, 4),
        lambda: nn.InstanceNorm1d(4),
        lambda: nn.Dropout(0.5),
        Noisy,
        lambda: nn.ReLU(inplace=True),
    ],
)
def test_a_layer_that_does_not_leak_passes_and_the_model_stays(layer: Callable[[], nn.Module]) -> None:
    model = around(layer())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    check(model)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(layer._forward_hooks for layer in model.modules())


def test_a_buffer_that_stays_is_no_leak() -> None:
    model = around(nn.Identity())
    model.register_buffer("table", torch.full((3,), float("nan")))
    check(model)


def test_recurrent_layers_that_opacus_refuses_are_named_unless_frozen() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.cell(x)[0][:, -1])  # type: ignore[no-any-return]

    model = Recurrent()
    with pytest.raises(LeakyModel, match=r"layer 'cell' \(LSTM\).*opacus\.layers"):
        check(model)
    model.cell.requires_grad_(False)
    check(model)


def test_an_embedding_that_rewrites_the_rows_it_meets() -> None:
    """max_norm rescales exactly the rows that the data asked for, in the weight itself."""

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(9, 6, max_norm=0.1), nn.Linear(24, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.table((x.abs() * 4).long().clamp(max=8)[:, :, 0]).flatten(1))  # type: ignore[no-any-return]

    with pytest.raises(LeakyModel, match=r"layer 'table' \(Embedding\) changes its 'weight'"):
        check(Words())


class Weighted(ClassificationTask):
    """Class weights in a mean: torch divides by the weights that happen to be in the batch."""

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1], weight=torch.tensor([1.0, 5.0, 25.0]))


class Summed(ClassificationTask):
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")


def test_a_loss_in_which_examples_meet() -> None:
    with pytest.raises(LeakyModel, match="in the task's loss, examples of one batch influence"):
        check(around(nn.Identity()), Weighted())


def test_a_loss_that_is_no_mean() -> None:
    with pytest.raises(LeakyModel, match=r'reduction="mean"'):
        check(around(nn.Identity()), Summed())


@pytest.mark.parametrize("examples", [2, 3, 9])
def test_few_examples_are_enough(examples: int) -> None:
    check(around(nn.Identity()), examples=examples)
    with pytest.raises(LeakyModel):
        check(around(Centred()), examples=examples)


def test_an_example_that_is_not_finite_is_no_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in (0, 5):
        bad = INPUTS.clone()
        bad[row] = float("nan")
        monkeypatch.setattr(f"{__name__}.INPUTS", bad)
        check(around(nn.GroupNorm(2, 4)))
