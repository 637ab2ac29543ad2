"""The two `flwr` commands of a run: `run` hands the app over, `ls` says how it ended.

This module decides their arguments and reads their answers; it refuses to import Flower, which
would cost the launcher a second before its first line.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from app import superlink
from app.accelerators import Workers
from app.config import RunConfig, defaults
from app.ring_keys import RING
from app.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Flower:
    """The two `flwr` commands of a run."""

    app: Path
    config: RunConfig
    home: superlink.Home
    env: Mapping[str, str]
    directory: RunDirectory
    workers: Workers

    @property
    def output(self) -> Path:
        """What `flwr run` prints while the run goes on."""
        return self.home.flower / "flwr-run.log"

    def run(self) -> subprocess.Popen[bytes]:
        """Hand the app to our SuperLink; the process lives as long as the run."""
        overrides = self.home.flower / "overrides.toml"
        overrides.write_text(tomli_w.dumps(_overrides(self.config, self.directory)))
        federation = [f"num-supernodes={self.config.clients}", *self.workers.federation]
        command = [*_flwr("run"), str(self.app), superlink.CONNECTION, "--stream"]
        command += ["--federation-config", " ".join(federation), "-c", str(overrides)]
        with self.output.open("wb") as output:
            return subprocess.Popen(
                command,
                env=self.env,
                cwd=self.home.empty,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def keep_output(self) -> None:
        """Put what the ServerApp and the clients printed, tracebacks too, below SuperLink's log."""
        if self.output.exists():
            with self.directory.log.open("ab") as log:
                log.write(b"== output of flwr run --stream\n" + self.output.read_bytes())

    def status(self) -> tuple[str, str]:
        """Flower's own word on the run; ("", last line of `flwr run`) when it never started one."""
        said = self.output.read_text(errors="replace")
        number = re.search(r"Successfully started run (\d+)", said)
        if number is None:
            return "", _unboxed(said)
        command = [*_flwr("ls"), superlink.CONNECTION, "--run-id", number[1], "--format", "json"]
        try:
            answer = subprocess.run(
                command,
                env=self.env,
                cwd=self.home.empty,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "unknown", "flwr ls gave no answer for a minute"
        return read_status(answer.stdout)


def _unboxed(said: str) -> str:
    """Flower's error message without its box, in one line."""
    words = said.translate({ord(char): " " for char in "│╭╰─╮╯"}).split()
    return " ".join(words) or "it said nothing"


def read_status(text: str) -> tuple[str, str]:
    """`status` and `status-details` of the only run in the JSON of `flwr ls`, or "unknown"."""
    try:
        run = json.loads(text[text.index("{") :])["runs"][0]
        return str(run["status"]), str(run["status-details"] or "")
    except (ValueError, LookupError, TypeError):
        return "unknown", "flwr ls gave no answer that could be read"


def _overrides(config: RunConfig, directory: RunDirectory) -> dict[str, str | int | float | bool]:
    """Values that differ from the defaults; paths made absolute, for Flower works elsewhere."""
    standard = defaults()
    changed = {key: value for key, value in config.table().items() if value != standard[key]}
    if config.data_path:
        changed["data-path"] = str(Path(config.data_path).expanduser().absolute())
    if (config.adversary == "active" or config.job == RING) and not config.roster:
        from app.simulated_roster import lay_identities  # cryptography: only where needed

        changed |= lay_identities(directory.path, config.clients)
    return changed | {"run-dir": str(directory.path)}


def _flwr(command: str) -> list[str]:
    return [str(Path(sys.executable).with_name("flwr")), command]
