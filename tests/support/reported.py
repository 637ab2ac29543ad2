"""Runs to be told of: real ones, small, and events that no friendly server wrote."""

from pathlib import Path
from typing import Any

from app.config import RunConfig
from app.run_directory import RunDirectory
from tests.support.private_run import LINEAR, MODES
from tests.support.resumed import begin, serve
from tests.support.run import SMALL_RUN

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)> \x1b[2J & \"quotes\""


def shown_run(folder: Path) -> RunDirectory:
    """Five clients, three server rounds, one of which loses a client; with the demonstration."""
    directory = begin(folder, clients=5, rounds=3, drop="1@r2:round2", demonstration=True, seed=3)
    serve(directory)
    return directory


def private_run(folder: Path) -> RunDirectory:
    """Two server rounds with noise in the sum, and a target."""
    mode = {name: value for name, value in MODES["distributed"].items() if name != "noise-multiplier"}
    keys = {name.replace("-", "_"): value for name, value in mode.items()}
    directory = begin(
        folder, task=LINEAR, privacy="distributed", rounds=2, rounding="stochastic", epsilon=3.0, **keys
    )
    serve(directory)
    return directory


def failed_run(
    folder: Path, reason: str = "3 of 5 clients sent a masked input, threshold is 4"
) -> RunDirectory:
    """A run that a server ended after one round without a sum, and whose every text is `reason`."""
    directory = RunDirectory.at(folder, RunConfig.parse(SMALL_RUN | {"rounds": 4}))
    facts: dict[str, Any] = {"task": reason, "roster": reason, "versions": {"flwr": reason}, "clients": 5}
    directory.emit("run_started", **facts)
    trip: dict[str, Any] = {"server_round": 1, "purpose": "training", "protocol_round": "r2", "asked": 5}
    directory.emit(
        "protocol_round", **trip, missing=[7], refused={"8": reason}, bytes_up=1, bytes_down=2, seconds=0.5
    )
    directory.emit("misbehaviour", server_round=1, culprit=8, code="SHARE", reason=reason)
    directory.emit("round_failed", server_round=1, purpose="training", code="QUORUM", reason=reason)
    directory.emit("run_failed", code="QUORUM", reason=reason)
    return directory
