"""What can be thrown away: working files that killed runs left, and, where it is asked for, checkpoints and old runs.

Decides: what is nobody's any more. A model goes only with a whole run that was asked for by its age; nothing of a run
that is going on goes at all. Refuses to ask questions.
"""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.finding_runs import all_runs, is_going
from app.run_directory import RunDirectory, read_lines
from app.stopping_runs import users_of
from app.superlink import TEMPORARY, temporary_folder
from arithmetic.errors import SetupError

_FRESH: Final = 600.0  # seconds in which a folder may belong to a run that is just starting
_DAY: Final = 86_400.0


@dataclass(frozen=True)
class Waste:
    """One file or folder that can go.

    Attributes:
        what: it is, for people.
        size: bytes.
    """

    path: Path
    what: str
    size: int


def waste(
    runs_dir: Path, *, checkpoints: bool = False, days: float | None = None, temporary: Path | None = None
) -> list[Waste]:
    """What can go.

    Args:
        runs_dir: where runs are.
        checkpoints: also checkpoints of runs that have finished.
        days: also whole runs, models too, that ended before that many days; None: no run.
        temporary: where Ray's files are; None: where runs put them.
    """
    found = list(_left_in(temporary or temporary_folder()))
    for run in all_runs(runs_dir):
        flower = run.path / "flower"
        if is_going(run) or users_of(flower):
            continue
        if days is not None and _age(run) > days * _DAY:
            found.append(_of(run.path, "a whole run, its model too"))
            continue
        if flower.exists():
            found.append(_of(flower, "working files of a run that was killed"))
        if checkpoints and run.checkpoints.exists() and run.last_word().get("event") == "run_finished":
            found.append(_of(run.checkpoints, "checkpoints of a run that has finished"))
    return found


def throw_away(found: list[Waste]) -> None:
    """Remove all of it.

    Raises:
        SetupError: something cannot be removed; what came before it is gone.
    """
    for each in found:
        try:
            shutil.rmtree(each.path)
        except OSError as error:
            raise SetupError(f"{each.path} cannot be removed ({error.strerror}); remove it by hand") from None


def _left_in(folder: Path) -> Iterator[Waste]:
    for path in sorted(folder.glob(f"{TEMPORARY}????????")):
        facts = path.lstat()
        ours = path.is_dir() and not path.is_symlink() and facts.st_uid == os.getuid()
        if ours and time.time() - facts.st_mtime > _FRESH and not users_of(path, "RAY_TMPDIR"):
            yield _of(path, "Ray's files of a run that was killed")


def _age(run: RunDirectory) -> float:
    last = run.last_word().get("time") or next(read_lines(run.events), {}).get("time")
    return time.time() - (
        last if isinstance(last, int | float) else (run.path / "config.toml").stat().st_mtime
    )


def _of(path: Path, what: str) -> Waste:
    size = sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())
    return Waste(path, what, size)
