"""Each client's own accuracy, from its own log, against the one global curve that the server gets.

    python -m bench.local_and_global [RUN] [--quick] [--json] [--save]

RUN is the directory of a simulated run, such as runs/<id>. Without one a run is made: the digits task, ten clients
whose labels are dealt unevenly, ten server rounds. Prints, of the final model, the lowest and the highest of the
clients' own accuracies beside the global one, and that the global one is the clients' mean, weighted by examples.

Decides what is read from where: the curves of clients from clients/<n>.jsonl alone, the global one from metrics.jsonl.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from app.run_directory import read_lines
from bench.report import RESULTS, Row, finish, options_of, save

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "partition": "dirichlet", "dirichlet-alpha": 0.3, "learning-rate": 0.05, "device": "cpu",
    "validation-fraction": 0.3,
}  # fmt: skip

Point = tuple[int, float]  # server rounds behind the model that is judged, its accuracy


@dataclass(frozen=True)
class Curves:
    """Accuracies of a run: each client's own, and the global one."""

    clients: dict[str, list[Point]]
    together: list[Point]
    final: dict[str, tuple[float, int]]  # of the final model: accuracy, validation examples


def curves_of(run: Path) -> Curves:
    """Read a run's directory.

    Raises:
        SystemExit: it holds no clients' logs with accuracies.
    """
    clients, final = {}, {}
    for path in sorted((run / "clients").glob("*.jsonl"), key=lambda found: (len(found.stem), found.stem)):
        lines = [line for line in read_lines(path) if "accuracy" in line]
        clients[path.stem] = [(line["server_round"] - 1, line["accuracy"]) for line in lines]
        if lines and lines[-1]["event"] == "evaluated":
            final[path.stem] = (lines[-1]["accuracy"], lines[-1]["examples"])
    together = [
        (line["server_round"] - 1, line["accuracy"])
        for line in read_lines(run / "metrics.jsonl")
        if line.get("accuracy") is not None
    ]
    if not final or not together:
        raise SystemExit(
            f"{run} holds no clients' logs with accuracies; name a simulated run without privacy"
        )
    return Curves(clients, together, final)


@contextmanager
def simulated(quick: bool) -> Iterator[Path]:
    """A run of our own, gone afterwards."""
    settings: dict[str, Any] = SETTINGS | ({"rounds": 2, "clients": 3} if quick else {})
    with tempfile.TemporaryDirectory(prefix="chorus-local-") as folder:
        command = [sys.executable, "-m", "app", "run", "--quiet", "--runs-dir", folder]
        for key, value in settings.items():
            command += ["-c", f"{key}={json.dumps(value)}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise SystemExit(f"the simulation failed: {done.stderr.strip()}")
        yield next(Path(folder).iterdir())


def rows_of(curves: Curves) -> Iterator[Row]:
    """What the final model is to each, and to all."""
    accuracies = [accuracy for accuracy, _ in curves.final.values()]
    together = curves.together[-1][1]
    weighted = sum(accuracy * count for accuracy, count in curves.final.values())
    mean = weighted / sum(count for _, count in curves.final.values())
    yield Row(
        "final model: lowest of the clients' own accuracies", 100 * min(accuracies), 100 * together, "%"
    )
    yield Row(
        "final model: highest of the clients' own accuracies", 100 * max(accuracies), 100 * together, "%"
    )
    yield Row("final model: the clients' mean, weighted by examples", 100 * mean, 100 * together, "%")


def main() -> int:
    """Read, print, draw."""
    options = _options()
    keep, options.save = options.save, False  # the curves are kept beside the rows
    if options.run:
        curves = curves_of(options.run)
    else:
        with simulated(options.quick) as run:
            curves = curves_of(run)
    rows = finish("local_and_global", rows_of(curves), options)
    if keep:
        from bench.local_and_global_picture import draw

        figures = {"rows": [asdict(row) for row in rows], "curves": asdict(curves)}
        save("local_and_global", figures)
        draw(curves.clients, curves.together, RESULTS / "local_and_global.png")
    return 0


def _options() -> argparse.Namespace:
    parser = options_of("Each client's own accuracy against the global one.")
    parser.add_argument("run", nargs="?", type=Path, help="directory of a simulated run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
