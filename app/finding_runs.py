"""Which run is meant: a path, a part of an id, or nothing at all; and whether a run is going on.

Decides: what RUN on a command line may be, and that a name for two runs is refused. Refuses to know what is done with
the run, and to change anything.
"""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.run_directory import RunDirectory
from arithmetic.errors import ConfigError

LAUNCHER: Final = "launcher.pid"  # below `flower/`, while the run goes on
_SHOWN: Final = 5


class NoSuchRun(ConfigError):
    """RUN names no run, or more than one."""


def find_run(name: str, runs_dir: Path) -> RunDirectory:
    """The run that a person means.

    Args:
        name: path of its directory; its id, or the beginning of it; the beginning of the four digits that end it; or
            "", the run that began last.
        runs_dir: where ids are looked up.

    Raises:
        NoSuchRun: none, or more than one.
    """
    path = Path(name).expanduser()
    if name and (path / "config.toml").is_file():
        return RunDirectory(path.absolute())
    if name and (path.is_dir() or len(path.parts) > 1):
        raise NoSuchRun(
            f"{path.absolute()} holds no run: it has no config.toml; name the directory of one, such as runs/<id>"
        )
    runs = all_runs(runs_dir)
    if not runs:
        raise NoSuchRun(f"there is no run in {runs_dir}; start one with scripts/run, or name --runs-dir")
    if not name:
        return runs[-1]
    meant = [run for run in runs if run.id == name] or [run for run in runs if _is_meant(run.id, name)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise NoSuchRun(f"{name!r:.60} is {_few(meant)}; give more of the id")
    raise NoSuchRun(f"no run in {runs_dir} is called {name!r:.60}; there are {_few(runs[::-1])}")


def all_runs(runs_dir: Path) -> list[RunDirectory]:
    """Every run below `runs_dir`, in the order in which they began."""
    return [RunDirectory(path.parent.absolute()) for path in sorted(runs_dir.glob("*/config.toml"))]


def short_of(run: RunDirectory) -> str:
    """What names the run among those beside it: the four digits of its id, or all of it."""
    digits = run.id.rpartition("-")[2]
    beside = [each.id for each in all_runs(run.path.parent) if _is_meant(each.id, digits)]
    return digits if beside == [run.id] and _is_here(run) else near(run.path)


def near(path: Path) -> str:
    """A path as short as it can be said from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def is_going(run: RunDirectory) -> bool:
    """Whether a launcher or a server is at work on it."""
    return _is_held(run.log) or _is_held(run.events)


def launcher_of(run: RunDirectory) -> int | None:
    """Process id of the run's launcher, while it is at work; None for a run of a deployment."""
    if not _is_held(run.log):
        return None
    with contextlib.suppress(OSError, ValueError):
        return int((run.path / "flower" / LAUNCHER).read_text())
    return None


def _is_meant(identifier: str, name: str) -> bool:
    return identifier.startswith(name) or identifier.rpartition("-")[2].startswith(name)


def _is_here(run: RunDirectory) -> bool:
    """Whether a command that is given no --runs-dir finds it."""
    return run.path.parent == Path.cwd() / "runs"


def _few(runs: Sequence[RunDirectory]) -> str:
    names = ", ".join(run.id for run in runs[:_SHOWN])
    return names + (f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else "")


def _is_held(path: Path) -> bool:
    """Whether a process holds the lock of `app.durable.held`; asking leaves no trace."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
