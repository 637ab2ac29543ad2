"""Keeps programs running: starts them, starts one again when it dies, ends all of them by id.

Decides: how long to wait before a restart (1 s, doubled up to 30 s, from the start again after a minute of life), and
that nothing outlives the supervisor, even where it is killed (Linux). Refuses to know what the programs are, and why
one died (`diagnosis`).
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from app.deployment.programs import Program
from app.processes import adopt_orphans, end_descendants
from arithmetic.errors import SetupError

_FIRST_WAIT, _LONGEST_WAIT, _STEADY = 1.0, 30.0, 60.0
_GRACE: Final = 8.0
_LOOK: Final = 0.2
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


class Stopped(BaseException):
    """SIGINT or SIGTERM came; no `except Exception` may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 0 if number == signal.SIGTERM else 128 + number


@dataclass
class Running:
    """One program and its present process.

    Attributes:
        log: everything it printed, over all its lives.
        began: length of the log when the present life began, bytes.
    """

    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    began: int = 0
    since: float = 0.0
    wait: float = _FIRST_WAIT
    due: float = 0.0

    def said(self) -> str:
        """What the present, or last, life printed; at most its last 8 KiB."""
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.began, end - (8 << 10)))
            return file.read().decode(errors="replace")


@dataclass
class Supervisor:
    """Programs of one machine.

    Attributes:
        state: working directory of the programs; logs lie below it.
        env: their environment.
        say: prints one line.
        died: asked about every death; raises to end everything, or gives a line to print.
        look: called every few seconds while all runs.
    """

    state: Path
    env: Mapping[str, str]
    say: Callable[[str], None]
    died: Callable[[Running, int], str]
    look: Callable[[], None] = lambda: None
    running: list[Running] = field(default_factory=list)

    def start(self, program: Program) -> Running:
        """Start a program now and keep it running."""
        log = self.state / "logs" / f"{program.name}.log"
        log.parent.mkdir(mode=0o700, exist_ok=True)
        one = Running(program, log)
        self._spawn(one)
        self.running.append(one)
        return one

    def run(self) -> NoReturn:
        """Watch until a signal comes or `died` raises.

        Raises:
            Stopped: a signal came.
        """
        while True:
            self.turn()
            self.look()

    def turn(self) -> None:
        """One look at every program, and a short sleep."""
        for one in self.running:
            self._watch(one)
        time.sleep(_LOOK)

    def stop(self) -> list[int]:
        """End everything that was started, by id; ids of what could not be ended."""
        ignore_signals()
        for one in reversed(self.running):  # the SuperLink last: the others take their leave of it
            if one.process is not None and one.process.poll() is None:
                one.process.terminate()
                wait(one.process, _GRACE / 2)
        return end_descendants(_GRACE)

    def _watch(self, one: Running) -> None:
        now = time.monotonic()
        if one.process is None:
            if now >= one.due:
                self._spawn(one)
            return
        code = one.process.poll()
        if code is None:
            return
        reason = self.died(one, code)
        if now - one.since > _STEADY:
            one.wait = _FIRST_WAIT
        self.say(f"{one.program.name} ended ({_words(code)}); again in {one.wait:g} s. {reason}")
        one.process, one.due, one.wait = None, now + one.wait, min(2 * one.wait, _LONGEST_WAIT)

    def _spawn(self, one: Running) -> None:
        try:
            with one.log.open("ab") as output:
                one.began, one.since = output.tell(), time.monotonic()
                one.process = subprocess.Popen(
                    one.program.command, cwd=self.state, env=dict(self.env), stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_die_with_parent,
                )  # fmt: skip
        except OSError as error:
            raise SetupError(
                f"{one.program.name} cannot be started ({error.strerror}); see that {self.state} can be written"
            ) from None


def take_charge() -> None:
    """Adopt orphans, and turn SIGINT and SIGTERM into `Stopped`."""
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise)


def ignore_signals() -> None:
    """While everything is being ended, once is enough."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process ended within `seconds`."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def make_folders(paths: Sequence[Path]) -> None:
    """Make the folders that programs write to, for their owner alone.

    Raises:
        SetupError: one cannot be made or written.
    """
    for path in paths:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"{path} cannot be made ({error.strerror}); name another place with --state"
            ) from None
        if not os.access(path, os.W_OK):
            raise SetupError(f"{path} cannot be written; name another place with --state")


def _die_with_parent() -> None:
    """In a child, before it becomes the program: SIGTERM for it should the supervisor be killed (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


def _words(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
