"""A run around the ring in this process: identities in a folder, the real strategy and ClientApp over `LocalGrid`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flwr.app import Message

from app.inner_strategy import inner_strategy
from app.ring_job import ring_settings
from app.ring_keys import DEFAULTS
from app.simulated_roster import lay_identities
from clients import ring_steps
from strategies.paillier_ring import PaillierRing
from tests.paillier.made import pair_of
from tests.support.run import Trial
from wire.rounds import RingStep

PAIR = pair_of(2048)
QUICK: dict[str, Any] = {
    **DEFAULTS, "job": "ring", "rounds": 1, "paillier-bits": 2048, "device": "cpu", "poll-interval": 0.01,
    "round-deadline": 0.5, "training-deadline": 0.5, "validation-fraction": 0.2, "cohort-deadline": 0.2,
}  # fmt: skip


def ring_trial(run_dir: Path, overrides: dict[str, Any] | None = None) -> Trial:
    """A `Trial` whose sums go around the ring under a key that tests know."""
    asked = QUICK | (overrides or {})
    named = {"run-dir": str(run_dir)} | lay_identities(run_dir, asked["clients"])
    trial = Trial(asked | named)
    trial.settings = settings = ring_settings(trial.settings)
    trial.inner = inner_strategy(trial.config, settings.least)
    trial.strategy = PaillierRing(
        trial.inner, trial.spec, settings, trial.task.metric_names, trial.emit, private=PAIR
    )
    return trial


def at_step(
    step: RingStep, change: Callable[[Message], Message | None], *nodes: int
) -> Callable[[Message], Message | None]:
    """A `Tamper` that changes messages of one step (and of these nodes, if any are given)."""

    def tamper(message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        node = message.metadata.src_node_id if node == 1 else node
        meant = message.metadata.message_type == step.message_type
        return change(message) if meant and (not nodes or node in nodes) else message

    return tamper


def forget_tables() -> None:
    """Tables of keys are kept by a process; a test that counts them starts without."""
    ring_steps._table.cache_clear()
