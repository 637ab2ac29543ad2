"""Which run may be continued, and with what configuration.

Decides: that a finished run is not, unless it is to have more server rounds; which keys may differ from what the run
began with (those that cannot change a model); and by what digest a checkpoint tells its run's configuration.
Refuses to know: what is continued from (`app.checkpoint`) and how.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from app.config import RunConfig
from app.run_directory import RunDirectory
from arithmetic.errors import ConfigError, SetupError

_PLACE: Final = frozenset({"run-dir", "resume"})
_FREE: Final = frozenset(
    {
        "cohort-deadline",
        "training-deadline",
        "round-deadline",
        "poll-interval",
        "device",
        "groups-at-once",
        "demonstration",
    }
)
_END: Final = frozenset({"rounds", "patience", "stop-epsilon"})  # when a run ends, and nothing of how it goes


class NotContinued(ConfigError):
    """A run that has come to its end, or a key that must stay as it was."""


class NoCheckpoint(SetupError):
    """No file is there, or none is usable: the run cannot be continued."""


def configuration_digest(config: RunConfig) -> str:
    """SHA-256, hexadecimal, over every key that must not change when the run is continued."""
    table = {key: value for key, value in config.table().items() if key not in _PLACE | _FREE | _END}
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def continued(directory: RunDirectory, given: Mapping[str, object]) -> RunConfig:
    """The configuration with which the run in `directory` goes on; its key `resume` is the directory.

    Args:
        directory: of the run.
        given: keys that were named for the continuation.

    Raises:
        ConfigError: no run; NotContinued: a finished one, or a key that must stay as it was; one line.
        NoCheckpoint: a run that left none.
    """
    recorded = directory.recorded()
    table = recorded.table()
    changed = {key: value for key, value in given.items() if key not in _PLACE and value != table[key]}
    for key in sorted(set(changed) - _FREE - _END):
        raise NotContinued(
            f"{key} is {json.dumps(table[key])} in run {directory.id} and must stay so; leave it out, or "
            "start a new run"
        )
    config = RunConfig.parse(table | changed | {"resume": str(directory.path)})
    _check_rounds(directory, recorded, config)
    if not directory.has_checkpoint:
        raise NoCheckpoint(f"run {directory.id} left no checkpoint to continue from; start it anew")
    return config


def _check_rounds(directory: RunDirectory, recorded: RunConfig, config: RunConfig) -> None:
    if config.rounds < recorded.rounds:
        raise NotContinued(
            f"rounds = {config.rounds} is less than the {recorded.rounds} of run {directory.id}; a run only grows"
        )
    if config.rounds > recorded.rounds and config.epsilon:
        raise NotContinued(
            f"epsilon = {config.epsilon:g} of run {directory.id} was shared out over rounds = {recorded.rounds}; "
            "start a new run for more"
        )
    last = directory.last_word()
    if last.get("event") != "run_finished":
        return
    if last.get("stopped"):
        _check_early_end(directory, last, config)
        return
    rounds = last.get("rounds")
    finished = rounds if isinstance(rounds, int) else recorded.rounds
    if config.rounds <= finished:
        raise NotContinued(
            f"run {directory.id} has finished its {finished} server rounds; "
            "-c rounds=N with a larger N continues it"
        )


def _check_early_end(directory: RunDirectory, last: Mapping[str, object], config: RunConfig) -> None:
    """A run goes on under another rule than the one that ended it; where that was the nodes' budgets, in any case."""
    rule, table = last.get("ended_by"), config.table()
    if isinstance(rule, Mapping) and rule and all(table.get(key) == value for key, value in rule.items()):
        key = next(iter(rule))
        raise NotContinued(
            f"run {directory.id} ended early ({last['stopped']}); continue it with another {key} than {rule[key]:g}"
        )
