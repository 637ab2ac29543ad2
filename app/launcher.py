"""One run: our own SuperLink, `flwr run` on it, its events on the screen, a true exit code.

`flwr run --stream` exits 0 whatever happened, so success is read from two places that must agree:
the status that `flwr ls` reports and the last event of the run. This module decides order and exit
code, and that nothing outlives it; it refuses to import torch, Flower or Ray, which would cost
seconds before the first line.

    0  the run finished              1  ours: a crash
    2  the user's: configuration     3  the protocol's: no sum could be had
    4  the machine's: port, GPU      130, 143  interrupted, terminated
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from app import superlink
from app.accelerators import Workers, plan
from app.config import RunConfig
from app.flower_commands import Flower
from app.processes import adopt_orphans, descendants, end_descendants
from app.progress import Tail, printable, result_lines
from app.ring_keys import RING
from app.run_directory import RunDirectory
from app.tallies import devices_line
from arithmetic.errors import ChorusError, SetupError

REPOSITORY: Final = Path(__file__).resolve().parent.parent

_EXIT_OF_CODE: Final = {"CONFIG": 2, "ENV": 4} | dict.fromkeys(
    ("FORMAT", "AUTH", "STATE", "VIEW", "POLICY", "CRYPTO", "SHARE", "RANGE", "QUORUM"), 3
)
_TYPED: Final = re.compile(rf"\b({'|'.join(_EXIT_OF_CODE)}): .+")
_GRACE: Final = 5.0
# Flower needs seconds to take Ray down before it calls a run finished; a failed run needs no status.
_LAST_WORDS: Final = {"run_finished": 60.0, "run_failed": 3.0}

Event = Mapping[str, Any]
Say = Callable[[str], None]


class Stopped(BaseException):
    """SIGINT or SIGTERM came; no `except Exception` may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: exit code, lines for the result, one line for the error ("" when none)."""

    exit_code: int
    lines: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for, checked."""

    config: RunConfig  # its key `resume`: the run that is continued
    runs_dir: Path
    keep: bool = False
    app: Path = REPOSITORY


def launch(request: Request, say: Say, show_event: Callable[[Event], None]) -> int:
    """Run once and leave nothing behind but the run directory.

    Args:
        request: a checked configuration and where runs are written.
        say: prints one line.
        show_event: is handed every event as it happens.

    Returns:
        The exit code (see the module's table).
    """
    adopt_orphans()
    _raise_on_signals()
    directory: RunDirectory | None = None
    ours: RunDirectory | None = None
    try:
        workers = plan(request.config.device, request.config.clients)
        directory = _directory(request)
        say(f"run {directory.id} in {_near(directory.path)}")
        with directory.at_work(directory.log):
            if request.config.resume:
                _take_over(directory, request.config)
            ours = directory
            outcome = _supervise(request, directory, workers, show_event)
    except Stopped as stopped:
        _ignore_signals()
        outcome = Outcome(stopped.exit_code, error="stopped; nothing of the run is left running")
    except ChorusError as error:
        outcome = Outcome(_EXIT_OF_CODE.get(error.code, 1), error=error.line)
    except OSError as error:
        outcome = Outcome(4, error=f"ENV: {error}; free the disk or name another --runs-dir")
    finally:
        _ignore_signals()
        left = end_descendants(_GRACE) if descendants(os.getpid()) else []
    for line in outcome.lines:
        say(line)
    if ours:
        from app.report.files import at_the_end  # jinja2: only where there is a run to tell of

        say(f"report: {at_the_end(ours)}")
    if outcome.error:
        print(outcome.error, file=sys.stderr)
    if left:
        print(f"ENV: processes {left} could not be ended; end them by hand", file=sys.stderr)
    if directory and _worth_continuing(directory, outcome):
        print(f"continue: .venv/bin/python -m app resume {_near(directory.path)}", file=sys.stderr)
    return outcome.exit_code


def _take_over(directory: RunDirectory, config: RunConfig) -> None:
    """Make a run that is not going ready to go on, even where its launcher was killed."""
    with directory.at_work(directory.events):  # a server outlives a launcher that was killed
        directory.record(config)
        shutil.rmtree(directory.path / "flower", ignore_errors=True)


def _worth_continuing(directory: RunDirectory, outcome: Outcome) -> bool:
    """Not where the configuration is the trouble, or the run itself has come to its end."""
    ended = directory.last_word().get("event") == "run_finished"
    return outcome.exit_code not in (0, _EXIT_OF_CODE["CONFIG"]) and directory.has_checkpoint and not ended


def _supervise(
    request: Request,
    directory: RunDirectory,
    workers: Workers,
    show_event: Callable[[Event], None],
) -> Outcome:
    told = Tail(directory.events, directory.events.stat().st_size if directory.events.exists() else 0)
    with superlink.temporary_home(directory.path, keep=request.keep) as home:
        env = superlink.environment(home, os.environ)
        flower = Flower(request.app, request.config, home, env, directory, workers)
        try:
            link = superlink.start(home, directory.log, env)
            last = _follow(flower.run(), link, told, directory.log, show_event)
            status, details = flower.status()
        finally:
            # Before the folders go: Ray and SuperLink would write them anew.
            _ignore_signals()
            end_descendants(_GRACE)
            flower.keep_output()
        return judge(last, status, details, directory, request.config)


def judge(last: Event, status: str, details: str, directory: RunDirectory, config: RunConfig) -> Outcome:
    """Exit code and closing lines from the last event and Flower's status; both must say success.

    Args:
        last: the `run_finished` or `run_failed` event, or an empty mapping when neither came.
        status: `finished:completed`, `finished:failed`, ...; "" when Flower took no run.
        details: Flower's words about it.
        directory: where everything was written.
        config: what was asked for.
    """
    log = _near(directory.log)
    match last.get("event"):
        case "run_failed":
            code = printable(last.get("code", "ENV"))
            line = f"{code}: {printable(last.get('reason', 'no reason was given'))}"
            return Outcome(_EXIT_OF_CODE.get(code, 1), error=line)
        case "run_finished" if status == "finished:completed":
            return Outcome(0, tuple(_closing(last, directory, config)))
    typed = _TYPED.search(details)
    if typed and not last:  # the last word did not get onto the disk, or the run was refused before its first
        return Outcome(_EXIT_OF_CODE[typed[1]], error=printable(typed[0]))
    if not status:
        reason = f"Flower did not take the run: {printable(details)}; details are in {log}"
    else:
        reason = (
            f"the run ended as {printable(status)} without saying how "
            f"({printable(details) or 'no details'}); the traceback is in {log}"
        )
    return Outcome(1, error=f"crash: {reason}")


def _closing(last: Event, directory: RunDirectory, config: RunConfig) -> list[str]:
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
    where = _near(directory.path)
    lines.append(f"written: {where}/ model.safetensors, metrics.jsonl, events.jsonl, config.toml")
    command, moment = ("scripts/run", "2@r2") if config.job != RING else ("scripts/run -c job=ring", "1@hop")
    more = f"{command} -c rounds={2 * config.rounds}"
    lines.append(f"next: {more}, or see recovery with {command} --drop {moment}:round3")
    return lines


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
    return f"written: {_near(directory.path)}/ {', '.join(there)}"


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


def _follow(
    flwr_run: subprocess.Popen[bytes],
    link: subprocess.Popen[bytes],
    tail: Tail,
    log: Path,
    show_event: Callable[[Event], None],
) -> Event:
    """Show events until `flwr run` has ended; the last word of the run, or an empty mapping."""
    last: Event = {}
    give_up = float("inf")
    while True:
        ended = flwr_run.poll() is not None
        for event in tail.new():
            show_event(event)
            patience = _LAST_WORDS.get(str(event.get("event")))
            if patience is not None:
                last = event
                give_up = time.monotonic() + patience
        if ended or time.monotonic() > give_up:
            return last
        if link.poll() is not None:
            raise SetupError(f"Flower's SuperLink ended in mid-run; why is in {_near(log)}")
        time.sleep(0.05)


def _directory(request: Request) -> RunDirectory:
    if request.config.resume:
        return RunDirectory.open(Path(request.config.resume))
    if request.config.run_dir:
        return RunDirectory.at(Path(request.config.run_dir).expanduser(), request.config)
    return RunDirectory.create(request.runs_dir, request.config)


def _near(path: Path) -> str:
    """A path as short as it can be said from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _raise_on_signals() -> None:
    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def _ignore_signals() -> None:
    # Cleaning up takes a few seconds; a second Ctrl-C must not leave half of it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
