"""The run directory: what one run leaves behind, and the only door through which it is written.

`runs/<id>/` holds `config.toml`, `events.jsonl`, `metrics.jsonl`, `model.safetensors`, `checkpoints/` and
`superlink.log`. This module decides the names, that a line is written whole and at once, that a
model is there entirely or not at all, and that nothing but plain JSON gets in: ids, counts and
short texts. It refuses to know what an event means, and it refuses bytes, arrays and integers of
more than 64 bits, for that is what a secret looks like.
"""

import contextlib
import json
import logging
import os
import secrets
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import tomli_w

from app.config import RunConfig
from app.durable import held, write_whole
from app.plain_json import plain
from arithmetic.errors import ConfigError, SetupError

if TYPE_CHECKING:
    import numpy as np

_MOST_UNWRITTEN: Final = 10_000
_WORDS: Final = ("run_started", "run_resumed", "run_finished", "run_failed")
_log = logging.getLogger("chorus.server")


class RunBusy(ConfigError):
    """Another process is at work on the run."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A directory that exists; `path` is absolute."""

    path: Path
    _unwritten: list[tuple[Path, Mapping[str, object]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    @classmethod
    def create(cls, root: Path, config: RunConfig) -> Self:
        """Make `root/<id>/` with its config.toml; the id is the UTC time and four hex digits.

        Raises:
            SetupError: the folder cannot be written.
        """
        while True:
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
            path = root.absolute() / name
            if not path.exists():
                return cls._make(path, config)

    @classmethod
    def at(cls, path: Path, config: RunConfig) -> Self:
        """Make exactly `path`, which must be new or empty (the key `run-dir`).

        Raises:
            ConfigError: something is there already; a run never writes over another.
            SetupError: the folder cannot be written.
        """
        path = path.absolute()
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(f"run-dir = {path} is not empty; name a new folder, or leave it out")
        return cls._make(path, config)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Use a directory that another process made, as the ServerApp does with the launcher's.

        Raises:
            SetupError: there is no such directory.
        """
        if not path.is_dir():
            raise SetupError(f"run directory {path} is not there; start runs with scripts/run")
        return cls(path.absolute())

    @classmethod
    def _make(cls, path: Path, config: RunConfig) -> Self:
        made = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise made._not_written(error) from None
        made.record(config)
        return made

    def record(self, config: RunConfig) -> None:
        """Write config.toml.

        Raises:
            SetupError: the folder cannot be written.
        """
        # Without the run's place, so that the file can be given to the next run as it stands.
        table = config.table() | {"run-dir": "", "resume": ""}
        try:
            write_whole(self.path / "config.toml", tomli_w.dumps(table).encode())
        except OSError as error:
            raise self._not_written(error) from None

    def recorded(self) -> RunConfig:
        """What config.toml says.

        Raises:
            ConfigError: there is no run here, or not one that this version can read.
        """
        try:
            table = tomllib.loads((self.path / "config.toml").read_text(encoding="utf-8"))
            return RunConfig.parse(table)
        except OSError:
            why = "it has no config.toml"
        except (ValueError, ConfigError) as error:
            why = f"its config.toml cannot be used: {error}"
        raise ConfigError(f"{self.path} holds no run: {why}; name the directory of one, such as runs/<id>")

    @contextlib.contextmanager
    def at_work(self, mark: Path) -> Iterator[None]:
        """Be the one process at work on this run.

        Args:
            mark: what is held: `log` by the launcher, `events` by the server.

        Raises:
            RunBusy: another process is.
            SetupError: the folder cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                alone = stack.enter_context(held(mark))
            except OSError as error:
                raise self._not_written(error) from None
            if not alone:
                raise RunBusy(f"run {self.id} is still going; wait for its end, or stop it first")
            yield

    def _not_written(self, error: OSError) -> SetupError:
        return SetupError(
            f"run directory {self.path} cannot be written ({error.strerror}); name another one with --runs-dir"
        )

    @property
    def id(self) -> str:
        """Name of the run: the last part of the path."""
        return self.path.name

    @property
    def events(self) -> Path:
        """One JSON object a line: what happened, in order."""
        return self.path / "events.jsonl"

    @property
    def metrics(self) -> Path:
        """One JSON object a finished server round."""
        return self.path / "metrics.jsonl"

    @property
    def model(self) -> Path:
        """The latest global model."""
        return self.path / "model.safetensors"

    def transcript(self, flower_run: int) -> Path:
        """The server's transcript of one Flower run; a resumed run has another."""
        return self.path / "transcripts" / f"server-{flower_run}.jsonl"

    @property
    def log(self) -> Path:
        """What Flower and Ray said."""
        return self.path / "superlink.log"

    @property
    def checkpoints(self) -> Path:
        """One file for each of the last server rounds (`app.checkpoint`)."""
        return self.path / "checkpoints"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is any, usable or not."""
        return any(self.checkpoints.glob("*.checkpoint"))

    def last_word(self) -> dict[str, Any]:
        """The last event that says how the run stands; empty when there is none."""
        last: dict[str, Any] = {}
        for event in read_lines(self.events):
            if event.get("event") in _WORDS:
                last = event
        return last

    def emit(self, event: str, **fields: object) -> None:
        """Append one line to events.jsonl; a `round_finished` goes to metrics.jsonl as well.

        A line that the disk does not take waits for the next one: no event costs a run.

        Args:
            event: its name.
            fields: plain JSON: texts (cut to 500 characters), numbers, lists, mappings.
                NaN and infinity become null.

        Raises:
            TypeError: not plain JSON, such as bytes, an array or an integer above 64 bits.
        """
        line = {"time": time.time(), "event": event} | {k: plain(v) for k, v in fields.items()}
        self._unwritten.append((self.events, line))
        if event == "round_finished":
            self._unwritten.append((self.metrics, line))
        del self._unwritten[:-_MOST_UNWRITTEN]
        try:
            while self._unwritten:
                _append(*self._unwritten[0])
                del self._unwritten[0]
        except OSError as error:
            _log.warning("ENV: event %s waits: %s", event, error.strerror)

    def save_model(self, tensors: "Mapping[str, np.ndarray]") -> Path:
        """Write model.safetensors (temporary file, fsync, rename): no reader sees half a model.

        Args:
            tensors: name to array, any shape, of a dtype that safetensors knows.

        Returns:
            The path of the file.

        Raises:
            SetupError: it cannot be written; the earlier one, if any, stands.
        """
        import numpy as np
        from safetensors.numpy import save

        data = save({name: np.asarray(array, order="C") for name, array in tensors.items()})
        try:
            write_whole(self.model, data)
        except OSError as error:
            raise SetupError(
                f"the final model cannot be written to {self.model} ({error.strerror}); make room there, then "
                "continue the run from its checkpoint"
            ) from None
        return self.model


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of a .jsonl file; torn lines are left out, a missing file is empty."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for raw in file:
            event = parse_line(raw)
            if event is not None:
                yield event


def parse_line(raw: bytes) -> dict[str, Any] | None:
    """One line as an object; None when it is torn (no newline, broken JSON) or no object."""
    if not raw.endswith(b"\n"):
        return None
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _append(path: Path, line: Mapping[str, object]) -> None:
    data = json.dumps(line, allow_nan=False, ensure_ascii=False).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        # A writer that died in mid-line must cost its own line only, not this one too.
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
