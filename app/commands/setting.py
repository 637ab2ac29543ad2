"""The commands `config show` and `config check`: which settings there are, and whether some of them will do.

Decides: what is printed. Refuses to start a run.
"""

import json

import typer

from app.asking import configuration
from app.commands import options
from app.config import FIELDS, RunConfig, allowed, defaults
from app.ring_keys import RING


def register(app: typer.Typer) -> None:
    """Add the commands; `keys` is what `config show` was called before."""
    config = typer.Typer(help="Show every setting, or check some.", rich_markup_mode=None)
    config.command("show")(show)
    config.command("check")(check)
    app.add_typer(config, name="config")
    app.command("keys", hidden=True)(show)


def show(as_json: options.AsJson = False) -> None:
    """List every key of the run configuration: default, what it takes, what it is."""
    standard = defaults()
    if as_json:
        keys = {
            key: {"default": standard[key], "takes": allowed(key), "description": field.description}
            for key, field in FIELDS.items()
        }
        options.print_document({"settings": keys})
        return
    for key, field in FIELDS.items():
        print(f"{key} = {json.dumps(standard[key])}\n    {field.description}; {allowed(key)}")


def check(
    settings: options.Settings = None,
    drops: options.Drops = None,
    gpu: options.Gpu = None,
    as_json: options.AsJson = False,
) -> None:
    """Say whether a run could start like this, which settings are not the defaults, and what it would cost."""
    config = configuration(settings or [], drops or [], gpu)
    standard = defaults()
    changed = {key: value for key, value in config.table().items() if value != standard[key]}
    cost = _cost(config)
    if as_json:
        options.print_document({"config": config.table(), "changed": changed, "expected": cost})
        return
    for key, value in changed.items():
        print(f"{key} = {json.dumps(value)}")
    from app.progress import Progress

    for line in Progress(config.rounds).lines({"event": "run_expected", **cost}):
        print(line)
    print("good: a run can start with these settings")


def _cost(config: RunConfig) -> dict[str, object]:
    """Trips, bytes and memory, which need the model; nothing for jobs without one."""
    if config.job in (RING, "analytics") or config.adversary == "active":
        return {}
    from app.announcing import load_of
    from app.expected import expected
    from app.server_app import settings_of
    from clients.tasks import load_task
    from clients.updates import arrays_of, spec_of

    task, settings = load_task(config.task), settings_of(config)
    model = task.model(config.seed)
    load = load_of(config, settings, spec_of(model), task.metric_names, arrays_of(model))
    return dict(expected(settings, load).fields)
