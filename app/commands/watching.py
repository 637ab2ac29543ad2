"""The commands `watch` and `ls`: what a run is doing, and what runs there are.

Decides: when watching ends, and its exit code: the run's own. Refuses to change anything.
"""

import re
import sys
import time
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.catalogue import STOPPED, Failure, exit_code_of, number_of_word
from app.commands import options
from app.finding_runs import all_runs, find_run, is_going, short_of
from app.invocation import command
from app.names import Names
from app.run_directory import RunDirectory
from app.screen import Picture, screen
from app.tail import Tail
from app.telling import complain
from arithmetic.errors import SetupError

if TYPE_CHECKING:
    from rich.table import Table

    from app.summaries import Summary

_LOOK: Final = 0.25
_TABLE: Final = 140
_COLOURS: Final = {"running": "cyan", "finished": "green", "failed": "red", "stopped": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(watch)
    app.command("ls")(list_runs)


def watch(
    name: options.Run = "",
    runs_dir: options.RunsDir = options.RUNS,
    plain: options.PlainLines = False,
    picture: Annotated[
        Path | None, typer.Option(help="Write the view of this moment to a file.svg, and end.")
    ] = None,
    as_json: options.EventLines = False,
) -> None:
    """Show a run as it goes, or as it went; the exit code is the run's."""
    directory = find_run(name, runs_dir)
    rounds = directory.recorded().rounds
    if picture is not None:
        _draw(directory, rounds, picture)
        return
    tail = Tail(directory.events)
    with screen(directory.id, rounds, as_json=as_json, plain=plain) as shown:
        named = (lambda event: event) if as_json else Names.of(directory).named
        shown.begin(map(named, tail.new()))
        while is_going(directory):
            time.sleep(_LOOK)
            for event in tail.new():
                shown.show(named(event))
        for event in tail.new():
            shown.show(named(event))
    raise typer.Exit(_verdict(directory))


def _verdict(directory: RunDirectory) -> int:
    last = directory.last_word()
    if last.get("event") == "run_finished":
        return 0
    if last.get("event") == "run_failed":
        return exit_code_of(str(last.get("number") or number_of_word(str(last.get("code")))))
    going_on = f" Continue: {command()} resume {short_of(directory)}" if directory.has_checkpoint else ""
    text = (
        f"run {directory.id} is not going on and never said how it ended: it was stopped or killed.{going_on}"
    )
    complain(Failure(STOPPED, text))
    return exit_code_of(STOPPED)


def _draw(directory: RunDirectory, rounds: int, path: Path) -> None:
    from rich.console import Console

    from app.live_view import WIDEST

    shown = Picture(directory.id, rounds)
    shown.begin(map(Names.of(directory).named, Tail(directory.events).new()))
    console = Console(record=True, width=WIDEST, file=StringIO(), force_terminal=True)
    console.print(shown.drawn())
    try:
        drawn = console.export_svg(title=f"chorus watch {directory.id}")
        # A picture fetches nothing, not even a font.
        path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{path} cannot be written ({error.strerror}); name another file") from None


def list_runs(
    runs_dir: options.RunsDir = options.RUNS,
    running: Annotated[bool, typer.Option("--running", help="Only those that are going on now.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List runs: how each stands, how far it came, how good its model is."""
    from app.summaries import summary_of

    found = [summary_of(run) for run in all_runs(runs_dir)]
    found = [each for each in found if not running or each.state == "running"]
    if as_json:
        options.print_document({"runs": [each.table for each in found]})
        return
    if not found:
        print(f"no run {'is going on ' if running else ''}in {runs_dir}; start one with scripts/run")
        return
    from rich.console import Console

    wide = None if sys.stdout.isatty() else _TABLE  # cut to a terminal, never in a file
    Console(highlight=False, width=wide).print(_table(found))


def _table(found: "list[Summary]") -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from app.live_view import clock
    from app.phrases import size

    table = Table(box=SIMPLE, pad_edge=False)
    for column in ("run", "began", "state", "what"):
        table.add_column(column, no_wrap=True)
    for column in ("rounds", "accuracy", "loss", "took", "size"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in found:
        began = datetime.fromtimestamp(each.began).strftime("%m-%d %H:%M") if each.began else "-"
        state = f"{each.state} {each.error}".strip()
        numbers = ("-" if value is None else f"{value:.4f}" for value in (each.accuracy, each.loss))
        took = "-" if each.seconds is None else clock(each.seconds)
        what = each.task if each.job == "train" else f"{each.job} {each.task}"
        table.add_row(
            each.id, began, Text(state, style=_COLOURS.get(each.state, "")), what, f"{each.done}/{each.rounds}",
            *numbers, took, size(each.size),
        )  # fmt: skip
    return table
