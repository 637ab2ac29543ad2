"""Five hospitals learn together: each alone, all around the ring, all under masks; how well, and how long.

    python -m bench.hospitals [--quick] [--json] [--save]

Decides: what is compared. Both runs are `scripts/run`'s own with the same data, training and steps of fixed point, so
their models must be equal bit by bit: a run of this command in which they are not ends with that. The time of a server
round is the median of the steady ones, in a simulation, which hands out messages every 0.1 s; that of a sum is the
processor time of all sides together, without transport and training.
Refuses to know: how the picture looks (`bench.hospitals_picture`). --quick: two rounds, a short key, for shape alone.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
from safetensors.numpy import load_file

from app.ring_keys import DEFAULTS
from app.ring_table import Table, table_of
from app.run_directory import RunDirectory, read_lines
from bench.paillier import HOSPITALS, VALUES, Federation
from bench.report import RESULTS, Row, finish, options_of, save
from bench.session import run_session
from paillier.keys import DEFAULT_BITS, LEAST_BITS, PrivateKey
from paillier.randomisers import FixedBase
from secagg.bounds import Adversary
from secagg.params import SecAggParams

ROOT = Path(__file__).resolve().parent.parent
# Of a masked session in scalars: weight, losses, one metric, counters.
SCALARS = 14
_REPEATS = 5


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        table: each hospital alone, and together.
        seconds: of the median server round, the first left out.
        bytes_up: received by the server in that round.
        arrays: the final model.
    """

    table: Table
    seconds: float
    bytes_up: int
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Compared:
    """What the picture shows: seconds of a server round and of a sum, by the way of summing."""

    table: Table
    rounds: Mapping[str, float]
    sums: Mapping[str, float]


def main() -> None:
    """Measure, print, keep."""
    options = options_of("Five hospitals: alone, around the ring, under masks.").parse_args()
    keep, options.save = options.save, False  # table and times are kept together
    compared: list[Compared] = []
    rows = finish("hospitals", _measured(options, compared), options)
    if keep:
        save("hospitals", {"rows": [asdict(row) for row in rows]} | asdict(compared[0]))
        from bench.hospitals_picture import draw

        draw(compared[0], RESULTS / "hospitals.png")


def _measured(options: Namespace, compared: list[Compared]) -> Iterator[Row]:
    bits = LEAST_BITS if options.quick else DEFAULT_BITS
    with tempfile.TemporaryDirectory(prefix="chorus-bench-") as folder:
        ring = _run(Path(folder) / "ring", {"job": "ring", "paillier-bits": bits}, options.quick)
        masks = _run(Path(folder) / "masks", {"job": "train", "modulus-bits": 64}, options.quick)
    if any(not np.array_equal(ring.arrays[name], masks.arrays[name]) for name in ring.arrays):
        raise SystemExit("ring and masks gave different models: no figure of this run may be believed")
    table = ring.table
    for number, (patients, alone) in enumerate(zip(table.patients, table.alone, strict=True), start=1):
        yield Row(
            f"{table.figure}, together against hospital {number} alone", table.together, alone, "",
            f"{patients} patients",
        )  # fmt: skip
    yield Row("server round, simulated: ring against masks", ring.seconds, masks.seconds, "s")
    yield Row("received in a server round: ring against masks", ring.bytes_up, masks.bytes_up, "B")
    sums = {"ring": _ring_sum(bits), "masks": _masked_sum()}
    what = f"{HOSPITALS} hospitals, {VALUES} weights, {bits} bits"
    yield Row(f"sum, {what}: ring against masks", sums["ring"], sums["masks"], "s", "processor, all sides")
    compared.append(Compared(table, {"ring": ring.seconds, "masks": masks.seconds}, sums))


def _run(folder: Path, settings: Mapping[str, str | int], quick: bool) -> Run:
    """One run of the launcher.

    Raises:
        SystemExit: it failed.
    """
    wanted = {**DEFAULTS, **({"rounds": 2} if quick else {}), **settings, "device": "cpu"}
    pairs = [word for key, value in wanted.items() for word in ("-c", f"{key}={value}")]
    command = [sys.executable, "-P", "-m", "app", "run", "--quiet", "--runs-dir", str(folder), *pairs]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the run failed: {done.stderr}")
    (made,) = folder.iterdir()
    directory = RunDirectory(made)
    lines = [line for line in read_lines(directory.metrics) if line["purpose"] == "training"]
    table = table_of(directory.recorded(), directory.model)
    if table is None:
        raise SystemExit("the task has no public test set")
    steady = lines[1:]
    return Run(
        table, statistics.median(line["seconds"] for line in steady),
        int(statistics.median(line["bytes_up"] for line in steady)), load_file(directory.model),
    )  # fmt: skip


def _ring_sum(bits: int) -> float:
    """Processor seconds of one sum around the ring, tables of powers at hand."""
    federation = Federation.of(PrivateKey.generate(os.urandom, bits))
    tables = [FixedBase(federation.pair.public, os.urandom) for _ in range(HOSPITALS)]
    vectors = [[(-1) ** row * (at + 1) / 8 for at in range(VALUES)] for row in range(HOSPITALS)]
    return federation.seconds(vectors, [*tables], _REPEATS)


def _masked_sum() -> float:
    """Processor seconds of one sum under masks, against an active server."""
    params = SecAggParams.complete(HOSPITALS, 64, VALUES, SCALARS, adversary=Adversary.ACTIVE)
    best = float("inf")
    for _ in range(_REPEATS):
        account = run_session(params, 0.0)
        best = min(best, account.server.core + HOSPITALS * account.client.core)
    return best


if __name__ == "__main__":
    main()
