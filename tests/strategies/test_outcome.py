"""Which sums are divided by which, and which counters no honest group sends."""

import pytest

from arithmetic.errors import RangeError
from arithmetic.fixed_point import MAGNITUDE_STEPS, FixedPoint
from strategies.outcome import check_counters, evaluation_of, training_of
from wire.rounds import Purpose
from wire.scalars import (
    EVALUATION_EXAMPLES,
    EVALUATION_LOSS,
    TRAINING_LOSS,
    WEIGHT,
    WEIGHTS_CLAMPED,
    exceeding_key,
    metric_key,
)

SUMS: dict[str, int | float] = {
    EVALUATION_EXAMPLES: 3,
    WEIGHT: 200,
    WEIGHTS_CLAMPED: 1,
    TRAINING_LOSS: 100.0,
} | {exceeding_key(step): step for step in range(MAGNITUDE_STEPS)}
CODEC = FixedPoint(24, 10, 0.5)


def test_training_metrics_are_weighted_means() -> None:
    found = training_of(SUMS, 8, CODEC, 1000)
    assert found.weight == 200
    assert found.scale == 5.0
    assert found.train_loss == 0.5
    assert found.exceeding == tuple(range(MAGNITUDE_STEPS))
    assert found.error_bound == 8 * CODEC.step * 5.0
    assert found.fields == {
        "train_loss": 0.5, "saturated": 0, "weights_clamped": 1, "encoding_bound": 0.5,
        "error_bound": found.error_bound,
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {WEIGHT: 0}, {WEIGHT: -1}, {WEIGHT: 7}, {WEIGHT: 8001}, {WEIGHT: 2**62}, {WEIGHTS_CLAMPED: -1},
        {WEIGHTS_CLAMPED: 9}, {exceeding_key(0): -1}, {exceeding_key(3): 5}, {exceeding_key(7): 401},
        {EVALUATION_EXAMPLES: -1},
    ],
)  # fmt: skip
def test_counters_that_no_honest_group_sends_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(RangeError, match="contradict"):
        check_counters(Purpose.TRAINING, SUMS | change, 8, 1000, 50)


@pytest.mark.parametrize(
    "change", [{}, {WEIGHT: 8}, {WEIGHT: 8000}, {WEIGHTS_CLAMPED: 8}, {exceeding_key(7): 400}]
)
def test_the_extremes_an_honest_group_can_reach(change: dict[str, int]) -> None:
    check_counters(Purpose.TRAINING, SUMS | change, 8, 1000, 50)


def test_an_evaluation_has_no_other_counters() -> None:
    check_counters(Purpose.EVALUATION, {EVALUATION_EXAMPLES: 0, EVALUATION_LOSS: 0.0}, 8, 1000, 0)
    with pytest.raises(RangeError, match="contradict"):
        check_counters(Purpose.EVALUATION, {EVALUATION_EXAMPLES: -1, EVALUATION_LOSS: 0.0}, 8, 1000, 0)


def test_evaluation_metrics_are_means_over_examples() -> None:
    sums: dict[str, int | float] = {
        EVALUATION_EXAMPLES: 40,
        EVALUATION_LOSS: 10.0,
        metric_key("accuracy"): 30.0,
    }
    assert evaluation_of(sums, ("accuracy",)) == {"loss": 0.25, "accuracy": 0.75}


def test_without_examples_nothing_is_claimed() -> None:
    assert evaluation_of({EVALUATION_EXAMPLES: 0, EVALUATION_LOSS: 0.0}, ()) == {}
