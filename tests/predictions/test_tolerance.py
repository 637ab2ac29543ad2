"""What honest servers answer lies within the proven tolerance of plain fixed point, for networks of every layer."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictions import program as steps
from predictions import reference
from predictions.conversion import convert
from predictions.program import Answer, Program, Wire
from predictions.tolerance import tolerance
from predictions.validity import check
from predictions.values import to_integers, to_logits
from predictions.weights import Weights
from tests.support.masked_run import predict
from tests.support.networks import LAYER_NORM_NAMES, LAYERS, NAMES, network, row_of_layers

ROWS = 6


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", NAMES + LAYER_NORM_NAMES)
def test_the_servers_answer_what_plain_fixed_point_says(name: str) -> None:
    module, shape, low, high = network(name)
    program, weights = convert(module, shape, low, high)
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    inputs = to_integers(program, rng.uniform(low, high, (ROWS, *shape)))
    plain, most = reference.evaluate(program, weights, inputs), tolerance(program, weights, inputs)
    found = predict(program, weights, inputs).found
    assert (np.abs(found - plain) <= most).all()
    assert np.abs(to_logits(program, found - plain)).max() < 0.001
    ordered = np.sort(plain, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 2 * most.max(axis=1)
    labels = predict(program, weights, inputs, Answer.LABEL).found
    assert (labels == plain.argmax(axis=1))[clear].all()


@settings(max_examples=12, deadline=None)
@given(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=7), st.integers(0, 2**16), st.integers(3, 7))
def test_any_row_of_layers_is_answered_as_plain_fixed_point_says(
    kinds: list[str], seed: int, side: int
) -> None:
    program, weights = convert(row_of_layers(kinds, seed, side), (2, side, side), -1.0, 1.5)
    inputs = to_integers(program, np.random.default_rng(seed).uniform(-1.0, 1.5, (3, 2, side, side)))
    off = np.abs(predict(program, weights, inputs).found - reference.evaluate(program, weights, inputs))
    assert (off <= tolerance(program, weights, inputs)).all()


def test_what_a_lie_moves_further_is_outside() -> None:
    program, weights = convert(*network("plain"))
    inputs = to_integers(program, np.full((1, 1, 28, 28), 0.5))
    most = tolerance(program, weights, inputs)
    assert most.shape == (1, 10)
    assert 0 < most.max() < 0.01 * program.wires[-1].scale  # a lie of a hundredth in a logit is seen


def test_the_tolerance_of_one_step_is_that_of_its_truncation() -> None:
    program = Program(
        (Wire((2,), 64, 256.0, 9.0), Wire((1,), 24, 256.0, 9.0)), (steps.Linear(0, 1, 0, 8),), -9.0, 9.0
    )
    weights = (Weights(np.array([[10**6, -(10**6)]]), np.zeros(1, np.int64)),)
    assert tolerance(program, weights, np.array([[5, 7]])).tolist() == [[1]]


def test_a_layer_norm_of_values_large_and_small_stays_within() -> None:
    """Near zero a norm multiplies every unit that its source is off."""
    wires = (
        Wire((4,), 64, 2.0**16, 2.0**6), Wire((4,), 28, 2.0**16, 2.0**6), Wire((4,), 64, 2.0**14, 2.1),
        Wire((4,), 24, 2.0**14, 2.1),
    )  # fmt: skip
    operations = (steps.Linear(0, 1, 0, 20), steps.LayerNorm(1, 2, 1e-5), steps.Reduce(2, 3))
    weights = (Weights(np.eye(4, dtype=np.int64) << 20, np.zeros(4, np.int64)),)
    program = Program(wires, operations, -64.0, 64.0)
    check(program, weights)
    inputs = np.array([[-3, 1, 1, 1]]) * 2 ** np.arange(20)[:, np.newaxis]
    most, plain = tolerance(program, weights, inputs), reference.evaluate(program, weights, inputs)
    for _ in range(8):
        assert (np.abs(predict(program, weights, inputs).found - plain) <= most).all()
    assert (most[-1] < 8).all()
