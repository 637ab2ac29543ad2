"""Whole networks: masked against plain, and what a server refuses."""

import os
from collections.abc import Generator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from predictions.asking import MaskedAnswer, mask_input, sub_seed
from predictions.conversion import convert
from predictions.errors import FrameRejected
from predictions.model_shares import split
from predictions.online import Lot, evaluate
from predictions.preparation import prepare
from predictions.program import Answer, LayerNorm, Linear
from predictions.ring import Octets
from predictions.trees import lean
from predictions.values import to_integers
from tests.support.masked_run import (
    INPUT,
    dense,
    drive,
    everything,
    network,
    plain,
    predict,
    random_inputs,
    random_weights,
)

# A unit for each truncation, as the layers after it carry it on.
_OFF_DENSE, _OFF_EVERYTHING = 8, 64


@pytest.mark.parametrize("bits", range(16, 41, 4))
def test_two_layers_are_right_to_a_few_units_in_every_ring(bits: int) -> None:
    rng = np.random.default_rng(bits)
    program = dense(bits)
    weights, inputs = random_weights(program, rng), random_inputs(program, 33, rng)
    expected = plain(program, weights, inputs)
    assert np.abs(expected).max() > 100
    assert np.abs(predict(program, weights, inputs).found - expected).max() <= _OFF_DENSE


@pytest.mark.parametrize("rows", [1, 5, 8])
def test_every_operation_is_right_to_a_few_units(rows: int) -> None:
    rng = np.random.default_rng(rows)
    program = everything()
    weights, inputs = random_weights(program, rng), random_inputs(program, rows, rng)
    expected = plain(program, weights, inputs)
    assert np.abs(expected).max() > 1000
    assert np.abs(predict(program, weights, inputs).found - expected).max() <= _OFF_EVERYTHING


def test_the_lean_trees_of_large_batches_are_right_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictions.steps.choosing.tree_of", lambda bits, count: lean(bits))
    rng = np.random.default_rng(4)
    program = everything()
    weights, inputs = random_weights(program, rng), random_inputs(program, 3, rng)
    expected = plain(program, weights, inputs)
    assert np.abs(predict(program, weights, inputs).found - expected).max() <= _OFF_EVERYTHING


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(0, 20), st.sampled_from([20, 24, 32, 40]))
def test_a_linear_layer_is_one_unit_off_at_most(seed: int, rows: int, shift: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    program = network((INPUT, (6,), 64), (Linear(0, 1, 0, shift), (4,), bits))
    weights, inputs = random_weights(program, rng), random_inputs(program, rows, rng)
    assert np.abs(predict(program, weights, inputs).found - plain(program, weights, inputs)).max() <= 1


@pytest.mark.parametrize("answer", list(Answer))
def test_a_lot_is_used_up_to_its_last_byte_whatever_is_asked(answer: Answer) -> None:
    """Otherwise helper and online servers walk apart."""
    rng = np.random.default_rng(9)
    program = everything()
    labels = np.zeros(3, np.int64) if answer is Answer.COUNT else None
    told = predict(program, random_weights(program, rng), random_inputs(program, 3, rng), answer, labels)
    assert len(told.corrections) > 1000


def test_a_network_with_a_normalisation_is_as_good_as_in_the_clear() -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4)).eval()
    program, weights = convert(module, (12,), -1.0, 1.0)
    assert any(isinstance(operation, LayerNorm) for operation in program.operations)
    inputs = np.random.default_rng(1).uniform(-1, 1, (40, 12))
    integers = to_integers(program, inputs)
    found = predict(program, weights, integers).found
    scale = program.wires[program.operations[-1].target].scale
    assert np.abs(found - plain(program, weights, integers)).max() <= 2e-3 * scale
    exact = module(torch.from_numpy(inputs).float()).detach().numpy()
    assert np.abs(found / scale - exact).max() <= 4e-3


@pytest.mark.parametrize("answer", [Answer.LABEL, Answer.COUNT])
@pytest.mark.parametrize("classes", [2, 3, 7, 10, 300])
def test_labels_and_counts_are_those_of_the_largest_logit(answer: Answer, classes: int) -> None:
    rng = np.random.default_rng(classes)
    program = network((INPUT, (6,), 64), (Linear(0, 1, 0, 0), (classes,), 28))
    weights, inputs = random_weights(program, rng), random_inputs(program, 50, rng)
    logits = plain(program, weights, inputs)
    ordered = np.sort(logits, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 4
    assert clear.sum() > 30
    labels = logits.argmax(axis=1)
    if answer is Answer.LABEL:
        assert (predict(program, weights, inputs, answer).found == labels)[clear].all()
        return
    given = np.where(clear & (rng.integers(0, 3, 50) > 0), labels, (labels + 1) % classes)
    given[~clear] = -1
    given[0] = -1
    right = int(((given == labels) & clear).sum())
    assert predict(program, weights, inputs, answer, given).found.tolist() == [right]
    assert 0 < right < clear.sum()


def test_both_servers_tell_the_same_story() -> None:
    rng = np.random.default_rng(1)
    program = everything()
    told = predict(program, random_weights(program, rng), random_inputs(program, 2, rng))
    first, second = told.answers
    assert first.digest == second.digest
    assert first.masked == second.masked
    assert first.share != second.share
    assert MaskedAnswer.from_bytes(program, 2, Answer.LOGITS, first.to_bytes()) == first


@pytest.mark.parametrize("message", [0, 1, 2])
def test_a_changed_message_changes_the_digest_of_one_server_alone(message: int) -> None:
    rng = np.random.default_rng(2)
    program = dense()
    helper, first, second = split(program, random_weights(program, rng), os.urandom)
    seeds = os.urandom(32), os.urandom(32)
    corrections = prepare(program, helper, 4, Answer.LOGITS, *seeds)
    masked = mask_input(program, random_inputs(program, 4, rng), sub_seed(seeds[0]), sub_seed(seeds[1]))

    def tampered() -> Generator[bytes, bytes, MaskedAnswer]:
        inner = evaluate(program, second, Lot(4, seeds[1], corrections), masked, Answer.LOGITS)
        said, turn = next(inner), 0
        while True:
            heard = yield bytes([said[0] ^ 1]) + said[1:] if turn == message else said
            try:
                said, turn = inner.send(heard), turn + 1
            except StopIteration as stop:
                told: MaskedAnswer = stop.value
                return told

    honest = evaluate(program, first, Lot(4, seeds[0], b""), masked, Answer.LOGITS)
    one, two, _ = drive(honest, tampered())
    assert one.digest != two.digest


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_server_that_talks_nonsense_of_the_right_length_crashes_nobody(seed: int) -> None:
    """It gets a wrong answer and a digest of its own; canaries and digests are for that."""
    rng = np.random.default_rng(seed)
    program = everything()
    _, first, _ = split(program, random_weights(program, rng), os.urandom)
    masked = mask_input(program, random_inputs(program, 2, rng), bytes(32), bytes(32))
    party = evaluate(program, first, Lot(2, os.urandom(32), b""), masked, Answer.LABEL)
    assert isinstance(_told_nonsense(party, rng), MaskedAnswer)


def _told_nonsense(party: Generator[bytes, Octets, MaskedAnswer], rng: np.random.Generator) -> MaskedAnswer:
    said = next(party)
    while True:
        try:
            said = party.send(rng.bytes(len(said)))
        except StopIteration as stop:
            told: MaskedAnswer = stop.value
            return told


@pytest.mark.parametrize("cut", [1, 8, 4096])
def test_a_lot_of_another_size_is_refused(cut: int) -> None:
    rng = np.random.default_rng(3)
    program = dense()
    helper, first, second = split(program, random_weights(program, rng), os.urandom)
    seeds = os.urandom(32), os.urandom(32)
    corrections = prepare(program, helper, 4, Answer.LOGITS, *seeds)
    masked = mask_input(program, random_inputs(program, 4, rng), sub_seed(seeds[0]), sub_seed(seeds[1]))
    for wrong in (corrections[:-cut], bytes(corrections) + bytes(cut)):
        honest = evaluate(program, first, Lot(4, seeds[0], b""), masked, Answer.LOGITS)
        with pytest.raises(FrameRejected, match="material"):
            drive(honest, evaluate(program, second, Lot(4, seeds[1], wrong), masked, Answer.LOGITS))


def test_inputs_and_messages_of_a_wrong_length_are_refused() -> None:
    rng = np.random.default_rng(3)
    program = dense()
    _, first, _ = split(program, random_weights(program, rng), os.urandom)
    lot = Lot(4, os.urandom(32), b"")
    masked = mask_input(program, random_inputs(program, 4, rng), bytes(32), bytes(32))
    for wrong in (masked[:-1], masked + b"\x00", b"", masked[: len(masked) // 2]):
        with pytest.raises(FrameRejected, match="masked input"):
            next(evaluate(program, first, lot, wrong, Answer.LOGITS))
    for change in (lambda said: said[:-1], lambda said: said + b"\x00", lambda said: b""):
        party = evaluate(program, first, lot, masked, Answer.LOGITS)
        with pytest.raises(FrameRejected, match="other server"):
            party.send(change(next(party)))
