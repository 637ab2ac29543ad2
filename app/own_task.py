"""A task of the user's own: whether it will reach the clients, and whether it does what a run asks of it.

Decides: that a module which does not travel with the app is refused before anything starts, and that a task is tried
once on the first client's data. Refuses to know what a task is asked (`clients.tasks.trial`), and which are built in.
"""

import importlib.util
import tomllib
from pathlib import Path
from typing import Final

from app.config import RunConfig
from arithmetic.errors import ConfigError

REPOSITORY: Final = Path(__file__).resolve().parent.parent


def is_own(config: RunConfig) -> bool:
    """Whether the run's task is a module of the user's."""
    return "." in config.task and config.job != "analytics"


def try_own(config: RunConfig) -> str:
    """Try the task as the first of a simulated run's clients would; a line that says what was found.

    Raises:
        ConfigError: it would fail in a run, or its module would not be there; one line that says what to mend.
        ChorusError: as a client would say it.
    """
    from clients.tasks import DataSource, load_task
    from clients.tasks.trial import tried  # torch: only where there is a task to try

    _check_travels(config.task)
    task = load_task(config.task)

    source = DataSource(config.data_path, 0, config.clients, config.partition, config.dirichlet_alpha)
    clipped = "local" in config.privacy or config.privacy == "distributed"
    found = tried(task, source, config.validation_fraction, config.seed, config.batch_size, clipped)
    return f"task {task.name}: {found.line}"


def _check_travels(name: str) -> None:
    """Flower hands clients the files that pyproject.toml names, not whatever can be imported here."""
    package = name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return  # `load_task` says it better
    places = [Path(place).resolve() for place in (spec.submodule_search_locations or () if spec else ())]
    if REPOSITORY / package not in places:
        return  # nothing there, or installed where the run's programs find it too
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["flwr"]["app"]["fab-include"]
    if not any(str(pattern).startswith(f"{package}/") for pattern in included):
        raise ConfigError(
            f"task {name} would not reach the clients, as {package}/ is no part of the app; move it into examples/, "
            f'or add "{package}/**/*.py" to fab-include in pyproject.toml'
        )
