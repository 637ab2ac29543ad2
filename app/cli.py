"""The command line `chorus`: its commands, put together, and the way out of every one of them.

This module decides exit codes (0 good, 1 ours, 2 the user's, 3 the protocol's, 4 the environment's) and that a mistake
is one line on standard error, never a traceback unless `--debug` asks for one. It refuses to know what a command does.
"""

import importlib
import sys
from importlib.util import find_spec
from typing import Annotated, Final

import click
import typer

from app.catalogue import USAGE, Failure
from app.commands import keeping, proving, running, setting, watching
from app.deployment import commands as deployment
from app.telling import complain, complain_of, listen
from arithmetic.errors import ChorusError

_ELSEWHERE: Final = ("app.report.commands", "app.predictions.commands")

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def chorus(
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Also say where in the code an error came from; for every command."),
    ] = False,
) -> None:
    """Private federated learning on Flower: the server sees masked sums only."""


for commands in (running, watching, keeping, setting, proving, deployment):
    commands.register(app)
for name in _ELSEWHERE:
    if find_spec(name.rpartition(".")[0]) and find_spec(name):
        importlib.import_module(name).register(app)


def main() -> int:
    """Entry of `chorus` and `python -m app`; never a traceback for a user's mistake."""
    arguments = listen(sys.argv[1:])
    try:
        code = app(arguments, standalone_mode=False)
    except ChorusError as error:
        return complain_of(error)
    except click.ClickException as error:
        complain(Failure(USAGE, f"{error.format_message().rstrip('.')}; --help lists options"))
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except Exception as error:  # noqa: BLE001 - the last door: a fault of ours is told as one
        return complain_of(error)
    return code if isinstance(code, int) else 0
