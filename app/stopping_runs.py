"""Ending a run from outside: its launcher is asked to, and what a launcher that was killed left behind is ended.

Decides: which processes are a run's: its launcher by the lock it holds, the others by the Flower folder that their
environment names; never by a program's name. Refuses to touch a run of a federation, which its submitter stops.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.finding_runs import is_going, launcher_of
from app.run_directory import RunDirectory
from arithmetic.errors import ConfigError

_GRACE: Final = 8.0
_PATIENCE: Final = 60.0
_LOOK: Final = 0.1


class NotGoing(ConfigError):
    """There is nothing to stop, or nothing that this machine may stop."""


def stop(run: RunDirectory) -> list[int]:
    """End a run.

    Returns:
        Ids of processes that could not be ended; empty when all is well.

    Raises:
        NotGoing: nothing of it is running, or it belongs to a federation.
    """
    launcher = launcher_of(run)
    left = users_of(run.path / "flower")
    if launcher is None and not left:
        raise NotGoing(_why_not(run))
    if launcher is not None:
        _signal([launcher], signal.SIGTERM)
        _wait(lambda: not is_going(run), _PATIENCE)
        left = users_of(run.path / "flower")
    _signal(left, signal.SIGTERM)
    if not _wait(lambda: not users_of(run.path / "flower"), _GRACE):
        _signal(users_of(run.path / "flower"), signal.SIGKILL)
        _wait(lambda: not users_of(run.path / "flower"), _GRACE)
    return users_of(run.path / "flower") + ([launcher] if launcher and launcher_of(run) == launcher else [])


def users_of(folder: Path, variable: str = "FLWR_HOME") -> list[int]:
    """Processes whose environment says that they work in `folder` (Linux; elsewhere none are found)."""
    wanted = f"{variable}={folder}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0") and not _is_dead(path.parent):
                found.append(int(path.parent.name))
    return found


def _why_not(run: RunDirectory) -> str:
    if not is_going(run):
        return f"run {run.id} is not going on; there is nothing to stop"
    numbers = [path.stem.partition("-")[2] for path in (run.path / "transcripts").glob("server-*.jsonl")]
    number = max(numbers, key=len, default="RUN_ID")
    return (
        f"run {run.id} was submitted to a SuperLink; stop it from where it was submitted: "
        f"FLWR_HOME=federation/submit flwr stop {number} chorus"
    )


def _is_dead(process: Path) -> bool:
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK)
    return True
