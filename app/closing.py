"""The last lines of a run that ended well: the result, what it spent, where everything is, and what to do next.

Decides: the words. Refuses to know whether the run ended well, and to print.
"""

from collections.abc import Mapping
from typing import Any

from app.config import RunConfig
from app.finding_runs import near, short_of
from app.invocation import command
from app.progress import result_lines
from app.ring_keys import RING
from app.run_directory import RunDirectory
from app.tallies import devices_line
from arithmetic.errors import ChorusError

Event = Mapping[str, Any]


def closing_lines(last: Event, directory: RunDirectory, config: RunConfig) -> list[str]:
    """Result, privacy, what was written, and what to do next.

    Args:
        last: the event `run_finished`.
        directory: of the run.
        config: what was asked for.
    """
    if config.job == "analytics":
        from app import answers  # rich: only where there are any

        return [
            *answers.lines(directory.path / answers.FILE),
            *_privacy_lines(directory, config),
            _answered(directory),
        ]
    lines = [
        *result_lines(last, config.rounds),
        *_table(config, directory),
        *_privacy_lines(directory, config),
    ]
    devices = devices_line(directory.path / "clients")
    if devices:
        lines.append(devices)
    where = near(directory.path)
    lines.append(f"written: {where}/ model.safetensors, metrics.jsonl, events.jsonl, config.toml")
    return [*lines, *_next_steps(directory, config)]


def _next_steps(directory: RunDirectory, config: RunConfig) -> list[str]:
    """What a person may want to do now, as commands."""
    run, moment = ("scripts/run", "2@r2") if config.job != RING else ("scripts/run -c job=ring", "1@hop")
    short = short_of(directory)
    steps = [f"see it again with {command()} watch {short}"]
    if not config.epsilon:
        steps.append(f"more rounds with {command()} resume {short} -c rounds={2 * config.rounds}")
    if not config.drop:
        steps.append(f"recovery with {run} --drop {moment}:round3")
    return [f"next: {', '.join(steps)}"]


def _privacy_lines(directory: RunDirectory, config: RunConfig) -> list[str]:
    if config.privacy == "none":
        return ["privacy: no differential privacy; the sum is what it is"]
    from app.privacy import closing_lines  # numpy and the accountants: only where needed

    try:
        return closing_lines(config, directory.path / "ledgers")
    except ChorusError as error:  # the run and what came of it stand
        return [f"privacy: what was spent cannot be said: {error.line}"]


def _answered(directory: RunDirectory) -> str:
    names = ("answers.json", "answers.png", "events.jsonl", "config.toml")
    there = [name for name in names if (directory.path / name).exists()]
    return f"written: {near(directory.path)}/ {', '.join(there)}"


def _table(config: RunConfig, directory: RunDirectory) -> list[str]:
    """What each hospital of a ring reaches alone."""
    if config.job != RING:
        return []
    from app.ring_table import table_of  # torch: only where needed

    try:
        table = table_of(config, directory.model)
    except ChorusError as error:  # the run and its model stand
        return [f"what a hospital reaches alone cannot be said: {error.line}"]
    return table.lines if table else []
