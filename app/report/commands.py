"""The verb `report` of the command line: the page of one run, or of two side by side.

Decides: options and what is printed. Refuses to know what is on a page, and to import it before it is asked for.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.finding_runs import find_run, near
from app.run_directory import RunDirectory

_Run = Annotated[
    str,
    typer.Argument(
        metavar="[RUN]",
        help="Directory of a run, its id or the beginning of it; default: the run that began last.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(report)


def report(
    run: _Run = "",
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", metavar="A B", help="Two runs on one page, in place of RUN."),
    ] = None,
    mlflow: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write the run into a local MLflow store as well (extra mlflow)."
        ),
    ] = None,
    runs_dir: Annotated[Path, typer.Option(help="Where runs are.")] = Path("runs"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what the page says as one JSON object.")
    ] = False,
) -> None:
    """Write the page of a run, whether it has ended or not: report.html, and MODEL_CARD.md beside a model."""
    if compare:
        one, other = (find_run(name, runs_dir) for name in compare)
        _say(_compared(one, other), as_json)
        return
    found = find_run(run, runs_dir)
    _say(_written(found, mlflow), as_json)


def _written(run: RunDirectory, mlflow: Path | None) -> dict[str, Any]:
    from app.report import export, files
    from app.report.story import read_story
    from app.report.summary import summary

    story = read_story(run)
    paths = files.write(run)
    if mlflow is not None:
        paths.append(export.to_mlflow(story, mlflow))
    return summary(story) | {"files": [near(path) for path in paths]}


def _compared(one: RunDirectory, other: RunDirectory) -> dict[str, Any]:
    from app.report import files
    from app.report.compare import comparison, differing
    from app.report.story import read_story

    stories = read_story(one), read_story(other)
    path = one.path.parent / f"compare-{one.id}-{other.id}.html"
    files.put(path, comparison(*stories))
    settings = {key: list(values) for key, values in differing(*stories)}
    return {"runs": [one.id, other.id], "differing": settings, "files": [near(path)]}


def _say(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    if "sentence" in told:
        print(f"{told['run']}: {told['state']}. {told['sentence']}")
    for path in told["files"]:
        print(f"written: {path}")
