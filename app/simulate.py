"""A simulated run from Python: `simulate(task="digits", rounds=3)`, in a script or a notebook.

Decides: that the run is a process of its own, exactly that of the command line, so that a notebook keeps its signals,
its children and its torch; and what of it is handed back. Refuses to know how a run goes (`app.launcher`).
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import tomli_w

from app.config import RunConfig
from app.run_directory import RunDirectory, read_lines
from app.run_keys import kebab
from arithmetic.errors import ChorusError, ConfigError, SetupError

if TYPE_CHECKING:
    import numpy as np

REPOSITORY: Final = Path(__file__).resolve().parent.parent
_USERS: Final[dict[int, type[ChorusError]]] = {2: ConfigError, 4: SetupError}
_OPENING: Final = ("run_started", "run_resumed")
Event = Mapping[str, Any]


class RunFailed(RuntimeError):
    """The run ended without a result; its text is the run's own last line, which has the code of what went wrong."""


@dataclass(frozen=True)
class Run:
    """A finished run, as it lies on disk."""

    directory: RunDirectory

    @property
    def path(self) -> Path:
        """Of `runs/<id>`."""
        return self.directory.path

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """One mapping a server round: accuracy, loss, bytes, seconds, survivors; the last judges the final model."""
        return list(read_lines(self.directory.metrics))

    @property
    def result(self) -> dict[str, Any]:
        """The last word: accuracy and loss of the final model, rounds aggregated, seconds."""
        return self.directory.last_word()

    def model(self) -> "dict[str, np.ndarray[Any, Any]]":
        """The final model: name to array; `clients.updates.load_arrays` puts it into a torch module."""
        from safetensors.numpy import load

        return dict(load(self.directory.model.read_bytes()))


def simulate(
    *,
    runs_dir: Path | str = "runs",
    on_event: Callable[[Event], None] | None = None,
    **keys: str | int | float | bool,
) -> Run:
    """Run once with simulated clients and wait for the end.

    Args:
        runs_dir: where `<id>/` is made.
        on_event: is handed every event as it happens.
        keys: of the run configuration (docs/configuration.md), with _ for -: `learning_rate=0.05`.

    Raises:
        ConfigError: a key or value that cannot be used, in one line.
        SetupError: this machine cannot run it.
        RunFailed: no sum could be had, or the run was stopped; the line says why.
    """
    table = {kebab(key): value for key, value in keys.items()}
    RunConfig.parse(table)  # at once, before a process is started
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "keys.toml")
        file.write_text(tomli_w.dumps(table), encoding="utf-8")
        command = [
            sys.executable,
            "-P",
            "-m",
            "app",
            "run",
            "--json",
            "--runs-dir",
            str(Path(runs_dir).absolute()),
        ]
        with tempfile.TemporaryFile() as errors:
            identity, code = _followed([*command, "-c", str(file)], errors, on_event)
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
    if code:
        raise _told(said[-1] if said else "", code)
    return Run(RunDirectory.open(Path(runs_dir, identity)))


def _told(line: str, code: int) -> Exception:
    """The launcher's last word as an error: one JSON object, or a plain line."""
    try:
        error = json.loads(line)["error"]
        number, message = str(error["code"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        return RunFailed(line or f"the run ended with exit code {code}")
    kind = _USERS.get(code)
    return kind(message) if kind else RunFailed(f"{number}  {message}")


def _followed(
    command: list[str], errors: IO[bytes], on_event: Callable[[Event], None] | None
) -> tuple[str, int]:
    """Hand on what the run tells; its id and exit code. The run ends with us, whatever ends us."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    identity = ""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                event = json.loads(line)
                identity = event.get("run", identity) if event.get("event") in _OPENING else identity
                if on_event:
                    on_event(event)
        except BaseException:
            process.terminate()  # its own children go with it
            raise
    return identity, process.returncode
