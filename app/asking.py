"""From the arguments of a command line to a checked configuration.

Decides: how `-c`, `--drop` and `--gpu` become one configuration, and that a task of the user's own is tried with it.
Refuses to know the keys (`app.config`), and to start anything.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from app.config import RunConfig, parse_overrides
from app.own_task import is_own, try_own
from app.ring_keys import DEFAULTS, RING
from arithmetic.errors import ConfigError


def configuration(settings: Sequence[str], drops: Sequence[str], gpu: str | None = None) -> RunConfig:
    """The checked configuration of `-c`, `--drop` and `--gpu` arguments.

    Raises:
        ConfigError: one line, as `RunConfig.parse` and `parse_overrides` say it.
    """
    overrides = parse_overrides(settings)
    if gpu is not None:
        overrides["device"] = device_of(gpu)
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
    if is_own(config):
        print(try_own(config), file=sys.stderr, flush=True)
    return config


def device_of(gpu: str) -> str:
    """The key `device` that an argument of `--gpu` stands for.

    Raises:
        ConfigError: it is none.
    """
    named = {"auto": "auto", "none": "cpu", "all": "cuda"}
    if gpu.isascii() and gpu.isdigit():
        return f"cuda:{int(gpu)}"
    if gpu not in named:
        raise ConfigError(f"--gpu {gpu!r:.40} is none of auto, none, all and a number such as 0")
    return named[gpu]
