"""Job gradients against central SGD on the same batches: how far apart the losses are, and what an iteration costs.

    python -m bench.gradients [--only simulation|process] [--iterations N] [--quick] [--json] [--save]

Ten data owners hold MNIST (../shared/data/mnist beside the repository; without it the embedded digits) and train
softmax regression for 200 iterations through `scripts/run`'s own launcher; `process` is the same in this process, over
no network. Central SGD has all the data, finds the same batches from the same public numbers, and takes torch's own
step along the gradient of all of them as one. Its seconds are of the steps alone.

Decides what is compared and printed. --quick: digits, five iterations, three owners, in this process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from app.config import RunConfig
from app.run_directory import read_lines
from bench.report import RESULTS, Row, finish, options_of, save
from clients.gradients import batch_of
from clients.tasks import DataSource, length_of, load_task

ROOT = Path(__file__).resolve().parent.parent
MNIST = ROOT.parent / "shared" / "data" / "mnist"
MOST = 1e-3


@dataclass(frozen=True)
class Curve:
    """Loss of every iteration's batches at the model that came in, and the median seconds of an iteration."""

    losses: list[float]
    seconds: float


def settings_of(quick: bool, iterations: int) -> dict[str, Any]:
    """Run keys that differ from their defaults."""
    common = {"job": "gradients", "device": "cpu", "round-deadline": 60.0}
    if quick:
        return common | {"task": "digits_softmax", "rounds": iterations or 5, "clients": 3}
    common |= {"rounds": iterations or 200, "clients": 10, "evaluate-every": 20}
    if MNIST.is_dir():
        return common | {"task": "mnist_softmax", "data-path": str(MNIST)}
    return common | {"task": "digits_softmax"}


def central(config: RunConfig) -> Curve:
    """SGD of torch on everybody's batches as one, from the same model."""
    task = load_task(config.task)
    model = task.model(config.seed)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config.server_learning_rate or 0.1, momentum=config.server_momentum
    )
    owners = []
    for number in range(config.clients):
        source = DataSource(
            config.data_path, number, config.clients, config.partition, config.dirichlet_alpha
        )
        owners.append(task.partition_data(source, config.validation_fraction, config.seed).train)
    losses, seconds = [], []
    for iteration in range(1, config.rounds + 1):
        parts = []
        for number, data in enumerate(owners):
            at = batch_of(length_of(data), config.batch_size, config.seed, iteration, number)
            parts.append(data[at])  # a TensorDataset takes indices
        batch = tuple(torch.cat(columns) for columns in zip(*parts, strict=True))
        started = time.perf_counter()
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds.append(time.perf_counter() - started)
        losses.append(float(loss.detach()))
    return Curve(losses, median(seconds))


def simulated(settings: Mapping[str, Any], folder: Path) -> Curve:
    """The same through the launcher: SuperLink, simulated clients, masks."""
    command = [sys.executable, "-m", "app", "run", "--quiet", "--runs-dir", str(folder)]
    for key, value in settings.items():
        command += ["-c", f"{key}={json.dumps(value)}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise SystemExit(f"the simulation failed: {done.stderr.strip()}")
    (metrics,) = folder.glob("*/metrics.jsonl")
    return curve_of([line for line in read_lines(metrics) if line["purpose"] == "training"])


def in_process(config: RunConfig) -> Curve:
    """The same over a grid in this process: no wait for a network, every client on this core."""
    from tests.support.run import Trial

    class Timed(Trial):
        def emit(self, event: str, **fields: object) -> None:
            super().emit(event, time=time.time(), **fields)

    with tempfile.TemporaryDirectory(prefix="chorus-gradients-") as folder:
        waits = {"round-deadline": 60.0, "training-deadline": 600.0, "poll-interval": 0.01}
        trial = Timed(config.table() | waits | {"run-dir": folder})
        trial.start()
    return curve_of([line for line in trial.named("round_finished") if line["purpose"] == "training"])


def curve_of(lines: list[dict[str, Any]]) -> Curve:
    """Of the lines of `metrics.jsonl`; seconds are wall time from one line to the next."""
    times = [float(line["time"]) for line in lines]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return Curve([float(line["train_loss"]) for line in lines], median(gaps))


def apart(ours: Curve, theirs: Curve) -> float:
    """The largest difference of two loss curves over their iterations.

    Raises:
        SystemExit: an iteration gave no sum.
    """
    if len(ours.losses) != len(theirs.losses):
        raise SystemExit(
            f"{len(theirs.losses) - len(ours.losses)} iterations gave no sum; nothing to compare"
        )
    return max(abs(mine - other) for mine, other in zip(ours.losses, theirs.losses, strict=True))


def main() -> int:
    """Measure, print, keep; exit code 1 where the curves are further apart than they may be."""
    options = _options()
    settings = settings_of(options.quick, options.iterations)
    config = RunConfig.parse(settings)
    print(f"{config.task}, {config.clients} owners, {config.rounds} iterations", flush=True)
    curves = {"central SGD": central(config)}
    keep, options.save = options.save, False  # the curves are kept beside the rows
    rows = finish("gradients", _measured(options, settings, config, curves), options)
    if keep:
        figures = {"rows": [asdict(row) for row in rows], "curves": {k: asdict(v) for k, v in curves.items()}}
        save("gradients", figures)
        from bench.gradients_picture import draw

        draw(config.task, {name: curve.losses for name, curve in curves.items()}, RESULTS / "gradients.png")
    return int(any(row.unit == "nats" and row.ours > MOST for row in rows))


def _measured(
    options: argparse.Namespace, settings: Mapping[str, Any], config: RunConfig, curves: dict[str, Curve]
) -> Iterator[Row]:
    peer = curves["central SGD"]
    ways = ("process",) if options.quick else ("simulation", "process")
    for way in ways if options.only == "all" else (options.only,):
        if way == "simulation":
            with tempfile.TemporaryDirectory(prefix="chorus-gradients-") as folder:
                curve = simulated(settings, Path(folder))
        else:
            curve = in_process(config)
        curves[f"masked, {way}"] = curve
        yield Row(
            f"{way}: largest difference of losses", apart(curve, peer), None, "nats", f"at most {MOST:g}"
        )
        yield Row(f"{way}: an iteration", curve.seconds, peer.seconds, "s", "central SGD: the step alone")


def _options() -> argparse.Namespace:
    parser = options_of("Mean gradients against central SGD.", only=("all", "simulation", "process"))
    parser.add_argument("--iterations", type=int, default=0, help="server rounds (default 200)")
    options = parser.parse_args()
    if options.iterations < 0 or options.iterations == 1:
        parser.error("--iterations is at least 2, or 0 for the default")
    return options


if __name__ == "__main__":
    sys.exit(main())
