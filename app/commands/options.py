"""Options that more than one command has, and the one way in which a document is printed.

Decides: their names and help. Refuses to know any command.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "-c", "--set", metavar="KEY=VALUE", help="Override a key, or all of a file.toml; may be repeated."
    ),
]
Drops = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="SPEC", help="Clients vanish, e.g. 2@r2:round3; may be repeated."),
]
Gpu = Annotated[
    str | None,
    typer.Option(
        "--gpu", metavar="WHICH", help="auto, none, all, or the number of one; sets the key device."
    ),
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep Flower's working files.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only.")]
PlainLines = Annotated[bool, typer.Option("--plain", help="Lines instead of the live view.")]
EventLines = Annotated[bool, typer.Option("--json", help="Print events as JSON lines, nothing else.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
RunsDir = Annotated[Path, typer.Option(help="Where runs are.")]
Run = Annotated[
    str,
    typer.Argument(
        metavar="[RUN]",
        help="Path of a run, the beginning of its id or of its last four digits; none: the latest.",
    ),
]
RUNS: Path = Path("runs")


def print_document(document: Mapping[str, object]) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))
