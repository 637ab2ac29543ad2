"""Thousands of server rounds in one process: whether memory, threads or open files grow.

    python -m bench.soak [--rounds N] [--flower] [--quick] [--json] [--save]

Without `--flower`: sessions of the real steps between four clients and an active server, one after the other, keys
carried from each to the next, every message and state as bytes; in every tenth one client vanishes before its vector.
With it: a real Flower simulation of the task `digits` (150 rounds unless said otherwise), server, clients and Ray
together; a figure for the record, since what Ray keeps is not ours.

Decides: what is sampled, and that the first fifth is warming up. Refuses to judge: the tests do.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from app.run_directory import read_lines
from bench.report import Row, finish, options_of
from secagg.bounds import Adversary
from secagg.params import SecAggParams
from tests.support.cohort import Cohort, check_exact, oracle_inputs

ROUNDS, FLOWER_ROUNDS = 10_000, 150
_CLIENTS = (1, 2, 3, 4)
_SAMPLES = 200
_PAGE = 4096


@dataclass(frozen=True)
class Sample:
    """What a process, or several, held after so many server rounds.

    Attributes:
        megabytes: of memory in use (resident).
        threads, files: how many.
    """

    rounds: int
    megabytes: float
    threads: int
    files: int


def sample(rounds: int, processes: list[int]) -> Sample:
    """Of these processes together; one that has just ended counts nothing."""
    held, threads, files = 0, 0, 0
    for process in processes:
        folder = Path("/proc") / str(process)
        try:
            held += int((folder / "statm").read_text().split()[1]) * _PAGE
            threads += len(list((folder / "task").iterdir()))
            files += len(list((folder / "fd").iterdir()))
        except OSError:
            continue
    return Sample(rounds, held / 1e6, threads, files)


def family(root: int) -> list[int]:
    """A process and all that it and its children started."""
    parents = {}
    for folder in Path("/proc").iterdir():
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (ValueError, OSError):
            continue
    found = [root]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def slope(samples: list[Sample]) -> float:
    """Megabytes a thousand server rounds, by least squares, without the first fifth."""
    steady = settled(samples)
    rounds = np.array([each.rounds for each in steady], dtype=float)
    return float(np.polyfit(rounds, [each.megabytes for each in steady], 1)[0]) * 1000


def settled(samples: list[Sample]) -> list[Sample]:
    """What came after warming up."""
    return samples[len(samples) // 5 :]


def steps(rounds: int) -> list[Sample]:
    """Sessions of the real steps in this process, a sample every so often.

    Raises:
        AssertionError: a sum was not exact.
    """
    own = [int(Path("/proc/self").readlink().name)]
    params = SecAggParams.complete(len(_CLIENTS), 24, 256, 3, 3, Adversary.ACTIVE, 1)
    inputs = oracle_inputs(_CLIENTS, params.tensor_length)
    cohort, found = Cohort(params, inputs, seed="soak"), []
    for number in range(1, rounds + 1):
        gone = {4: "r2"} if number % 10 == 0 else {}
        check_exact(cohort.run(gone), params, inputs, frozenset(_CLIENTS) - set(gone))
        if number % max(1, rounds // _SAMPLES) == 0:
            found.append(sample(number, own))
    return found


def flower(rounds: int) -> tuple[list[Sample], int, str]:
    """A real simulation: samples of all its processes, server rounds with a new model, and how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        command = [
            sys.executable, "-m", "app", "run", "-c", f"rounds={rounds}", "-c", f"run-dir={directory}",
            "-c", "local-epochs=1",
        ]  # fmt: skip
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        found: list[Sample] = []
        while run.poll() is None:
            done = _ended(directory / "metrics.jsonl")
            if done and (not found or done > found[-1].rounds):
                found.append(sample(done, family(run.pid)))
            time.sleep(0.5)
        failures = [line for line in read_lines(directory / "events.jsonl") if "failed" in line["event"]]
        told = "; ".join(str(line) for line in failures) or "no failure"
        return found, _ended(directory / "metrics.jsonl"), f"exit code {run.returncode}; {told}"


def _ended(metrics: Path) -> int:
    """Server rounds that a run has ended with a new model."""
    if not metrics.exists():
        return 0
    return sum(line["purpose"] == "training" for line in read_lines(metrics))


def rows(what: str, samples: list[Sample], target: str) -> Iterator[Row]:
    """Slope, level, and the widest range of threads and files after warming up."""
    steady = settled(samples)
    yield Row(f"{what}: memory slope", slope(samples), None, "MB/1000", target)
    yield Row(f"{what}: memory at the end", samples[-1].megabytes, None, "MB", "resident")
    for name, counts in (("threads", [s.threads for s in steady]), ("open files", [s.files for s in steady])):
        yield Row(
            f"{what}: {name}, most", max(counts), None, "", f"least {min(counts)}, at the end {counts[-1]}"
        )


def _measured(options: argparse.Namespace) -> Iterator[Row]:
    if not options.flower:
        rounds = 100 if options.quick else options.rounds or ROUNDS
        yield from rows(f"{rounds} rounds of the steps", steps(rounds), "at most 1")
        return
    rounds = 3 if options.quick else options.rounds or FLOWER_ROUNDS
    samples, ended, how = flower(rounds)
    case = f"{rounds} rounds of a simulation, all processes"
    yield Row(f"{case}: rounds that ended", ended, None, "", how)
    yield from rows(case, samples, "with Ray's own")


def main() -> None:
    """Soak."""
    parser = options_of("Whether thousands of server rounds leave anything behind.")
    parser.add_argument("--rounds", type=int, default=0, help="0: 10,000, and 150 with --flower")
    parser.add_argument("--flower", action="store_true", help="a real simulation")
    options = parser.parse_args()
    finish("soak-flower" if options.flower else "soak", _measured(options), options)


if __name__ == "__main__":
    main()
