"""From decoded sums to what a server round reports.

Decides: which sums are divided by which. Refuses to know: where the sums come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arithmetic.errors import RangeError
from arithmetic.fixed_point import MAGNITUDE_STEPS, FixedPoint
from strategies.groups import RoundTotal
from strategies.records import number_of
from wire.rounds import ProtocolRound, Purpose, RingStep
from wire.scalars import (
    EVALUATION_EXAMPLES,
    EVALUATION_LOSS,
    TRAINING_LOSS,
    WEIGHT,
    WEIGHTS_CLAMPED,
    exceeding_key,
    metric_key,
)  # fmt: skip

Sums = Mapping[str, int | float]


@dataclass(frozen=True)
class TrainingMetrics:
    """What a training session's scalars say.

    Attributes:
        weight: sum of the clients' weights, >= 1.
        scale: max_examples / weight; turns the decoded sum into the weighted mean.
        train_loss: mean training loss, weighted.
        exceeding: entries above encoding bound * 4^-j, over the whole cohort.
        weights_clamped: clients whose weight was clamped.
        encoding_bound: bound the session ran with.
        error_bound: largest rounding error of a coordinate of the mean.
    """

    weight: int
    scale: float
    train_loss: float
    exceeding: tuple[int, ...]
    weights_clamped: int
    encoding_bound: float
    error_bound: float

    @property
    def fields(self) -> dict[str, int | float]:
        """For the event of the round."""
        return {
            "train_loss": self.train_loss,
            "saturated": self.exceeding[0],
            "weights_clamped": self.weights_clamped,
            "encoding_bound": self.encoding_bound,
            "error_bound": self.error_bound,
        }


def check_counters(
    purpose: Purpose, sums: Sums, survivors: int, max_examples: int, tensor_length: int
) -> None:
    """Whether one group's counters can be those of `survivors` honest clients; judged before they join the others'.

    Raises:
        RangeError: they contradict each other; there is no mean.
    """
    plausible = sums[EVALUATION_EXAMPLES] >= 0
    if purpose is Purpose.TRAINING:
        weight, clamped = int(sums[WEIGHT]), int(sums[WEIGHTS_CLAMPED])
        exceeding = [int(sums[exceeding_key(step)]) for step in range(MAGNITUDE_STEPS)]
        plausible &= survivors <= weight <= survivors * max_examples and 0 <= clamped <= survivors
        plausible &= exceeding == sorted(exceeding) and exceeding[0] >= 0
        plausible &= exceeding[-1] <= survivors * tensor_length
    if not plausible:
        raise RangeError(
            "the masked counters contradict each other: a client sent a false vector, or the sum is not one. It was "
            "discarded; the model is unchanged"
        )


def training_of(sums: Sums, survivors: int, codec: FixedPoint, max_examples: int) -> TrainingMetrics:
    """Training metrics of counters that `check_counters` let pass.

    Args:
        sums: decoded scalars by name.
        survivors: clients in the sum.
        codec: the tensor part's encoding.
        max_examples: weight that counts as 1.
    """
    weight, clamped = int(sums[WEIGHT]), int(sums[WEIGHTS_CLAMPED])
    exceeding = tuple(int(sums[exceeding_key(step)]) for step in range(MAGNITUDE_STEPS))
    scale = max_examples / weight
    return TrainingMetrics(
        weight=weight,
        scale=scale,
        train_loss=sums[TRAINING_LOSS] / weight,
        exceeding=exceeding,
        weights_clamped=clamped,
        encoding_bound=codec.bound,
        error_bound=survivors * codec.step * scale,
    )


def evaluation_of(sums: Sums, metrics: tuple[str, ...]) -> dict[str, float]:
    """Mean loss and metrics over all evaluation examples; empty when no client had any."""
    examples = sums[EVALUATION_EXAMPLES]
    if examples <= 0:
        return {}
    means: dict[str, Any] = {"loss": sums[EVALUATION_LOSS] / examples}
    return means | {metric: sums[metric_key(metric)] / examples for metric in metrics}


def finished_fields(
    total: RoundTotal,
    found: Mapping[str, float],
    trained: Mapping[str, int | float],
    central: Mapping[str, object] | None,
) -> dict[str, object]:
    """Fields of the event `round_finished`: counts, means over the cohort, sizes and seconds."""
    judged = central or {}
    counts = _RING_COUNTS if RingStep.HOP in total.completed else _COUNTS
    return {
        **{name: total.completed[step] for name, step in counts.items()},
        "accuracy": found.get("accuracy"),
        "loss": found.get("loss"),
        "metrics": {name: value for name, value in found.items() if name != "loss"},
        **trained,
        "central_accuracy": number_of(judged.get("accuracy")),
        "central_loss": number_of(judged.get("loss")),
        "bytes_up": total.bytes_up,
        "bytes_down": total.bytes_down,
        "seconds": round(total.seconds, 3),
    }


_COUNTS = {
    "keys": ProtocolRound.ADVERTISE_KEYS,
    "shares": ProtocolRound.SHARE_KEYS,
    "masked": ProtocolRound.MASKED_INPUT,
    "unmasked": ProtocolRound.UNMASKING,
}
_RING_COUNTS = {"joined": RingStep.JOIN, "revealed": RingStep.REVEAL, "added": RingStep.HOP}
