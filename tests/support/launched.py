"""A command of the launcher, run to its end as a user would."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Finished:
    """One finished command and the run directory it left."""

    exit_code: int
    output: str
    errors: str
    directory: Path


def run(command: list[str], runs: Path, tree: Path = ROOT) -> Finished:
    """Run `command` in `tree`; its run directory lies below `runs`."""
    whole = [*command, "--runs-dir", str(runs)]
    done = subprocess.run(whole, cwd=tree, capture_output=True, text=True, timeout=300, check=False)
    made = sorted(runs.iterdir())
    return Finished(done.returncode, done.stdout, done.stderr, made[-1] if made else runs)
