"""Intervals: nothing that an operation gives, for whatever lies within its sources' intervals, lies outside."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from predictions import program as steps
from predictions.conversion.draft import Matrix
from predictions.conversion.intervals import Interval, carried, product

SHAPE = (2, 4, 4)


def points(interval: Interval, generator: torch.Generator) -> Tensor:
    """Corners and inner points."""
    share = torch.rand(64, *interval.low.shape, generator=generator, dtype=torch.float64)
    share[:32] = share[:32].round()
    inner = interval.low + share * (interval.high - interval.low)
    return inner.maximum(interval.low).minimum(interval.high)


def drawn(seed: int) -> tuple[Interval, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)
    return Interval(ends.amin(0), ends.amax(0)), generator


def within(values: Tensor, interval: Interval) -> bool:
    return bool((values >= interval.low).all() and (values <= interval.high).all())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20))
def test_linear_steps_stay_within_and_reach_their_ends(seed: int) -> None:
    interval, generator = drawn(seed)
    convolution = steps.Convolution(0, 1, 0, 0, (2, 3), (1, 2), (1, 0), (1, 1), 2)
    layer = Matrix(
        torch.randn(4, 6, generator=generator).double(), torch.randn(4, generator=generator).double()
    )
    found = product(convolution, interval, layer)
    kernel = layer.matrix.reshape(4, 1, 2, 3)
    values = functional.conv2d(points(interval, generator), kernel, layer.bias, (1, 2), (1, 0), (1, 1), 2)
    assert within(values, found)
    flat = Interval(interval.low.flatten(), interval.high.flatten())
    dense = Matrix(torch.randn(3, 32, generator=generator).double(), layer.bias[:3])
    found = product(steps.Linear(0, 1, 0, 0), flat, dense)
    worst = torch.where(dense.matrix > 0, flat.high, flat.low)
    reached = (dense.matrix * worst).sum(1) + dense.bias
    assert (reached <= found.high).all()
    assert torch.allclose(reached, found.high, rtol=0, atol=1e-6)


OTHERS: dict[str, tuple[steps.Operation, tuple[int, ...]]] = {
    "relu": (steps.Relu(0, 1), SHAPE),
    "lift": (steps.Lift(0, 1), SHAPE),
    "add": (steps.Add(0, 0, 1), SHAPE),
    "reshape": (steps.Reshape(0, 1), (32,)),
    "max": (steps.MaxPool(0, 1, (2, 3), (1, 1), (1, 1), (1, 1)), (2, 5, 4)),
    "sum": (steps.SumPool(0, 1, (2, 2), (2, 2), (1, 0)), (2, 3, 2)),
    "norm": (steps.LayerNorm(0, 1, 1e-5), SHAPE),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_operations_stay_within(name: str) -> None:
    operation, shape = OTHERS[name]
    interval, generator = drawn(5)
    values = points(interval, generator)
    found = carried(operation, (interval, interval), shape, 1.0)
    assert found.low.shape == shape
    results = {
        "relu": lambda: values.clamp(min=0),
        "lift": lambda: values,
        "add": lambda: values + values.flip(0),
        "reshape": lambda: values.reshape(-1, 32),
        "max": lambda: functional.max_pool2d(values, (2, 3), 1, 1),
        "sum": lambda: functional.avg_pool2d(values, 2, 2, (1, 0), divisor_override=1),
        "norm": lambda: functional.layer_norm(values, SHAPE, eps=1e-5),
    }
    assert within(results[name](), found)
