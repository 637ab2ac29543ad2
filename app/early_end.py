"""When a run ends early, from its configuration: the rules, what they have heard before, and rules that make no sense.

Decides: what is refused before a client trains. Refuses to know: when a rule holds (`strategies.stopping`).
"""

from pathlib import Path

from app.config import RunConfig
from app.privacy import too_dear
from app.run_directory import read_lines
from arithmetic.errors import ConfigError
from secagg.params import SecAggParams
from strategies.settings import Settings
from strategies.stopping import Stopping


def stopping_of(config: RunConfig, settings: Settings, params: SecAggParams) -> Stopping:
    """The rules of a run.

    Args:
        config: the run's.
        settings: `settings_of` it.
        params: of each session.

    Raises:
        ConfigError: `stop-epsilon` allows not even one server round.
    """
    dear = too_dear(config, settings.privacy, params)
    reason = dear(1)
    if reason:
        raise ConfigError(f"not one server round can be held: {reason}; raise it, or add more noise")
    return Stopping(config.patience, config.clients, settings.least, dear)


def check_patience(config: RunConfig, has_public_test: bool) -> None:
    """Whether there is a loss that patience can go by.

    Raises:
        ConfigError: there is none.
    """
    if config.patience and config.privacy != "none" and not has_public_test:
        raise ConfigError(
            f"patience = {config.patience} has no loss to go by: task {config.task} has no public test set, and with "
            f"privacy = {config.privacy} no loss leaves the clients; set patience to 0"
        )


def hear_again(stopping: Stopping, metrics: Path, server_round: int) -> None:
    """Tell it what a run that goes on had heard up to `server_round`; of a round held twice the later line counts."""
    lines = {line["server_round"]: line for line in read_lines(metrics) if line.get("purpose") == "training"}
    for number in sorted(lines):
        if number <= server_round:
            stopping.hear(**lines[number])


def how_it_ended(config: RunConfig, stopping: Stopping) -> dict[str, object]:
    """For the event `run_finished`: the reason of an early end, and the key with its value that was the rule."""
    ended = stopping.ended
    if ended is None:
        return {}
    table = config.table()
    return {
        "stopped": ended.reason,
        "ended_by": {ended.rule: table[ended.rule]} if ended.rule in table else {},
    }
