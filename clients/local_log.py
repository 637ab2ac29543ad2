"""The client's own log: which device trained, on how many examples. It stays with the client.

Decides: where the line goes: a file beside the run in a simulation, whose workers' output Ray would carry to the
server's process line by line; else standard output of the node.
Refuses to know: the server, which never gets any of it.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class LocalLog:
    """One client's log; `path` is None on a real node."""

    path: Path | None

    @classmethod
    def of(cls, run_config: Mapping[str, object], node_config: Mapping[str, object], simulated: bool) -> Self:
        """The log of the client with these configurations; only a simulated one believes the run's `run-dir`."""
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
        self, purpose: str, server_round: int, device: str, examples: int, notes: Mapping[str, str | int]
    ) -> None:
        """One line after local work, with what private training noted; a simulated evaluation is not worth one."""
        if self.path is None:
            said = "".join(f", {name.replace('_', ' ')} {value}" for name, value in notes.items())
            print(f"chorus client: {purpose} in server round {server_round} on {device}{said}", flush=True)
            return
        if purpose != "training":
            return
        line = {"time": time.time(), "event": "trained", "server_round": server_round, "device": device}
        # A log that cannot be written costs the log, not the client's part in the session.
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line | {"examples": examples} | dict(notes)) + "\n")
