"""Poisson batches: the plan's numbers, the law of membership, fresh draws, refusals."""

import math
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arithmetic.errors import ParameterError, RangeError
from clients import poisson
from clients.poisson import PoissonBatches, draw_batch


@given(st.integers(2, 10**6), st.data(), st.integers(1, 50))
def test_steps_and_probability_cover_every_example_once_an_epoch_on_average(
    examples: int, data: st.DataObject, epochs: int
) -> None:
    batch = data.draw(st.integers(1, examples))
    plan = PoissonBatches.of_epochs(examples, batch, epochs)
    assert plan.sampling_probability == batch / examples
    assert epochs <= Fraction(batch, examples) * plan.steps < epochs + Fraction(epochs * batch, examples)


def test_each_example_joins_with_its_probability_and_alone() -> None:
    """Counts an example and pairs of examples against the binomial law; 5 sigma."""
    plan = PoissonBatches(20, 5, 20_000)
    member = np.zeros((plan.steps, plan.examples))
    for step, indices in enumerate(plan):
        member[step, indices.numpy()] = 1
    q = 0.25
    assert np.abs(member.mean(axis=0) - q).max() < 5 * math.sqrt(q * (1 - q) / plan.steps)
    pairs = (member.T @ member / plan.steps)[~np.eye(20, dtype=bool)]
    assert np.abs(pairs - q * q).max() < 5 * math.sqrt(q * q * (1 - q * q) / plan.steps)
    sizes = member.sum(axis=1)
    assert sizes.var() == pytest.approx(20 * q * (1 - q), rel=0.05)  # a fixed size would have none
    follows = (member[1:] * member[:-1]).mean()
    assert abs(follows - q * q) < 5 * math.sqrt(q * q / (20 * plan.steps))


def test_empty_batches_are_batches() -> None:
    batches = list(PoissonBatches(2, 1, 400))
    assert len(batches) == 400
    assert any(len(indices) == 0 for indices in batches)


def test_a_probability_of_one_takes_everyone() -> None:
    assert all(indices.tolist() == [0, 1, 2] for indices in PoissonBatches(3, 3, 50))


def test_the_threshold_never_gives_more_than_the_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words at and beside floor(q 2^64): the first is out, the one below is in."""
    edge = (1 << 64) // 3

    class Fixed:
        def __init__(self, key: bytes) -> None:
            pass

        def read(self, size: int) -> bytes:
            return b"".join(word.to_bytes(8, "little") for word in (edge - 1, edge, 0))

    monkeypatch.setattr(poisson, "KeyStream", Fixed)
    assert next(iter(PoissonBatches(3, 1, 1))).tolist() == [0, 2]


def test_every_iteration_is_fresh_in_this_process_and_in_a_fork() -> None:
    plan = PoissonBatches(64, 32, 4)

    def drawn() -> bytes:
        return b"".join(indices.numpy().tobytes() for indices in plan)

    seen = {drawn(), drawn()}
    for _ in range(2):
        reader, writer = os.pipe()
        if not (child := os.fork()):
            os.write(writer, drawn()[:4096])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            seen.add(stream.read())
        os.waitpid(child, 0)
    assert len(seen) == 4


@pytest.mark.parametrize(("examples", "batch"), [(0, 1), (1, 1), (5, 6)])
def test_too_few_examples_abstain_without_saying_how_many(examples: int, batch: int) -> None:
    with pytest.raises(RangeError, match="abstains") as raised:
        PoissonBatches.of_epochs(examples, batch, 1)
    assert not any(letter.isdigit() for letter in str(raised.value))


@pytest.mark.parametrize(("batch", "epochs"), [(0, 1), (-1, 1), (2, 0)])
def test_no_plan_is_refused(batch: int, epochs: int) -> None:
    with pytest.raises(ParameterError, match="batch-size"):
        PoissonBatches.of_epochs(10, batch, epochs)


def test_one_batch_of_a_stated_probability() -> None:
    """100,000 examples; 5 sigma; and everyone, or nobody, at the ends."""
    for probability in (0.01, 0.5, 0.9):
        drawn = draw_batch(100_000, probability)
        spread = 5 * math.sqrt(1e5 * probability * (1 - probability))
        assert abs(len(drawn) - 1e5 * probability) < spread
        assert drawn.unique().tolist() == drawn.tolist()
    assert draw_batch(5, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert len(draw_batch(5, 2.0**-53)) == len(draw_batch(0, 0.5)) == 0
    for bad in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(ParameterError, match="sampling probability"):
            draw_batch(5, bad)
