"""The scalar part: one list for all clients, exact counts, sums at 2^-24."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arithmetic.errors import RangeError
from arithmetic.fixed_point import MAGNITUDE_STEPS
from wire.rounds import Purpose
from wire.scalars import (
    EVALUATION_EXAMPLES,
    EVALUATION_LOSS,
    FRACTION_BITS,
    TRAINING_LOSS,
    WEIGHT,
    ScalarLayout,
    metric_key,
)

TRAINING = ScalarLayout.of(Purpose.TRAINING, ("accuracy",), 2)
EVALUATION = ScalarLayout.of(Purpose.EVALUATION, ("accuracy",), 2)


def values(layout: ScalarLayout, **changes: Any) -> dict[str, int | float]:
    return dict.fromkeys(layout.names, 0) | changes


def test_lengths() -> None:
    assert TRAINING.length == 3 + 3 + MAGNITUDE_STEPS + 2
    assert EVALUATION.length == 3
    assert len(set(TRAINING.names)) == len(TRAINING.names)


def test_evaluation_asks_for_nothing_about_training() -> None:
    assert set(EVALUATION.names) == {EVALUATION_EXAMPLES, EVALUATION_LOSS, metric_key("accuracy")}
    assert EVALUATION.integers == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 2**40), st.floats(-1e6, 1e6), st.integers(-(2**50), 2**50)),
        min_size=1,
        max_size=7,
    )
)
def test_sums_are_exact_for_counts_and_close_for_reals(clients: list[tuple[int, float, int]]) -> None:
    total = np.zeros(TRAINING.length, np.uint64)
    for weight, loss, buffer in clients:
        numbers = values(TRAINING, **{WEIGHT: weight, TRAINING_LOSS: loss})
        total += TRAINING.encode(numbers, [buffer, -buffer], 7)
    named, integers = TRAINING.decode([total], 7)
    assert named[WEIGHT] == sum(weight for weight, _, _ in clients)
    assert type(named[WEIGHT]) is int
    assert integers == [sum(b for _, _, b in clients), -sum(b for _, _, b in clients)]
    exact = math.fsum(loss for _, loss, _ in clients)
    assert abs(named[TRAINING_LOSS] - exact) <= len(clients) * 2.0 ** -(FRACTION_BITS + 1) + 1e-9


@pytest.mark.parametrize(
    "change",
    [{WEIGHT: 0.5}, {WEIGHT: float("nan")}, {TRAINING_LOSS: float("inf")}, {TRAINING_LOSS: 2.0**40},
     {WEIGHT: 2**63}],
)  # fmt: skip
def test_what_cannot_enter_the_sum_is_refused_without_being_quoted(change: dict[str, Any]) -> None:
    with pytest.raises(RangeError) as caught:
        TRAINING.encode(values(TRAINING, **change), [0, 0], 3)
    assert "nothing was sent" in str(caught.value)


def test_integers_too_large_for_the_cohort_are_refused() -> None:
    largest = (2**63 - 1) // 5
    TRAINING.encode(values(TRAINING), [largest, -largest], 5)
    with pytest.raises(RangeError):
        TRAINING.encode(values(TRAINING), [largest + 1, 0], 5)


def test_the_digest_tells_every_layout_from_every_other() -> None:
    layouts = [
        ScalarLayout.of(purpose, metrics, integers)
        for purpose in Purpose for metrics in ((), ("accuracy",), ("accuracy", "f1"), ("f1", "accuracy"))
        for integers in (0, 1)
    ]  # fmt: skip
    assert len({layout.digest for layout in layouts}) == 8 + 4  # evaluation sums no integers
    assert all(len(layout.digest) == 32 for layout in layouts)
