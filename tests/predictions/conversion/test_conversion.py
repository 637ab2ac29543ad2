"""Whole models: what a program computes is what the model computes, and what cannot be is refused before anything."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from arithmetic.errors import ParameterError
from clients.tasks import load_task
from predictions.conversion import SUPPORTED, calibrate, convert
from predictions.errors import PredictionRange, UnsupportedModel
from predictions.validity import check
from tests.support.networks import LAYER_NORM_NAMES, LAYERS, NAMES, network, row_of_layers

IMAGE = (1, 6, 6)


def uniform(shape: tuple[int, ...], low: float, high: float, rows: int = 40) -> np.ndarray[Any, Any]:
    return np.random.default_rng(7).uniform(low, high, (rows, *shape))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", NAMES + LAYER_NORM_NAMES)
def test_logits_are_those_of_the_model(name: str) -> None:
    module, shape, low, high = network(name)
    before = copy.deepcopy(module.state_dict())
    program, weights = convert(module, shape, low, high)
    check(program, weights)
    found = calibrate(module, program, weights, uniform(shape, low, high))
    assert found.error < 0.002
    assert max(found.used) <= 1.0
    assert module.training
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("corner", [0.0, 1.0])
def test_bounds_hold_at_the_corners_of_the_range(corner: float) -> None:
    module, shape, low, high = network("lenet max")
    program, weights = convert(module, shape, low, high)
    found = calibrate(module, program, weights, np.full((1, *shape), corner))
    assert max(found.used) <= 1.0


def test_a_bound_is_reached_by_the_worst_input() -> None:
    layer = nn.Linear(6, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0, 3.0, -4.0, 5.0, -6.0]]))
        layer.bias.zero_()
    program, weights = convert(layer, (6,), -1.0, 1.0)
    worst = np.array([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0]])
    assert calibrate(layer, program, weights, worst).used[-1] > 0.999
    assert program.wires[-1].bound == pytest.approx(21.0, abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=7), st.integers(0, 2**16), st.integers(4, 9))
def test_any_row_of_layers_computes_what_torch_computes(kinds: list[str], seed: int, side: int) -> None:
    module = row_of_layers(kinds, seed, side)
    program, weights = convert(module, (2, side, side), -1.0, 1.5)
    check(program, weights)
    found = calibrate(module, program, weights, uniform((2, side, side), -1.0, 1.5, 9))
    assert found.error < 0.002
    assert max(found.used) <= 1.0


def sequential(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (nn.GroupNorm(1, 1), "'0' \\(GroupNorm\\) is not supported: train with nn.BatchNorm2d"),
        (nn.GELU(), "\\(GELU\\) is not supported: train with nn.ReLU"),
        (nn.LeakyReLU(), "\\(LeakyReLU\\) .* nn.ReLU"),
        (nn.Softmax(1), "\\(Softmax\\) is not supported: drop it where it is the last"),
        (nn.InstanceNorm2d(1), "\\(InstanceNorm2d\\) .*BatchNorm2d"),
        (nn.ConvTranspose2d(1, 1, 2), "\\(ConvTranspose2d\\) .* table of supported layers"),
        (
            nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
            "pads by 'reflect'; use padding_mode='zeros'",
        ),
        (nn.MaxPool2d(2, ceil_mode=True), "leave both False"),
        (nn.AvgPool2d(2, ceil_mode=True), "leave it False"),
        (nn.AvgPool2d(3, 1, 1, count_include_pad=False), "count_include_pad=True"),
        (nn.AdaptiveAvgPool2d(4), "6 x 6 to 4 x 4 in uneven windows"),
        (nn.BatchNorm2d(1, track_running_stats=False), "track_running_stats=True"),
        (nn.LayerNorm(6), "normalises part of an example"),
        (nn.Linear(6, 6), "put nn.Flatten\\(\\) before it"),
        (nn.PixelUnshuffle(2), "\\(PixelUnshuffle\\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_other_layers_are_refused_by_name_with_what_to_do(layer: nn.Module, says: str) -> None:
    module = sequential(layer)
    module.eval()(torch.zeros(1, *IMAGE))
    with pytest.raises(UnsupportedModel, match=says) as caught:
        convert(module, IMAGE, 0.0, 1.0)
    assert "nothing has left" in str(caught.value)


class Forward(nn.Module):
    """A forward of any kind before a linear layer."""

    def __init__(self, forward: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.given, self.head = forward, nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Any:
        x = self.given(x)
        return x if isinstance(x, tuple) else self.head(torch.flatten(x, 1))


FORWARDS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "control flow": (lambda x: x if x.sum() > 0 else -x, "cannot be traced"),
    "square": (lambda x: x * x, r"\(mul\) joins two layers"),
    "sigmoid": (lambda x: torch.sigmoid(x), r"\(sigmoid\) is not supported: drop it"),
    "axes swapped": (lambda x: x.permute(0, 1, 3, 2), r"\(permute\)"),
    "attribute": (lambda x: x.mT, r"\(getattr\)"),
    "number taken out": (lambda x: x * x.max().item(), r"\(max\)"),
    "by zero": (lambda x: x / 0, "divides by a value, or by zero"),
    "by a value": (lambda x: 1 / (x + 2), "divides by a value"),
    "times NaN": (lambda x: x * float("nan"), "not finite"),
    "batch flattened": (lambda x: x.reshape(-1).reshape(3, 36), "mixes the examples"),
    "batch folded": (lambda x: x.reshape(1, -1).reshape(3, 36), "mixes the examples"),
    "rows taken": (lambda x: x[:1], r"\(getitem\)"),
    "sum with alpha": (lambda x: torch.add(x, x, alpha=2), r"\(add\)"),
    "one number a row": (lambda x: x + torch.arange(3.0).reshape(3, 1, 1, 1), "one for each row"),
    "stretched": (
        lambda x: functional.adaptive_avg_pool2d(x + torch.ones(2, 1, 1), (6, 3)),
        "stretches its value",
    ),
    "two shapes": (lambda x: x + functional.max_pool2d(x, 6), "adds two layers of different shapes"),
    "in place": (lambda x: torch.relu_(x) + x, "overwrites a value that is read elsewhere"),
    "in place of a view": (lambda x: x.view(x.size(0), -1).relu_() + x.view(x.size(0), -1), "overwrites"),
    "two outputs": (lambda x: (x, x), "something else than one tensor"),
    "constant": (lambda x: torch.ones(3, 36).double(), "something else than one tensor"),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards_that_cannot_be_followed_are_refused(name: str) -> None:
    forward, says = FORWARDS[name]
    with pytest.raises(UnsupportedModel, match=says):
        convert(Forward(forward), IMAGE, -1.0, 1.0)


def test_an_answer_that_is_no_row_of_logits_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"answers of shape \(1, 6, 6\)"):
        convert(nn.Identity(), IMAGE, -1.0, 1.0)


def test_what_tracing_cannot_see_is_refused() -> None:
    hooked = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    hooked[1].register_forward_hook(lambda module, inputs, output: output + 1)
    with pytest.raises(UnsupportedModel, match="tracing cannot see"):
        convert(hooked, IMAGE, -1.0, 1.0)

    def doubled(x: Tensor) -> Tensor:
        other = x * 1
        same = other
        same += x
        return other

    with pytest.raises(UnsupportedModel, match="tracing cannot see"):
        convert(Forward(doubled), IMAGE, -1.0, 1.0)


def test_a_model_of_two_inputs_or_another_shape_is_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(UnsupportedModel, match="takes 2 inputs"):
        convert(Two(), (3,), 0.0, 1.0)
    with pytest.raises(UnsupportedModel, match=r"does not take examples of shape \(4,\)"):
        convert(nn.Sequential(nn.Linear(3, 2)), (4,), 0.0, 1.0)


def test_weights_that_are_not_finite_are_refused() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight[0, 0] = float("nan")
    with pytest.raises(UnsupportedModel, match=r"'weight' holds numbers that are not finite"):
        convert(layer, (3,), 0.0, 1.0)


def test_weights_that_are_not_made_yet_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="has no shape yet"):
        convert(nn.LazyLinear(3), (3,), 0.0, 1.0)


def test_values_that_cannot_be_bounded_within_forty_bits_are_refused_by_layer() -> None:
    deep = nn.Sequential(*(nn.Linear(64, 64) for _ in range(14)))
    with pytest.raises(PredictionRange, match=r"layer '\d+' may reach .* declare a narrower range"):
        convert(deep, (64,), -1.0, 1.0)


def test_wide_bounds_cost_fraction_bits_before_they_are_refused() -> None:
    layer = nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.fill_(2.0**21)
    program, _ = convert(layer, (4,), -1.0, 1.0)
    assert program.wires[-1].bits == 40
    assert program.wires[-1].scale == 2.0**14
    with torch.no_grad():
        layer.weight.fill_(2.0**25)
    program, _ = convert(layer, (4,), -1.0, 1.0)
    assert program.wires[-1].scale == 2.0**10


def test_calibration_examples_lie_in_the_declared_range() -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(PredictionRange, match=r"outside the declared range \[0, 1\]"):
        convert(layer, (3,), 0.0, 1.0, calibration=np.array([[0.0, 0.5, 1.01]]))
    convert(layer, (3,), 0.0, 1.0, calibration=np.array([[0.0, 0.5, 1.0]]))


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [
        ((3,), 1.0, 1.0),
        ((3,), 0.0, float("inf")),
        ((3,), float("nan"), 1.0),
        ((), 0.0, 1.0),
        ((0,), 0.0, 1.0),
    ],
)
def test_a_range_or_shape_that_is_none_is_refused(shape: tuple[int, ...], low: float, high: float) -> None:
    with pytest.raises(ParameterError, match=r"no range|no shape"):
        convert(nn.Linear(3, 2), shape, low, high)


def test_the_table_says_what_each_layer_costs() -> None:
    assert len(SUPPORTED) > 8
    assert all(each.layers and each.limits and each.cost for each in SUPPORTED)


@pytest.mark.parametrize(
    ("task", "shape"),
    [("mnist", (1, 28, 28)), ("mnist_softmax", (1, 28, 28)), ("digits_softmax", (1, 8, 8))],
)
def test_networks_of_these_tasks_convert(task: str, shape: tuple[int, ...]) -> None:
    program, _ = convert(load_task(task).network(), shape, 0.0, 1.0)
    assert program.wires[-1].shape == (10,)


def test_the_network_of_the_task_digits_is_refused_by_its_first_norm() -> None:
    with pytest.raises(UnsupportedModel, match=r"layer '1' \(GroupNorm\)"):
        convert(load_task("digits").network(), (1, 8, 8), 0.0, 1.0)
