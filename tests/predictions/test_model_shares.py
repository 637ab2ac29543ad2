"""Models in three parts: they add up, they travel, and nothing else is taken for one."""

import dataclasses
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from predictions.errors import FrameRejected
from predictions.model_shares import HelperModel, OnlineModel, split, weight_shapes
from predictions.program import Linear
from predictions.weights import Weights
from tests.support.masked_run import dense, everything, random_weights

PROGRAM = everything()
WEIGHTS = random_weights(PROGRAM, np.random.default_rng(0))
HELPER, FIRST, SECOND = split(PROGRAM, WEIGHTS, os.urandom)


def test_parts_add_up_to_the_model() -> None:
    for number, weights in enumerate(WEIGHTS):
        masks = FIRST.masks[number] + SECOND.masks[number]
        assert (FIRST.masked[number] == SECOND.masked[number]).all()
        assert ((FIRST.masked[number] - masks).view(np.int64) == weights.matrix).all()
        assert ((FIRST.biases[number] + SECOND.biases[number]).view(np.int64) == weights.bias).all()
        assert (HELPER.differences[number] == FIRST.masks[number] - SECOND.masks[number]).all()


def test_every_sharing_is_another() -> None:
    _, first, second = split(PROGRAM, WEIGHTS, os.urandom)
    for one, other in ((first, FIRST), (second, SECOND)):
        assert one.seed != other.seed
        assert not (one.masked[0] == other.masked[0]).any()
        assert not (one.biases[0] == other.biases[0]).any()


def test_parts_come_back_from_their_bytes() -> None:
    assert len(HELPER.to_bytes()) == 64
    helper = HelperModel.from_bytes(PROGRAM, HELPER.to_bytes())
    assert helper.seeds == HELPER.seeds
    assert all((one == two).all() for one, two in zip(helper.differences, HELPER.differences, strict=True))
    for part in (FIRST, SECOND):
        again = OnlineModel.from_bytes(PROGRAM, part.to_bytes())
        assert (again.party, again.seed) == (part.party, part.seed)
        for name in ("masked", "biases", "masks"):
            pairs = zip(getattr(again, name), getattr(part, name), strict=True)
            assert all((one == two).all() for one, two in pairs)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.integers(0, 1 << 16).map(bytes))
def test_hostile_bytes_are_refused(data: bytes) -> None:
    for kind, length in ((HelperModel, 64), (OnlineModel, len(FIRST.to_bytes()))):
        if len(data) != length:
            with pytest.raises(FrameRejected, match="share the model again"):
                kind.from_bytes(PROGRAM, data)


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"\x00", lambda data: b"\x03" + data[1:]]
)
def test_bytes_that_are_nearly_right_are_refused(change: type[bytes]) -> None:
    with pytest.raises(FrameRejected):
        OnlineModel.from_bytes(PROGRAM, change(FIRST.to_bytes()))


def test_a_part_of_another_program_is_refused() -> None:
    with pytest.raises(FrameRejected, match="belong to the program"):
        OnlineModel.from_bytes(dense(), FIRST.to_bytes())


def test_weights_of_other_shapes_are_refused() -> None:
    other = Weights(np.zeros((4, 11), np.int64), np.zeros(4, np.int64))
    for wrong in ((), WEIGHTS[:-1], (other, *WEIGHTS[1:])):
        with pytest.raises(ParameterError, match="needs matrices"):
            split(PROGRAM, wrong, os.urandom)


def test_weights_are_numbered_in_the_order_of_their_use() -> None:
    program = dense()
    twice = tuple(
        dataclasses.replace(step, weights=0) if isinstance(step, Linear) else step
        for step in program.operations
    )
    with pytest.raises(ParameterError, match="once each"):
        weight_shapes(dataclasses.replace(program, operations=twice))


def test_secrets_stay_out_of_repr() -> None:
    assert repr(HELPER) == "HelperModel()"
    assert repr(FIRST) == "OnlineModel(party=1)"


def test_no_part_alone_tells_of_the_weights() -> None:
    """Masked matrices of two very different models have the same distribution: bits are even and independent of W."""
    program = dense()
    for value in (0, 1 << 40):
        weights = tuple(
            Weights(np.full(shape, value, np.int64), np.zeros(shape[0], np.int64))
            for shape in weight_shapes(program)
        )
        octets = b"".join(split(program, weights, os.urandom)[1].masked[0].tobytes() for _ in range(100))
        ones = np.unpackbits(np.frombuffer(octets, np.uint8)).reshape(-1, 64).sum(axis=0)
        draws = len(octets) // 8
        # Six standard deviations for each of 64 bits: a false alarm in ten million runs.
        assert np.abs(ones - draws / 2).max() < 3 * np.sqrt(draws)
