"""Which steps a model costs: what folds away, and what is left only where no neighbour takes it."""

import pytest
import torch
from torch import Tensor, nn

from predictions import program as steps
from predictions.conversion import convert


def kinds(module: nn.Module, shape: tuple[int, ...]) -> list[str]:
    program, _ = convert(module, shape, -1.0, 1.0)
    return [type(operation).__name__ for operation in program.operations]


IMAGE = (2, 6, 6)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), ["Convolution", "Relu"]),
        ((nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3), nn.ReLU()), ["Convolution", "Relu"]),
        (
            (nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1), nn.ReLU()),
            ["Convolution", "Lift", "Convolution", "Relu"],  # zero padding has no offset
        ),
        ((nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2)), ["Convolution", "MaxPool", "Relu"]),
        ((nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Dropout(), nn.MaxPool2d(2)), ["Convolution", "MaxPool", "Relu"]),
        ((nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d(2)), ["Reduce", "MaxPool", "MaxPool", "Relu"]),
        ((nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.BatchNorm2d(3), nn.ReLU()), ["Convolution", "SumPool", "Relu"]),
        ((nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AvgPool2d(2)), ["Convolution", "Relu", "SumPool"]),
        ((nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.BatchNorm2d(3)), ["Convolution", "Relu", "SumPool"]),
    ],
    ids=["behind", "before", "before padding", "pool", "dropout", "pools", "across average", "average", "into head"],
)  # fmt: skip
def test_what_is_linear_goes_into_the_linear_layers(
    layers: tuple[nn.Module, ...], expected: list[str]
) -> None:
    module = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))
    for each in module:
        if isinstance(each, nn.BatchNorm2d):
            nn.init.normal_(each.bias)
    module.eval()(torch.zeros(1, *IMAGE))
    assert kinds(module, IMAGE) == [*expected, "Reshape", "Linear"]


def test_a_layer_norm_is_centred_by_the_linear_layer_before_it() -> None:
    behind_linear = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3))
    assert kinds(behind_linear, (4,)) == ["Linear", "LayerNorm", "Linear"]
    before_relu = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3))
    nn.init.normal_(before_relu[1].bias)  # type: ignore[arg-type]
    assert kinds(before_relu, (4,)) == [
        "Linear", "LayerNorm", "Reshape", "Convolution", "Reshape", "Relu", "Linear",
    ]  # fmt: skip


def test_layers_that_the_answer_does_not_need_are_left_out() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.unused(x)
            return self.used(x)

    assert kinds(Unused(), (3,)) == ["Linear"]


def test_average_pooling_gives_its_scale_to_the_next_layer() -> None:
    program, _ = convert(nn.Sequential(nn.AvgPool2d(3), nn.Flatten(), nn.Linear(8, 2)), (2, 6, 6), 0.0, 1.0)
    assert isinstance(program.operations[0], steps.SumPool)
    assert program.wires[1].scale == 9 * program.wires[0].scale
    assert program.wires[1].bound == pytest.approx(1.0)
