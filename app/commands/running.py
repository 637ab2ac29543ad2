"""The commands `run` and `resume`: one simulated run on this machine, from the first line to the exit code.

Decides: options, and what is shown where. Refuses to start anything before the configuration has been checked.
"""

from pathlib import Path

import typer

from app.asking import configuration, device_of
from app.commands import options
from app.config import parse_overrides
from app.finding_runs import find_run
from app.launcher import Request, launch
from app.resuming import continued
from app.screen import screen
from app.telling import complain, show_log


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(resume)


def run(
    settings: options.Settings = None,
    drops: options.Drops = None,
    gpu: options.Gpu = None,
    runs_dir: options.RunsDir = options.RUNS,
    keep: options.Keep = False,
    quiet: options.Quiet = False,
    plain: options.PlainLines = False,
    as_json: options.EventLines = False,
) -> None:
    """Train once with simulated clients on this machine."""
    config = configuration(settings or [], drops or [], gpu)
    _launch(Request(config, runs_dir, keep), quiet, plain, as_json)


def resume(
    name: options.Run = "",
    settings: options.Settings = None,
    gpu: options.Gpu = None,
    runs_dir: options.RunsDir = options.RUNS,
    keep: options.Keep = False,
    quiet: options.Quiet = False,
    plain: options.PlainLines = False,
    as_json: options.EventLines = False,
) -> None:
    """Continue a simulated run from its last checkpoint, with the configuration it began with."""
    directory = find_run(name, runs_dir)
    given = parse_overrides(settings or []) | ({} if gpu is None else {"device": device_of(gpu)})
    config = continued(directory, given)
    _launch(Request(config, Path(directory.path).parent, keep), quiet, plain, as_json)


def _launch(request: Request, quiet: bool, plain: bool, as_json: bool) -> None:
    name = Path(request.config.resume).name if request.config.resume else ""
    with screen(name, request.config.rounds, quiet=quiet, as_json=as_json, plain=plain) as shown:
        code = launch(request, shown.say, shown.show, complain, show_log)
    raise typer.Exit(code)
