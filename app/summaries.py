"""What a run directory says of its run in one row: how it stands, how far it came, how good its model is.

Decides: the five states of a run. Refuses to know how rows are printed.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from app.catalogue import number_of_word
from app.config import RunConfig
from app.finding_runs import is_going, short_of
from app.run_directory import RunDirectory, read_lines
from arithmetic.errors import ConfigError


@dataclass(frozen=True)
class Summary:
    """One run.

    Attributes:
        state: running, finished, failed, stopped (it ended without a last word: interrupted or killed), unreadable.
        error: code of the catalogue, of a run that failed; `reason` in words.
        done: server rounds that gave a model, of `rounds`.
        accuracy, loss: of the last model that was judged; None where none was.
        began: seconds since the epoch; `seconds` from its first to its last event, or until now.
        size: bytes on the disk.
    """

    id: str
    name: str
    path: str
    state: str
    error: str
    reason: str
    job: str
    task: str
    done: int
    rounds: int
    accuracy: float | None
    loss: float | None
    began: float | None
    seconds: float | None
    size: int

    @property
    def table(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def summary_of(run: RunDirectory) -> Summary:
    """Read one run; nothing of it is changed."""
    going, last = is_going(run), run.last_word()
    first = next(read_lines(run.events), {})
    judged: Mapping[str, Any] = {}
    done, latest = 0, first.get("time")
    for line in read_lines(run.metrics):
        judged = line if _first(line, "loss") is not None else judged
        done += line.get("purpose") != "evaluation"
        latest = line.get("time", latest)
    state = "running" if going else _STATES.get(str(last.get("event")), "stopped")
    try:
        config: RunConfig | None = run.recorded()
    except ConfigError:
        config, state = None, "unreadable"
    failed = state == "failed"
    began, end = first.get("time"), time.time() if going else last.get("time", latest)
    return Summary(
        id=run.id,
        name=short_of(run),
        path=str(run.path),
        state=state,
        error=str(last.get("number") or number_of_word(str(last.get("code")))) if failed else "",
        reason=str(last.get("reason", "")) if failed else "",
        job=config.job if config else "?",
        task=config.task if config else "?",
        done=done,
        rounds=config.rounds if config else 0,
        accuracy=_first(judged, "accuracy"),
        loss=_first(judged, "loss"),
        began=began,
        seconds=end - began if began and end else None,
        size=size_of(run),
    )


def _first(line: Mapping[str, Any], key: str) -> float | None:
    """On the clients' own data, or where nothing of it is told on the public test set."""
    return next((line[name] for name in (key, f"central_{key}") if line.get(name) is not None), None)


def size_of(run: RunDirectory) -> int:
    """Bytes of all files of a run."""
    return sum(
        path.stat().st_size for path in run.path.rglob("*") if path.is_file() and not path.is_symlink()
    )


_STATES = {"run_finished": "finished", "run_failed": "failed"}
