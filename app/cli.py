"""The command line: `run` starts one simulated run, `resume` continues one, `keys` lists the run configuration,
`ledger` says what was spent, `verify` what transcripts prove.

This module decides options and what goes to which stream; it refuses to start anything before the
configuration has been checked. A user's mistake is one line on standard error and exit code 2.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import click
import typer

from app.config import FIELDS, RunConfig, allowed, defaults, parse_overrides
from app.deployment import commands as deployment
from app.launcher import Event, Request, launch
from app.predictions.commands import predict
from app.progress import Progress
from app.resuming import continued
from app.ring_keys import DEFAULTS, RING
from app.run_directory import RunDirectory
from arithmetic.errors import ChorusError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
deployment.register(app)
app.add_typer(predict, name="predict")


@app.callback()
def chorus() -> None:
    """Private federated learning on Flower: the server sees masked sums only."""


Settings = Annotated[
    list[str] | None,
    typer.Option(
        "-c", "--set", metavar="KEY=VALUE", help="Override a key, or all of a file.toml; may be repeated."
    ),
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep Flower's working files.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print events as JSON lines, nothing else.")]


@app.command()
def run(
    settings: Settings = None,
    drops: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="SPEC", help="Clients vanish, e.g. 2@r2:round3; may be repeated."),
    ] = None,
    runs_dir: Annotated[Path, typer.Option(help="Where runs are written.")] = Path("runs"),
    keep: Keep = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train once with simulated clients on this machine."""
    config = configuration(settings or [], drops or [])
    _launch(Request(config, runs_dir, keep), quiet, as_json)


@app.command()
def resume(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of the run, such as runs/<id>.")],
    settings: Settings = None,
    keep: Keep = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Continue a simulated run from its last checkpoint, with the configuration it began with."""
    directory = RunDirectory(path.absolute())
    config = continued(directory, parse_overrides(settings or []))
    _launch(Request(config, path.parent, keep), quiet, as_json)


def _launch(request: Request, quiet: bool, as_json: bool) -> None:
    progress = Progress(request.config.rounds)

    def say(line: str) -> None:
        if not as_json:
            print(line, flush=True)

    def show_event(event: Event) -> None:
        if as_json:
            print(json.dumps(event), flush=True)
        elif not quiet:
            for line in progress.lines(event):
                say(line)

    raise typer.Exit(launch(request, say, show_event))


@app.command()
def keys() -> None:
    """List every key of the run configuration: default, what it takes, what it is."""
    standard = defaults()
    for key, field in FIELDS.items():
        print(f"{key} = {json.dumps(standard[key])}\n    {field.description}; {allowed(key)}")


@app.command()
def ledger(
    paths: Annotated[list[Path], typer.Argument(help="Ledgers of one client each.")],
    delta: Annotated[float, typer.Option(help="Of the guarantee.")] = 1e-5,
) -> None:
    """Say what was spent, from ledgers alone: one sentence a guarantee, of the client that spent most."""
    from app.privacy import guarantees  # the accountants: only here
    from privacy.guarantee import sentences

    for sentence in sentences(guarantees(paths, delta)):
        print(sentence)


@app.command()
def verify(
    nodes: Annotated[list[Path], typer.Argument(help="Transcripts of nodes.")],
    server: Annotated[
        list[Path], typer.Option(help="Transcript of the server; repeated, also what was put aside.")
    ],
    roster: Annotated[Path | None, typer.Option(help="Who belongs to the federation.")] = None,
    authority: Annotated[str, typer.Option(help="Public key that signed the roster, hexadecimal.")] = "",
    ledgers: Annotated[
        list[Path] | None, typer.Option("--ledger", help="Of a node; may be repeated.")
    ] = None,
    policies: Annotated[
        list[Path] | None, typer.Option("--policy", help="Of a node; may be repeated.")
    ] = None,
) -> None:
    """Say what transcripts prove of a run: one line a check; exit code 3 where something does not hold."""
    from app.findings import Verdict  # pydantic, accountants: only here
    from app.verify import verify as findings
    from app.verify_terms import Demands

    found = findings(server, nodes, Demands.load(roster, authority, policies or [], ledgers or []))
    for each in found:
        print(each.line)
    raise typer.Exit(3 if any(each.verdict is Verdict.FAILS for each in found) else 0)


def configuration(settings: list[str], drops: list[str]) -> RunConfig:
    """The checked configuration of `-c` and `--drop` arguments.

    Raises:
        ConfigError: one line, as `RunConfig.parse` and `parse_overrides` say it.
    """
    overrides = parse_overrides(settings)
    specs = [*([overrides["drop"]] if overrides.get("drop") else []), *drops]
    if specs:
        overrides["drop"] = ",".join(specs)
    config = RunConfig.parse({**(DEFAULTS if overrides.get("job") == RING else {}), **overrides})
    # In full: the run may be continued from another working directory.
    paths = {key: getattr(config, key) for key in ("data_path", "query")}
    full = {key: str(Path(path).expanduser().absolute()) for key, path in paths.items() if path}
    config = config.model_copy(update=full)
    if config.job == "analytics":
        from app.survey import check  # pydantic models of the query: only here

        check(config)
    return config


def main() -> int:
    """Entry of `python -m app`; never a traceback for a user's mistake."""
    try:
        code = app(standalone_mode=False)
    except ChorusError as error:
        print(error.line, file=sys.stderr)
        return 4 if error.code == "ENV" else 2
    except click.ClickException as error:
        print(f"CONFIG: {error.format_message()}; scripts/run --help lists options", file=sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    return code if isinstance(code, int) else 0
