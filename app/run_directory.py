"""The run directory: what one run leaves behind, and the only door through which it is written.

`runs/<id>/` holds `config.toml`, `events.jsonl`, `metrics.jsonl`, `model.safetensors` and
`superlink.log`. This module decides the names, that a line is written whole and at once, that a
model is there entirely or not at all, and that nothing but plain JSON gets in: ids, counts and
short texts. It refuses to know what an event means, and it refuses bytes, arrays and integers of
more than 64 bits, for that is what a secret looks like.
"""

import json
import math
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import tomli_w

from app.config import RunConfig
from arithmetic.errors import ConfigError, SetupError

if TYPE_CHECKING:
    import numpy as np

_LONGEST_TEXT: Final = 500
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A directory that exists; `path` is absolute."""

    path: Path

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
        # Without run-dir, so that the file can be given to the next run as it stands.
        table = config.table() | {"run-dir": ""}
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / "config.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        except OSError as error:
            raise SetupError(
                f"run directory {path} cannot be written ({error.strerror}); name another one with --runs-dir"
            ) from None
        return cls(path)

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

    @property
    def log(self) -> Path:
        """What Flower and Ray said."""
        return self.path / "superlink.log"

    def emit(self, event: str, **fields: object) -> None:
        """Append one line to events.jsonl; a `round_finished` goes to metrics.jsonl as well.

        Args:
            event: its name.
            fields: plain JSON: texts (cut to 500 characters), numbers, lists, mappings.
                NaN and infinity become null.

        Raises:
            TypeError: not plain JSON, such as bytes, an array or an integer above 64 bits.
        """
        line = {"time": time.time(), "event": event} | {k: _plain(v) for k, v in fields.items()}
        _append(self.events, line)
        if event == "round_finished":
            _append(self.metrics, line)

    def save_model(self, tensors: "Mapping[str, np.ndarray]") -> Path:
        """Write model.safetensors (temporary file, fsync, rename): no reader sees half a model.

        Args:
            tensors: name to array, any shape, of a dtype that safetensors knows.

        Returns:
            The path of the file.
        """
        import numpy as np
        from safetensors.numpy import save

        data = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
        temporary = self.path / f".model-{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.model)
        finally:
            temporary.unlink(missing_ok=True)
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
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


def _plain(value: object, depth: int = 0) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if isinstance(value, Integral):
        return _small(int(value))
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {_key(k): _plain(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            items = sorted(value) if isinstance(value, set | frozenset) else value
            return [_plain(item, depth + 1) for item in items]
    raise TypeError(f"a {type(value).__name__} must not enter the run directory: plain JSON only")


def _key(key: object) -> str:
    if isinstance(key, str):
        return key[:_LONGEST_TEXT]
    if not isinstance(key, bool) and isinstance(key, Integral):
        return str(_small(int(key)))
    raise TypeError(f"a {type(key).__name__} cannot be a key in the run directory")


def _small(number: int) -> int:
    if abs(number) >= 2**64:
        raise TypeError("an integer above 64 bits must not enter the run directory")
    return number
