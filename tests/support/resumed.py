"""Runs of the real ServerApp in this process that end as if their process had been killed, and go on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from safetensors.numpy import load_file

from app import server_app
from app.client_app import app as client_app
from app.config import RunConfig
from app.run_directory import RunDirectory, read_lines
from tests.support.local_grid import LocalGrid, same_message
from tests.support.run import SMALL_RUN, at
from wire.rounds import ProtocolRound

NEAREST: dict[str, Any] = {"rounding": "nearest", "clients": 3}


class Killed(BaseException):
    """No handler of the server may catch it, as none would run in a process that was killed."""


def begin(folder: Path, **overrides: Any) -> RunDirectory:
    """A run directory as the launcher makes it, with `SMALL_RUN` and `overrides`."""
    keys = {name.replace("_", "-"): value for name, value in overrides.items()}
    return RunDirectory.at(folder, RunConfig.parse(SMALL_RUN | NEAREST | keys))


def serve(
    directory: RunDirectory,
    kill: Callable[[Message], Message | None] = same_message,
    grids: list[LocalGrid] | None = None,
    **changes: Any,
) -> None:
    """The whole ServerApp on this directory, from its beginning or (a key `resume`) from its last checkpoint.

    Args:
        directory: from `begin`.
        kill: sees every message on its way to a client; may raise `Killed`.
        grids: gets the grid.
        changes: keys that the command line names.
    """
    table = directory.recorded().table() | {"run-dir": str(directory.path)}
    table |= {name.replace("_", "-"): value for name, value in changes.items()}
    grid = LocalGrid(client_app, int(table["clients"]), table)
    grid.before = kill
    if grids is not None:
        grids.append(grid)
    server_app.main(grid, Context(1, 1, {}, RecordDict(), table))  # type: ignore[arg-type]


def go_on(directory: RunDirectory, grids: list[LocalGrid] | None = None, **changes: Any) -> None:
    """Resume it."""
    serve(directory, grids=grids, resume=str(directory.path), **changes)


def killed_at(protocol_round: ProtocolRound, server_round: int) -> Callable[[Message], Message | None]:
    """A `kill` at the first request of one protocol round of one server round."""

    def die(_: Message) -> None:
        raise Killed

    return at(protocol_round, die, group=str(server_round))


def model_of(directory: RunDirectory) -> dict[str, bytes]:
    """The final model, bit for bit."""
    return {name: array.tobytes() for name, array in load_file(directory.model).items()}


def events_of(directory: RunDirectory, name: str) -> list[dict[str, Any]]:
    """All events of one name."""
    return [event for event in read_lines(directory.events) if event["event"] == name]
