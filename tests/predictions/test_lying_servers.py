"""Each server lies at each of its messages in turn: a refusal by type, never a wrong prediction."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

import predictions.helper_server
import predictions.online
from predictions.asking import MaskedAnswer
from predictions.errors import AnswerRejected, FrameRejected, LinkFailed
from predictions.evaluation import count_right
from predictions.material import Hand
from predictions.model_shares import OnlineModel
from predictions.preparation import prepare
from predictions.program import Answer, Program
from tests.support.three_servers import Stage, allowed, exact_logits, inputs, served, small_model

Twist = Callable[[np.ndarray], np.ndarray]
RANDOM = np.random.default_rng(5)


def all_rows(share: np.ndarray) -> np.ndarray:
    return share ^ RANDOM.integers(0, 256, share.nbytes, dtype=np.uint8).view(share.dtype).reshape(
        share.shape
    )


class LyingHand(Hand):
    """Puts something else for its share at one message, and hashes what came of it, as a clever liar would."""

    liar, step = 0, -1
    twist: Twist = staticmethod(all_rows)
    steps: ClassVar[dict[int, int]] = {}

    def __init__(self, party: int, *rest: Any) -> None:
        super().__init__(party, *rest)
        self._party, self._at = party, -1

    def _told(self, mine: np.ndarray) -> np.ndarray:
        lies = self._party == self.liar and self._at == self.step
        return LyingHand.twist(mine) if lies else mine

    def open_planes(self, mine: np.ndarray) -> Generator[bytes, bytes, np.ndarray]:
        self._at += 1
        LyingHand.steps[self._party] = self._at
        return (yield from super().open_planes(self._told(mine)))

    def open_words(self, *parts: tuple[np.ndarray, int]) -> Generator[bytes, bytes, list[np.ndarray]]:
        self._at += 1
        LyingHand.steps[self._party] = self._at
        return (yield from super().open_words(*((self._told(mine), bits) for mine, bits in parts)))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with served() as running:
        yield running


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> type[LyingHand]:
    monkeypatch.setattr(predictions.online, "Hand", LyingHand)
    monkeypatch.setattr(LyingHand, "liar", 0)
    monkeypatch.setattr(LyingHand, "step", -1)
    monkeypatch.setattr(LyingHand, "twist", staticmethod(all_rows))
    return LyingHand


def ask(stage: Stage, rows: np.ndarray, answer: Answer, canaries: int) -> bool:
    """Whether an answer was given; one that was is right."""
    try:
        with stage.client() as client:
            found = client.query(rows, answer, canaries).answers
    except (AnswerRejected, FrameRejected, LinkFailed):
        return False
    exact = exact_logits(rows)
    if answer is Answer.LABEL:
        assert (found == exact.argmax(1)).all(), "a wrong label was believed"
    else:
        scale = small_model()[0].wires[-1].scale
        assert (np.abs(found * scale - exact) <= allowed(rows)).all(), "wrong logits were believed"
    return True


@pytest.mark.parametrize("answer", [Answer.LOGITS, Answer.LABEL])
@pytest.mark.parametrize("liar", [1, 2])
def test_a_lie_of_an_online_server_to_all_rows_is_never_believed(
    stage: Stage, lying: type[LyingHand], liar: int, answer: Answer
) -> None:
    rows = inputs(4, seed=1)
    assert ask(stage, rows, answer, 8)
    messages, refused = lying.steps[liar] + 1, 0
    lying.liar = liar
    for step in range(messages):
        lying.step = step
        refused += not ask(stage, rows, answer, 8)
    assert messages >= (5 if answer is Answer.LOGITS else 11)
    # In the tournament of labels some lies change no winner.
    assert refused == messages if answer is Answer.LOGITS else refused >= messages - 4
    lying.liar = 0
    assert ask(stage, rows, answer, 1)


@pytest.mark.parametrize("liar", [1, 2])
def test_a_lie_to_one_row_is_caught_as_often_as_it_hits_a_canary(
    stage: Stage, lying: type[LyingHand], liar: int
) -> None:
    def one_row(share: np.ndarray) -> np.ndarray:
        changed = share.copy()
        changed[..., 2] += share.dtype.type(1 << 12)
        return changed

    rows, program = inputs(4, seed=2), small_model()[0]
    assert ask(stage, rows, Answer.LOGITS, 4)
    lying.liar, lying.step, lying.twist = liar, lying.steps[liar], staticmethod(one_row)
    exact, caught, wrong = exact_logits(rows), 0, 0
    with stage.client() as client:
        for _ in range(64):
            try:
                found = client.query(rows, Answer.LOGITS, canaries=4).answers * program.wires[-1].scale
            except AnswerRejected:
                caught += 1
            else:
                wrong += int((np.abs(found - exact) > allowed(rows)).any(axis=1).sum())
    # k / (n + k) = 1/2 of 64, and what is not caught is the one row: the guarantee is this, and no more.
    assert 14 <= caught <= 50
    assert wrong == 64 - caught


@pytest.mark.parametrize("part", range(6))
def test_wrong_corrections_of_the_helper_are_never_believed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    def wrong(*arguments: Any) -> bytes:
        corrections = np.frombuffer(prepare(*arguments), np.uint8).copy()
        share = slice(part * len(corrections) // 6, (part + 1) * len(corrections) // 6)
        corrections[share] = all_rows(corrections[share])
        return corrections.tobytes()

    rows = inputs(4, seed=3)
    with monkeypatch.context() as patch:
        patch.setattr(predictions.helper_server, "prepare", wrong)
        # Two sizes, asked once each: nothing of them was made ahead by the honest helper.
        assert not ask(stage, rows, Answer.LOGITS, 11 + 2 * part)
    assert ask(stage, inputs(7, seed=part), Answer.LOGITS, 30 + part)


@pytest.mark.parametrize("length", [8, -8])
def test_corrections_of_another_length_are_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    def other(*arguments: Any) -> bytes:
        corrections = bytes(prepare(*arguments))
        return corrections + bytes(length) if length > 0 else corrections[:length]

    monkeypatch.setattr(predictions.helper_server, "prepare", other)
    assert not ask(stage, inputs(2), Answer.LOGITS, 40 + length)


def test_an_answer_that_is_flipped_on_its_way_out_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for field in ("masked", "share", "digest"):
        with monkeypatch.context() as patch:
            patch.setattr(predictions.online_server, "evaluate", _flipping(field))
            assert not ask(stage, inputs(3), Answer.LOGITS, 5)


def _flipping(field: str) -> Callable[..., Any]:
    honest = predictions.online.evaluate

    def evaluate(program: Program, model: OnlineModel, *rest: Any) -> Generator[bytes, bytes, MaskedAnswer]:
        told = yield from honest(program, model, *rest)
        if model.party == 2:
            value = getattr(told, field)
            told = replace(told, **{field: bytes(byte ^ 0x55 for byte in value)})
        return told

    return evaluate


def test_a_count_that_a_server_changes_is_refused_or_right(stage: Stage, lying: type[LyingHand]) -> None:
    rows = inputs(30, seed=4)
    labels = exact_logits(rows).argmax(1)
    lying.liar, lying.step = 2, 1
    refused = 0
    for _ in range(3):
        with stage.client() as client:
            try:
                assert count_right(client, rows, labels, rows=30).right == 30
            except AnswerRejected:
                refused += 1
    assert refused
