"""The client's own log: which device trained, on how many examples, and how the model does on the client's own data.
It stays with the client.

Decides: where the lines go: a file beside the run in a simulation, whose workers' output Ray would carry to the
server's process line by line; on a node the file that its node config names `client-log`; without one a line on
standard output, which whoever runs the host may collect, and so without a number that follows from the data but what
private training notes.
Refuses to know: the server, which never gets any of it.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_NOTHING: Final[Mapping[str, float]] = {}


@dataclass(frozen=True)
class LocalLog:
    """One client's log; `path` is None on a node that names no file."""

    path: Path | None

    @classmethod
    def of(cls, run_config: Mapping[str, object], node_config: Mapping[str, object], simulated: bool) -> Self:
        """The log of the client with these configurations; only a simulated one believes the run's `run-dir`."""
        named = node_config.get("client-log")
        if isinstance(named, str) and Path(named).is_absolute():
            return cls(Path(named))
        folder, partition = run_config.get("run-dir", ""), node_config.get("partition-id")
        if (
            not simulated
            or not isinstance(folder, str)
            or not folder
            or partition is None
            or not Path(folder).is_dir()
        ):
            return cls(None)
        return cls(Path(folder) / "clients" / f"{partition}.jsonl")

    def trained(
        self,
        purpose: str,
        server_round: int,
        device: str,
        examples: int,
        notes: Mapping[str, str | int],
        metrics: Mapping[str, float] = _NOTHING,
    ) -> None:
        """One line after local work; an evaluation that measured nothing is not worth one.

        Args:
            purpose: training or evaluation.
            server_round: of the session; an evaluation's is the last one plus one.
            device: on which it was done.
            examples: of training: in the batch or the training data; of evaluation: in the validation data.
            notes: of private training.
            metrics: means over the client's own data, of the model that came in, and the training loss.
        """
        if self.path is None:
            said = "".join(f", {name.replace('_', ' ')} {value}" for name, value in notes.items())
            print(f"chorus client: {purpose} in server round {server_round} on {device}{said}", flush=True)
            return
        training = purpose == "training"
        if not training and not metrics:
            return
        line = {"time": time.time(), "event": "trained" if training else "evaluated"}
        line |= {"server_round": server_round, "device": device, "examples": examples, **notes, **metrics}
        # A log that cannot be written costs the log, not the client's part in the session.
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
