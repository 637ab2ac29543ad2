"""The commands `stop` and `clean`: ending a run, and throwing away what no run needs any more.

Decides: that nothing is thrown away without --yes. Refuses to know what is a run's, and what is waste.
"""

from typing import Annotated

import typer

from app.catalogue import NOT_ENDED, Failure
from app.commands import options
from app.finding_runs import find_run, near, short_of
from app.invocation import command
from app.phrases import size
from app.telling import complain


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(stop)
    app.command()(clean)


def stop(
    name: options.Run = "",
    runs_dir: options.RunsDir = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """End a simulated run; what its last checkpoint holds is safe."""
    from app.stopping_runs import stop as end

    run = find_run(name, runs_dir)
    if left := end(run):
        complain(Failure(NOT_ENDED, f"processes {left} could not be ended; end them by hand"))
        raise typer.Exit(4)
    if as_json:
        options.print_document({"stopped": run.id, "can_resume": run.has_checkpoint})
        return
    print(f"stopped {run.id}; nothing of it is left running")
    if run.has_checkpoint:
        print(f"next: {command()} resume {short_of(run)}")


def clean(
    runs_dir: options.RunsDir = options.RUNS,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also checkpoints of runs that have finished.")
    ] = False,
    days: Annotated[
        float | None,
        typer.Option(
            "--older-than", min=0, help="Also whole runs, models too, that ended this many days ago."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would go.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Free the disk of what killed and old runs left; never a model without being asked."""
    from app.cleaning import throw_away, waste

    found = waste(runs_dir, checkpoints=checkpoints, days=days)
    total = sum(each.size for each in found)
    if yes:
        throw_away(found)
    if as_json:
        each_of = [{"path": str(each.path), "what": each.what, "bytes": each.size} for each in found]
        options.print_document({"freed": yes, "bytes": total, "found": each_of})
        return
    for each in found:
        print(f"{size(each.size):>8}  {near(each.path)}: {each.what}")
    how = "" if yes or not found else f"; to do it: {command()} clean --yes, with the same options"
    print(f"{'freed' if yes else 'would free'} {size(total)}{how}")
