"""Clipped per-example gradients: equal to brute force, whatever the layers; refusals that name the layer."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from opacus.layers import DPLSTM
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from arithmetic.errors import ParameterError, RangeError
from clients.example_gradients import example_gradients
from clients.tasks.classification import ClassificationTask
from clients.updates import arrays_of

CPU = torch.device("cpu")
TASK = ClassificationTask()
NORM = 0.7


class Scale(nn.Module):
    """A 0-d parameter, as a learned temperature is."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = DPLSTM(5, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])  # type: ignore[no-any-return]


class Tied(nn.Module):
    """One layer called twice, one weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.twin, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.twin.weight = self.body.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.twin(torch.tanh(self.body(torch.tanh(self.body(x))))))  # type: ignore[no-any-return]


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    model[2].requires_grad_(False)
    model[4].bias.requires_grad_(False)
    return model


IMAGE, VECTOR, STEPS, WORDS = (1, 6, 6), (5,), (4, 5), (4,)
MODELS: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(inplace=True), nn.Linear(7, 3)), VECTOR, "ghost"),
    "no bias": (lambda: nn.Linear(5, 3, bias=False), VECTOR, "ghost"),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, stride=2), nn.GroupNorm(2, 4), nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 2, groups=2), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 3),
        ),
        IMAGE,
        "ghost",
    ),
    "steps": (lambda: nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Flatten(), nn.Linear(16, 3)), STEPS, "ghost"),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(4, 3, 2), nn.Flatten(), nn.Linear(12, 3)), STEPS, "ghost"),
    "words": (lambda: nn.Sequential(nn.Embedding(6, 5), nn.Flatten(), nn.Linear(20, 3)), WORDS, "ghost"),
    "frozen": (frozen, VECTOR, "ghost"),
    "tied": (Tied, VECTOR, "ghost"),
    "scalar": (lambda: nn.Sequential(nn.Linear(5, 3), Scale()), VECTOR, "hooks"),
    "recurrent": (Recurrent, STEPS, "hooks"),
}  # fmt: skip


def data(shape: tuple[int, ...], examples: int = 11) -> TensorDataset:
    torch.manual_seed(3)
    spread = torch.logspace(-1, 1, examples).reshape(
        -1, *(1 for _ in shape)
    )  # some are clipped, some are not
    inputs = (
        torch.randint(6, (examples, *shape)) if shape == WORDS else spread * torch.randn(examples, *shape)
    )
    return TensorDataset(inputs, torch.arange(examples) % 3)


def brute_force(model: nn.Module, examples: TensorDataset) -> NDArray[np.float64]:
    """Each example by itself through autograd; shape (n, d), not clipped."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    rows = []
    for index in range(len(examples)):
        loss = TASK.loss(model, tuple(tensor[index : index + 1] for tensor in examples.tensors))  # type: ignore[arg-type]
        rows.append(
            torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights)]).double().numpy()
        )
    return np.stack(rows)


def clipped(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows * np.minimum(1, NORM / norms)


def made(name: str) -> tuple[nn.Module, TensorDataset, str]:
    torch.manual_seed(0)
    build, shape, mode = MODELS[name]
    return build(), data(shape), mode


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("micro_batch", [4, 64])
def test_sum_and_rows_are_those_of_brute_force(name: str, micro_batch: int) -> None:
    model, examples, mode = made(name)
    rows = brute_force(model, examples)
    assert (np.linalg.norm(rows, axis=1) > NORM).any()
    assert (np.linalg.norm(rows, axis=1) < NORM).any() or name != "linear"
    before, everyone = arrays_of(model), torch.arange(len(examples))
    with example_gradients(TASK, model, examples, NORM, CPU, 0, micro_batch) as gradients:
        assert gradients.mode == mode
        assert gradients.dimension == rows.shape[1]
        found = gradients.clipped_sum(everyone)
        parts = list(gradients.clipped_rows(everyone))
        some = gradients.clipped_sum(everyone[2:5]).total
    np.testing.assert_allclose(found.total.numpy(), clipped(rows).sum(axis=0), atol=2e-5)
    np.testing.assert_allclose(np.concatenate(parts), clipped(rows), atol=2e-5)
    np.testing.assert_allclose(some.numpy(), clipped(rows)[2:5].sum(axis=0), atol=2e-5)
    assert max(len(part) for part in parts) == min(micro_batch, 11)
    assert np.linalg.norm(np.concatenate(parts).astype(np.float64), axis=1).max() <= NORM
    assert found.non_finite == 0
    assert all(np.array_equal(before[key], value) for key, value in arrays_of(model).items())


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_left_without_hooks_gradients_or_other_attributes(name: str) -> None:
    model, examples, _ = made(name)
    names, attributes = list(model.state_dict()), set().union(*(vars(layer) for layer in model.modules()))
    with example_gradients(TASK, model, examples, NORM, CPU, 0) as gradients:
        gradients.clipped_sum(torch.arange(4))
    assert list(model.state_dict()) == names
    assert not any(layer._forward_hooks or layer._backward_hooks for layer in model.modules())
    for weight in model.parameters():
        assert weight.grad is None
        assert getattr(weight, "grad_sample", None) is None
    left = set().union(*(vars(layer) for layer in model.modules())) - attributes
    assert not left & {"activations", "autograd_grad_sample_hooks", "ft_compute_sample_grad", "max_batch_len"}


@pytest.mark.parametrize("name", ["linear", "convolution", "scalar", "recurrent"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_an_example_that_is_not_finite_counts_as_zero_and_touches_no_other(name: str, value: float) -> None:
    model, examples, _ = made(name)
    rows = clipped(brute_force(model, examples))
    bad = [1, 9]
    examples.tensors[0][bad] = value
    with example_gradients(TASK, model, examples, NORM, CPU, 0, 4) as gradients:
        found = gradients.clipped_sum(torch.arange(11))
        parts = np.concatenate(list(gradients.clipped_rows(torch.arange(11))))
    if value == 3e38:  # an activation may bring it back, or it overflows: finite in any case
        assert np.isfinite(parts).all()
        assert torch.isfinite(found.total).all()
        return
    rows[bad] = 0
    assert found.non_finite == len(bad)
    np.testing.assert_allclose(found.total.numpy(), rows.sum(axis=0), atol=2e-5)
    np.testing.assert_allclose(parts, rows, atol=2e-5)
    assert np.isfinite(found.loss)


def test_an_empty_batch_sums_to_zero() -> None:
    model, examples, _ = made("linear")
    with example_gradients(TASK, model, examples, NORM, CPU, 0) as gradients:
        found = gradients.clipped_sum(torch.arange(0))
        assert list(gradients.clipped_rows(torch.arange(0))) == []
    assert (found.total == 0).all()
    assert found.total.shape == (gradients.dimension,)
    assert (found.non_finite, found.loss) == (0, 0.0)


def test_the_scalar_is_under_the_one_norm() -> None:
    """An example whose whole gradient is the 0-d parameter's is clipped to the norm all the same."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 3), Scale())
    model[0].requires_grad_(False)
    examples = data(VECTOR)
    with example_gradients(TASK, model, examples, 1e-3, CPU, 0) as gradients:
        assert gradients.dimension == 1
        rows = np.concatenate(list(gradients.clipped_rows(torch.arange(11))))
    np.testing.assert_allclose(np.abs(rows).max(), 1e-3, rtol=1e-4)
    assert np.abs(rows).max() <= 1e-3


class Borrowed(nn.Module):
    """Uses its layer's weight past the layer: no rule sees that."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(functional.linear(self.layer(x), self.layer.weight))  # type: ignore[no-any-return]


class Flattened(nn.Module):
    """Loses the example dimension before a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(5, 3), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x.flatten(0, 1)).reshape(len(x), 12))  # type: ignore[no-any-return]


class Overwritten(nn.Module):
    """Changes a layer's input after the layer has seen it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        seen = self.layer(x)
        x.mul_(2)
        return self.head(seen)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("model", "shape", "named"),
    [
        (Borrowed, VECTOR, "layer.weight"),
        (Overwritten, VECTOR, "inplace"),
        (Flattened, STEPS, "'layer' takes an input of shape"),
        (lambda: nn.Sequential(nn.Conv1d(4, 3, 2, padding=1, padding_mode="circular"), nn.Flatten(), nn.Linear(18, 3)),
         STEPS, "0.weight"),
        (lambda: nn.Linear(5, 3).requires_grad_(False), VECTOR, "no parameter to train"),
    ],
)  # fmt: skip
def test_a_model_that_would_give_wrong_gradients_is_refused_by_name(
    model: Any, shape: tuple[int, ...], named: str
) -> None:
    torch.manual_seed(0)
    with (
        pytest.raises(ParameterError, match=named),
        example_gradients(TASK, model(), data(shape), NORM, CPU, 0),
    ):
        pass


def test_dropout_is_drawn_from_the_stream_and_the_global_state_stays() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 50), nn.Dropout(0.5), nn.Linear(50, 3))

    def total(stream: int) -> torch.Tensor:
        with example_gradients(TASK, model, data(VECTOR), NORM, CPU, stream) as gradients:
            return gradients.clipped_sum(torch.arange(11)).total

    first, state = total(1), torch.random.get_rng_state()
    with example_gradients(TASK, model, examples := data(VECTOR), NORM, CPU, 1) as gradients:
        torch.random.set_rng_state(state)
        gradients.clipped_sum(torch.arange(len(examples)))
    assert torch.equal(first, total(1))
    assert not torch.equal(first, total(2))


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clipping_norm_out_of_range(norm: float) -> None:
    model, examples, _ = made("linear")
    with (
        pytest.raises(ParameterError, match="clipping-norm"),
        example_gradients(TASK, model, examples, norm, CPU, 0),
    ):
        pass


def test_one_example_abstains() -> None:
    model, _, _ = made("linear")
    one: Dataset[Any] = data(VECTOR, 1)
    with pytest.raises(RangeError, match="abstains"), example_gradients(TASK, model, one, NORM, CPU, 0):
        pass


# ---- numbers at the ends of single precision


class Faint(ClassificationTask):
    """A loss whose gradient at the model's output is `slope` everywhere."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        return (model(batch[0]) * self.slope).sum(dim=1).mean()


@pytest.mark.parametrize("name", ["ghost", "hooks"])
@pytest.mark.parametrize(
    ("size", "slope", "norm"),
    [
        (3e18, 1e-23, 1e-6),  # |g|^2 vanishes in single precision
        (1e-23, 9e18, 1e-6),
        (1e-24, 1e-3, 1e-30),  # the gradient's own square does
        (9e18, 3e18, 1e-6),  # C / norm is subnormal
        (9e37, 7e-37, 3.5e-7),  # an output gradient times its factor is
        (1e20, 1e20, 1e3),  # the norm is beyond single precision, and its factor is not
    ],
)
def test_no_gradient_is_longer_than_the_norm_whatever_its_size(
    name: str, size: float, slope: float, norm: float
) -> None:
    layers = [nn.Linear(5, 3, bias=False), *([Scale()] if name == "hooks" else [])]
    model = nn.Sequential(*layers)
    with torch.no_grad():
        model[0].weight.fill_(1e-3)
    examples = TensorDataset(size * torch.ones(4, 5), torch.zeros(4).long())
    with example_gradients(Faint(slope), model, examples, norm, CPU, 0) as gradients:
        assert gradients.mode == name
        rows = np.concatenate(list(gradients.clipped_rows(torch.arange(4)))).astype(np.float64)
        sums = [gradients.clipped_sum(torch.tensor([index])).total.double().numpy() for index in range(4)]
    for each in (*rows, *sums):
        assert np.linalg.norm(each) <= norm
