"""How failures reach a person or a program: one line, or one JSON object, on standard error.

Decides: the form, from two switches that any command takes, `--json` and `--debug`. Refuses to know which failures
there are (`app.catalogue`).
"""

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.catalogue import Failure, failure_of


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


def complain_of(error: Exception) -> int:
    """Say what an error is, and where it came from where that was asked for; the exit code."""
    if MANNER.debug:
        traceback.print_exception(error)
    failure = failure_of(error)
    complain(failure)
    return failure.exit_code
