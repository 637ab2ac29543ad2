"""Rounding through the real encoding stays within the error bound that a run prints, and is not nothing."""

import numpy as np
import pytest

from app.config import RunConfig
from arithmetic.fixed_point import FixedPoint
from bench.unmasked import Clients, course, encoded_mean, float_mean


@pytest.fixture(scope="module")
def clients() -> Clients:
    return Clients(RunConfig.parse({"task": "digits", "clients": 4, "rounds": 3, "local-epochs": 1}), 4)


@pytest.mark.parametrize("bits", [8, 13, 24])
def test_the_error_of_every_round_is_within_the_bound_that_is_printed(clients: Clients, bits: int) -> None:
    steps = list(course(clients, bits))
    assert len(steps) == 3
    for step in steps:
        assert step.metrics is not None
        assert step.metrics.exceeding[0] == 0, "a clamped entry is off by more than rounding"
        assert step.error <= step.metrics.error_bound
        assert step.error >= step.metrics.error_bound / 8, "over 10,000 entries the bound is nearly reached"
    assert steps[2].metrics.error_bound < steps[0].metrics.error_bound / 3, "the encoding bound adapts"


def test_plain_averaging_applies_the_float_mean(clients: Clients) -> None:
    first = next(course(clients, None))
    start = clients.initial()
    moved = clients.spec.flatten_update(first.model, start).tensor
    assert (first.error, first.metrics) == (0.0, None)
    np.testing.assert_allclose(moved, float_mean(clients.updates(start, 1)), atol=2e-7)


def test_clamped_entries_are_counted_and_leave_the_bound(clients: Clients) -> None:
    updates = clients.updates(clients.initial(), 1)
    mean, metrics = encoded_mean(updates, FixedPoint(24, 4, 1e-4), clients.config.max_examples)
    assert metrics.exceeding[0] > 0
    assert np.abs(mean - float_mean(updates)).max() > metrics.error_bound


def test_a_mean_too_small_to_encode_leaves_the_model(clients: Clients) -> None:
    config = clients.config.model_copy(update={"encoding_bound": 1e6, "rounds": 1})
    (step,) = course(Clients(config, 4), 24)
    assert step.metrics is not None
    assert not any(step.metrics.exceeding)
    assert all(np.array_equal(step.model[name], array) for name, array in clients.initial().items())
