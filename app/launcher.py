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

from app import catalogue, superlink
from app.accelerators import Workers, plan
from app.catalogue import Failure
from app.closing import closing_lines
from app.config import RunConfig
from app.finding_runs import LAUNCHER, near, short_of
from app.flower_commands import Flower
from app.invocation import command
from app.phrases import printable
from app.processes import adopt_orphans, descendants, end_descendants
from app.run_directory import RunDirectory
from app.tail import Tail
from arithmetic.errors import ChorusError

REPOSITORY: Final = Path(__file__).resolve().parent.parent

_TYPED: Final = re.compile(rf"\b({'|'.join(catalogue.WORDS)}): (.+)")
_GRACE: Final = 5.0
# Flower needs seconds to take Ray down before it calls a run finished; a failed run needs no status.
_LAST_WORDS: Final = {"run_finished": 60.0, "run_failed": 3.0}

Event = Mapping[str, Any]
Say = Callable[[str], None]
Complain = Callable[[Failure], None]


class Stopped(BaseException):
    """SIGINT or SIGTERM came; no `except Exception` may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: lines for the result, or what went wrong; a signal's exit code."""

    lines: tuple[str, ...] = ()
    failure: Failure | None = None
    stopped: int = 0

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return self.stopped or (self.failure.exit_code if self.failure else 0)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for, checked."""

    config: RunConfig  # its key `resume`: the run that is continued
    runs_dir: Path
    keep: bool = False
    app: Path = REPOSITORY


def launch(
    request: Request,
    say: Say,
    show_event: Callable[[Event], None],
    complain: Complain,
    show_log: Callable[[Path], None],
) -> int:
    """Run once and leave nothing behind but the run directory.

    Args:
        request: a checked configuration and where runs are written.
        say: prints one line.
        show_event: is handed every event as it happens.
        complain: is handed what went wrong.
        show_log: is handed the log of a run that crashed.

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
        say(f"run {directory.id} in {near(directory.path)}")
        if workers.limit:
            say(workers.limit)
        with directory.at_work(directory.log):
            if request.config.resume:
                _take_over(directory, request.config)
            ours = directory
            outcome = _supervise(request, directory, workers, show_event)
    except Stopped as stopped:
        _ignore_signals()
        outcome = Outcome(stopped=stopped.exit_code)
    except ChorusError as error:
        outcome = Outcome(failure=catalogue.failure_of(error))
    except OSError as error:
        text = f"{error}; free the disk or name another --runs-dir"
        outcome = Outcome(failure=Failure(catalogue.NO_ROOM, text))
    finally:
        _ignore_signals()
        left = end_descendants(_GRACE) if descendants(os.getpid()) else []
    if directory and outcome.failure and outcome.failure.number == catalogue.CRASH:
        show_log(directory.log)
    _tell(outcome, directory, ours, say, complain)
    if left:
        complain(Failure(catalogue.NOT_ENDED, f"processes {left} could not be ended; end them by hand"))
    return outcome.exit_code


def _tell(
    outcome: Outcome, directory: RunDirectory | None, ours: RunDirectory | None, say: Say, complain: Complain
) -> None:
    """The result, its page, or what went wrong and how it goes on; `ours` is the run that was at work here."""
    for line in outcome.lines:
        say(line)
    if ours:
        from app.report.files import at_the_end  # jinja2: only where there is a run to tell of

        say(f"report: {at_the_end(ours)}")
    more = ""
    if directory and _worth_continuing(directory, outcome):
        more = f" Continue: {command()} resume {short_of(directory)}"
    if outcome.stopped:
        print(f"stopped; nothing of the run is left running.{more}", file=sys.stderr)
    elif outcome.failure:
        dot = "." if more and not outcome.failure.message.endswith(".") else ""
        complain(Failure(outcome.failure.number, f"{outcome.failure.message}{dot}{more}"))


def _take_over(directory: RunDirectory, config: RunConfig) -> None:
    """Make a run that is not going ready to go on, even where its launcher was killed."""
    with directory.at_work(directory.events):  # a server outlives a launcher that was killed
        directory.record(config)
        shutil.rmtree(directory.path / "flower", ignore_errors=True)


def _worth_continuing(directory: RunDirectory, outcome: Outcome) -> bool:
    """Not where the configuration is the trouble, or the run itself has come to its end."""
    ended = directory.last_word().get("event") == "run_finished"
    return outcome.exit_code not in (0, 2) and directory.has_checkpoint and not ended


def _supervise(
    request: Request,
    directory: RunDirectory,
    workers: Workers,
    show_event: Callable[[Event], None],
) -> Outcome:
    told = Tail(directory.events, directory.events.stat().st_size if directory.events.exists() else 0)
    with superlink.temporary_home(directory.path, keep=request.keep) as home:
        (home.flower / LAUNCHER).write_text(str(os.getpid()))
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
    log = near(directory.log)
    match last.get("event"):
        case "run_failed":
            number = last.get("number") or catalogue.number_of_word(str(last.get("code", "ENV")))
            reason = printable(last.get("reason", "no reason was given"))
            return Outcome(failure=Failure(printable(number), reason))
        case "run_finished" if status == "finished:completed":
            return Outcome(tuple(closing_lines(last, directory, config)))
    typed = _TYPED.search(details)
    if typed and not last:  # the last word did not get onto the disk, or the run was refused before its first
        return Outcome(failure=Failure(catalogue.number_of_word(typed[1]), printable(typed[2])))
    if not status:
        reason = f"Flower did not take the run: {printable(details)}; details are in {log}"
    else:
        reason = (
            f"the run ended as {printable(status)} without saying how "
            f"({printable(details) or 'no details'}); the traceback is in {log}"
        )
    return Outcome(failure=Failure(catalogue.CRASH, reason))


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
            raise superlink.SuperLinkDown(f"Flower's SuperLink ended in mid-run; why is in {near(log)}")
        time.sleep(0.05)


def _directory(request: Request) -> RunDirectory:
    if request.config.resume:
        return RunDirectory.open(Path(request.config.resume))
    if request.config.run_dir:
        return RunDirectory.at(Path(request.config.run_dir).expanduser(), request.config)
    return RunDirectory.create(request.runs_dir, request.config)


def _raise_on_signals() -> None:
    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def _ignore_signals() -> None:
    # Cleaning up takes a few seconds; a second Ctrl-C must not leave half of it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
