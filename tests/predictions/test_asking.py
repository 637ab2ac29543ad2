"""Masking inputs and unmasking answers."""

import numpy as np
import pytest

from arithmetic.errors import ParameterError
from predictions.asking import MaskedAnswer, mask_input, parse_input, sub_seed, unmask
from predictions.errors import AnswerRejected, FrameRejected
from predictions.program import Answer
from predictions.seeds import input_masks
from tests.support.masked_run import dense, random_inputs

SEEDS = bytes(range(32)), bytes(range(32, 64))


def test_masks_of_an_input_come_off_with_both_sub_seeds() -> None:
    program = dense()
    inputs = random_inputs(program, 3, np.random.default_rng(0))
    labels = np.array([4, 0, -1])
    values, numbers = parse_input(program, 3, Answer.COUNT, mask_input(program, inputs, *SEEDS, labels))
    one, two = (input_masks(program, 3, Answer.COUNT, seed) for seed in SEEDS)
    assert (inputs == (values - one.values - two.values).view(np.int64).T).all()
    assert (numbers - one.labels - two.labels).view(np.int16).tolist() == labels.tolist()
    assert not (inputs == (values - one.values).view(np.int64).T).any()


def test_a_sub_seed_is_another_key_than_the_seed_and_its_work() -> None:
    assert sub_seed(SEEDS[0]) not in (SEEDS[0], sub_seed(SEEDS[1]))
    assert len(sub_seed(SEEDS[0])) == 32


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        (np.zeros((3, 8), np.int64), None),
        (np.zeros((0, 9), np.int64), None),
        (np.zeros(9, np.int64), None),
        (np.zeros((3, 9), np.int64), np.zeros(2, np.int64)),
    ],
)
def test_inputs_of_another_shape_are_refused(inputs: np.ndarray, labels: np.ndarray | None) -> None:
    with pytest.raises(ParameterError, match=r"\(rows, 9\)"):
        mask_input(dense(), inputs, *SEEDS, labels)


def test_answers_that_differ_are_refused() -> None:
    program = dense()
    share, digest = bytes(2 * 5 * 3), bytes(32)
    good = MaskedAnswer(bytes(2 * 5 * 3), share, digest)
    assert unmask(program, 2, Answer.LOGITS, good, good).tolist() == [[0] * 5] * 2
    for bad in (
        MaskedAnswer(b"\x01" + good.masked[1:], share, digest),
        MaskedAnswer(good.masked, share, b"\x01" * 32),
    ):
        with pytest.raises(AnswerRejected, match="different things"):
            unmask(program, 2, Answer.LOGITS, good, bad)


@pytest.mark.parametrize("answer", list(Answer))
def test_answers_of_another_length_are_refused(answer: Answer) -> None:
    program, rows = dense(), 4
    right = 32 + {Answer.LOGITS: 2 * 4 * 5 * 3, Answer.LABEL: 2 * 4 * 2, Answer.COUNT: 4}[answer]
    assert MaskedAnswer.from_bytes(program, rows, answer, bytes(right)).to_bytes() == bytes(right)
    for length in (0, 31, 32, right - 1, right + 1):
        with pytest.raises(FrameRejected, match="an answer has"):
            MaskedAnswer.from_bytes(program, rows, answer, bytes(length))


def test_shares_stay_out_of_repr() -> None:
    assert "share" not in repr(MaskedAnswer(b"m", b"s", b"d"))
