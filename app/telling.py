"""How failures reach a person or a program: one line, or one JSON object, on standard error.

Decides: the form, from two switches that any command takes, `--json` and `--debug`. Refuses to know which failures
there are (`app.catalogue`).
"""

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.catalogue import Failure, failure_of
from app.phrases import printable

_MOST_BYTES: Final = 64 << 10
_MOST_LINES: Final = 60
_WIDEST: Final = 400


@dataclass
class Manner:
    """How failures are told in this process."""

    as_json: bool = False
    debug: bool = False


MANNER: Final = Manner()


def listen(arguments: Sequence[str]) -> list[str]:
    """Take the switches from a command line; what is left is the commands' own (`--json` among it)."""
    MANNER.as_json, MANNER.debug = "--json" in arguments, "--debug" in arguments
    return [each for each in arguments if each != "--debug"]


def complain(failure: Failure) -> None:
    """Say what went wrong."""
    print(failure.document if MANNER.as_json else failure.line, file=sys.stderr, flush=True)


def show_log(log: Path) -> None:
    """With `--debug`, the end of what Flower and its workers wrote: where a traceback of theirs is."""
    if MANNER.debug and log.exists():
        print(f"== the end of {log}", *_last_lines(log), sep="\n", file=sys.stderr)


def _last_lines(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_BYTES))
        return [
            printable(line, _WIDEST)
            for line in file.read().decode(errors="replace").splitlines()[-_MOST_LINES:]
        ]


def complain_of(error: Exception) -> int:
    """Say what an error is, and where it came from where that was asked for; the exit code."""
    if MANNER.debug:
        traceback.print_exception(error)
    failure = failure_of(error)
    complain(failure)
    return failure.exit_code
