"""Snapshots on disk: one file a server round below `checkpoints/`, the last two kept.

A file is one line of JSON (format version, run, digest of its configuration, SHA-256 of all that follows), a second one
with the snapshot's numbers, and the arrays as safetensors. Decides: that layout, that a file which is torn, changed, of
another version, run or configuration is refused by name and the one before it used, and that a disk which takes no file
costs no server round.
Refuses to know: what a snapshot is for (`strategies.snapshot`), and pickle.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from app.config import RunConfig
from app.durable import write_whole
from app.resuming import NoCheckpoint, configuration_digest
from app.run_directory import RunDirectory
from arithmetic.errors import SetupError
from strategies.snapshot import Arrays, Snapshot
from wire.rounds import Purpose

FORMAT: Final = 1

_KEPT: Final = 2
_LONGEST_HEADER: Final = 4096
_Count = Annotated[int, Field(ge=0)]


class CheckpointRefused(SetupError):
    """One file is not used; the message says why, and names it."""


class _Numbers(BaseModel):
    """All of a snapshot but its arrays; of those the names, in order."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    server_round: _Count
    adapted: Annotated[float, Field(ge=0.0)]
    aggregated: tuple[_Count, ...]
    planned: dict[Purpose, _Count]
    group_of: dict[int, _Count]
    asked: _Count
    model: tuple[str, ...]
    inner: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        return cls(
            server_round=snapshot.server_round,
            adapted=snapshot.adapted,
            aggregated=snapshot.aggregated,
            planned=dict(snapshot.planned),
            group_of=dict(snapshot.group_of),
            asked=snapshot.asked,
            model=tuple(snapshot.model),
            inner={attribute: tuple(arrays) for attribute, arrays in snapshot.inner.items()},
        )

    def with_arrays(self, arrays: Arrays) -> Snapshot:
        return Snapshot(
            self.server_round,
            {name: arrays[f"model/{name}"] for name in self.model},
            {at: {name: arrays[f"inner/{at}/{name}"] for name in names} for at, names in self.inner.items()},
            self.adapted,
            self.aggregated,
            self.planned,
            self.group_of,
            self.asked,
        )


class Checkpoints:
    """The checkpoints of one run; the process that makes this is the only one at work on it.

    Args:
        directory: of the run.
        config: its configuration.
    """

    def __init__(self, directory: RunDirectory, config: RunConfig) -> None:
        self._directory = directory
        self._configuration = configuration_digest(config)
        self._good: list[int] = []
        self._unwritten: Snapshot | None = None

    def keep(self, snapshot: Snapshot) -> None:
        """Write a snapshot. One that cannot be written is told of, waits in memory, and gives way to the next."""
        self._unwritten = snapshot
        self.retry()

    def retry(self) -> None:
        """Write the snapshot that waits, if any does."""
        if self._unwritten is None:
            return
        number = self._unwritten.server_round
        try:
            self._directory.checkpoints.mkdir(exist_ok=True)
            write_whole(self._path(number), *self._parts(self._unwritten))
        except OSError as error:
            self._directory.emit(
                "checkpoint_failed", server_round=number, code="ENV",
                reason=f"the checkpoint cannot be written ({error.strerror}); the run goes on, the earlier one stands, "
                "and it is tried again: make room in the run's directory",
            )  # fmt: skip
            return
        self._unwritten = None
        self._forget_older(number)

    def latest(self) -> Snapshot:
        """The newest snapshot that can be used; every newer file is refused by name in an event.

        Raises:
            NoCheckpoint: there is none.
        """
        folder, numbers = self._directory.checkpoints, sorted(self._numbers())
        for left in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
            with contextlib.suppress(OSError):
                left.unlink()
        while numbers:
            try:
                snapshot = self._read(numbers[-1])
            except CheckpointRefused as error:
                name = self._path(numbers.pop()).name
                self._directory.emit("checkpoint_refused", file=name, code=error.code, reason=str(error))
                continue
            self._good = numbers
            return snapshot
        raise NoCheckpoint(
            f"no checkpoint of run {self._directory.id} can be used, so nothing is continued; start the run anew"
        )

    def _path(self, number: int) -> Path:
        return self._directory.checkpoints / f"{number}.checkpoint"

    def _numbers(self) -> Iterator[int]:
        for path in self._directory.checkpoints.glob("*.checkpoint"):
            if path.stem.isascii() and path.stem.isdigit() and path.stem == str(int(path.stem)):
                yield int(path.stem)

    def _forget_older(self, written: int) -> None:
        self._good = [*(number for number in self._good if number != written), written]
        while len(self._good) > _KEPT:
            with contextlib.suppress(OSError):
                self._path(self._good.pop(0)).unlink(missing_ok=True)

    def _parts(self, snapshot: Snapshot) -> tuple[bytes, bytes, bytes]:
        numbers = _Numbers.of(snapshot).model_dump_json().encode() + b"\n"
        named = {f"model/{name}": array for name, array in snapshot.model.items()}
        for attribute, arrays in snapshot.inner.items():
            named |= {f"inner/{attribute}/{name}": array for name, array in arrays.items()}
        tensors = save({name: np.asarray(array, order="C") for name, array in named.items()})
        digest = hashlib.sha256(numbers)
        digest.update(tensors)
        header = self._header(digest.hexdigest())
        return json.dumps(header, separators=(",", ":")).encode() + b"\n", numbers, tensors

    def _header(self, digest: str) -> dict[str, object]:
        return {
            "format": FORMAT, "run": self._directory.id, "configuration": self._configuration, "sha256": digest,
        }  # fmt: skip

    def _read(self, number: int) -> Snapshot:
        path = self._path(number)
        try:
            line, _, payload = path.read_bytes().partition(b"\n")
        except OSError as error:
            raise CheckpointRefused(f"{path.name} cannot be read ({error.strerror})") from None
        self._check_header(path.name, line, payload)
        numbers, _, tensors = payload.partition(b"\n")
        try:
            snapshot = _Numbers.model_validate_json(numbers).with_arrays(_loaded(tensors))
        except (ValidationError, SafetensorError, KeyError):
            raise CheckpointRefused(f"{path.name} does not hold what this version writes") from None
        if snapshot.server_round != number:
            raise CheckpointRefused(f"{path.name} is of server round {snapshot.server_round}: it was renamed")
        return snapshot

    def _check_header(self, name: str, line: bytes, payload: bytes) -> None:
        header = _parsed(line)
        wanted = self._header(hashlib.sha256(payload).hexdigest())
        version = header.get("format")
        if type(version) is int and version != FORMAT:
            raise CheckpointRefused(f"{name} is of format {version}, and this version reads {FORMAT}")
        if type(version) is not int or set(header) != set(wanted) or header["sha256"] != wanted["sha256"]:
            raise CheckpointRefused(f"{name} is torn or was changed")
        for key, words in (("run", "another run"), ("configuration", "another configuration")):
            if header[key] != wanted[key]:
                raise CheckpointRefused(f"{name} is of {words}")


def _parsed(line: bytes) -> Mapping[str, object]:
    try:
        header = json.loads(line) if len(line) <= _LONGEST_HEADER else None
    except (ValueError, RecursionError):
        header = None
    return header if isinstance(header, dict) else {}


def _loaded(tensors: bytes) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = load(tensors)
    return arrays
