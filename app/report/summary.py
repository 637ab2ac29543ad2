"""What a page says, for programs: the same numbers as plain JSON.

Decides: names. Refuses to know pages.
"""

import math
from typing import Any

from app.report.page import state_of
from app.report.spent import spent
from app.report.story import Story

_FIGURES = ("accuracy", "loss", "central_accuracy", "central_loss", "rounds_aggregated", "seconds")
_ROUND = (
    "accuracy",
    "loss",
    "central_accuracy",
    "central_loss",
    "train_loss",
    "bytes_up",
    "bytes_down",
    "seconds",
)


def summary(story: Story) -> dict[str, Any]:
    """One object: how the run stands, its figures, what it spent, its rounds, its settings."""
    state, paid = state_of(story), spent(story)
    return {
        "run": story.directory.id,
        "state": state.word,
        "sentence": state.sentence,
        "figures": {name: story.figure(name) for name in _FIGURES},
        "privacy": list(paid.sentences),
        "epsilon": {unit: _number(epsilon) for unit, epsilon in paid.reported},
        "rounds": [
            {"round": each.number, "failed": each.failed} | {name: each.figure(name) for name in _ROUND}
            for each in story.held
        ],
        "config": story.config.table(),
    }


def _number(value: float) -> float | None:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None
