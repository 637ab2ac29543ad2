"""What each server sees of two very different inputs and models: the same statistics, and a defence that can fail.

Every byte that a server receives is counted by its value, over many queries; both hypotheses must give counts that a
uniform source gives.
"""

import os

import numpy as np
import pytest

from predictions.asking import mask_input, sub_seed
from predictions.model_shares import split, weight_shapes
from predictions.online import Lot, evaluate
from predictions.preparation import prepare
from predictions.program import Answer, Convolution, Linear, MaxPool, Program, Relu, Reshape
from predictions.weights import Weights
from tests.support.masked_run import INPUT, drive, network

# Degrees of freedom 255: mean 255, deviation sqrt(510); six deviations.
_MOST = 255 + 6 * np.sqrt(2 * 255)


def _program() -> Program:
    """Words without a gap: 32 bits."""
    return network(
        (INPUT, (1, 6, 6), 64),
        (Convolution(0, 1, 0, 8, (3, 3), (1, 1), (0, 0), (1, 1), 1), (4, 4, 4), 32),
        (MaxPool(1, 2, (2, 2), (2, 2), (0, 0), (1, 1)), (4, 2, 2), 32),
        (Relu(2, 3), (4, 2, 2), 64),
        (Reshape(3, 4), (16,), 64),
        (Linear(4, 5, 1, 8), (8,), 32),
    )


def _seen(weight: int, value: int, blind: bool = True) -> dict[str, bytes]:
    """What each server receives in 20 queries of 16 equal rows."""
    program, rows = _program(), 16
    weights = tuple(
        Weights(np.full(shape, weight, np.int64), np.full(shape[0], weight, np.int64))
        for shape in weight_shapes(program)
    )
    inputs = np.full((rows, 1, 6, 6), value, np.int64)
    seen = {"model": b"", "input": b"", "material": b"", "first": b"", "second": b""}
    for _ in range(20):
        helper, *parts = split(program, weights, os.urandom)
        seeds = (os.urandom(32), os.urandom(32)) if blind else (bytes(32), bytes(32))
        corrections = prepare(program, helper, rows, Answer.LABEL, *seeds)
        masked = mask_input(program, inputs, sub_seed(seeds[0]), sub_seed(seeds[1]))
        lots = Lot(rows, seeds[0], b""), Lot(rows, seeds[1], corrections)
        _, _, said = drive(
            *(
                evaluate(program, part, lot, masked, Answer.LABEL)
                for part, lot in zip(parts, lots, strict=True)
            )
        )
        seen["model"] += parts[0].to_bytes()[33:]
        seen["input"] += masked
        seen["material"] += bytes(corrections)
        seen["first"] += b"".join(said[1])
        seen["second"] += b"".join(said[0])
    return seen


def _unevenness(data: bytes) -> float:
    """Chi squared of the values of bytes against a uniform source."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize(("weight", "value"), [(0, 0), (200, 255), (-256, 3)])
def test_every_server_sees_uniform_bytes_whatever_model_and_input(weight: int, value: int) -> None:
    for name, data in _seen(weight, value).items():
        assert len(data) > 5000
        assert _unevenness(data) < _MOST, name


def test_repeated_seeds_would_be_noticed() -> None:
    for name, data in _seen(0, 0, blind=False).items():
        assert (_unevenness(data) > _MOST) == (name != "model"), name
