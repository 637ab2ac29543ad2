"""All of MNIST's test set, privately: the model of a normal run, three servers, every label and then only their count.

    python -m bench.predictions_mnist [--data-path PATH] [--run RUN] [--examples N] [--quick] [--json] [--save]

Decides: that every private label is held against plain fixed point, one by one, and the accuracy against the float
model's. Without --run it trains the task's network first, by a normal run of this project.
Refuses to download: without the MNIST files (../shared/data/mnist, or --data-path) it says so and measures nothing.
"""

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from app.predictions.models import TrainedModel
from bench.predictions_ours import servers
from bench.report import Row, finish, options_of
from predictions import reference
from predictions.client import Client
from predictions.conversion import convert
from predictions.evaluation import count_right
from predictions.limits import Limits
from predictions.owner import prepare_sharing
from predictions.program import Answer
from predictions.values import to_integers

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "mnist"
ROUNDS = 5
_BATCH = 128


def rows(options: Namespace) -> Iterator[Row]:
    """Every label, the accuracy, and the count alone."""
    with tempfile.TemporaryDirectory(prefix="chorus-mnist-") as folder:
        trained = TrainedModel.load(options.run or _run(Path(folder), options), str(options.data_path))
        examples = options.examples or len(trained.test.labels)
        inputs, labels = trained.test.inputs[:examples], trained.test.labels[:examples]
        low, high = trained.range
        program, weights = convert(trained.network, inputs.shape[1:], low, high, inputs[:256])
        plain = reference.evaluate(program, weights, to_integers(program, inputs)).argmax(axis=1)
        exact = _float_labels(trained, inputs)
        with servers(Path(folder) / "kits", ahead=1) as running:
            running.take(prepare_sharing(program, weights, Limits(), inputs[:256]))
            with running.client() as client:
                found, seconds, megabytes = _labels(client, inputs)
                yield Row(
                    f"labels of {examples} images, one batch of {_BATCH} after another", seconds, None, "s"
                )
                yield Row(
                    "of one image", 1000 * seconds / examples, None, "ms", f"{megabytes / examples:.3g} MB"
                )
                differ = int((found != plain).sum())
                yield Row("labels that differ from plain fixed point", differ, None, "", "target: none")
                private, of_float = (100 * float((each == labels).mean()) for each in (found, exact))
                note = f"peer: the float model, of which {int((found != exact).sum())} labels differ"
                yield Row("accuracy of private labels", private, of_float, "%", note)
                told = count_right(client, inputs, labels, _BATCH)
                note = f"{told.checks} count of canaries ran along; nothing else is revealed"
                yield Row("the count of right labels alone", told.seconds, None, "s", note)
                yield Row("accuracy of that count", 100 * told.right / examples, of_float, "%")


def _run(folder: Path, options: Namespace) -> Path:
    """The directory of a run that trained the task's network."""
    command = [sys.executable, "-m", "app", "run", "--quiet", "--runs-dir", str(folder / "runs")]
    settings = ["task=mnist", f"data-path={options.data_path}", f"rounds={1 if options.quick else ROUNDS}"]
    for setting in [*settings, "local-epochs=1", "central-test=false"]:
        command += ["-c", setting]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"training failed: {done.stderr.strip()[-400:]}")
    return next((folder / "runs").iterdir())


def _float_labels(trained: TrainedModel, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
    with torch.no_grad():
        parts = [trained.network(torch.from_numpy(part)).argmax(dim=1) for part in _parts(inputs)]
    return torch.cat(parts).numpy()


def _labels(client: Client, inputs: NDArray[np.float32]) -> tuple[NDArray[np.int64], float, float]:
    """Labels, seconds and megabytes of the client; all of it with canaries."""
    begun, found, moved = time.perf_counter(), [], 0
    for part in _parts(inputs):
        reply = client.query(part, Answer.LABEL)
        found.append(reply.answers.astype(np.int64))
        moved += reply.sent + reply.received
    return np.concatenate(found), time.perf_counter() - begun, moved / 1e6


def _parts(inputs: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    return (inputs[start : start + _BATCH] for start in range(0, len(inputs), _BATCH))


def main() -> None:
    """Measure."""
    parser = options_of("All of MNIST's test set, privately.")
    parser.add_argument("--data-path", type=Path, default=DATA, help="folder of the MNIST files")
    parser.add_argument("--run", type=Path, help="a finished run of task mnist; default: one is made")
    parser.add_argument("--examples", type=int, default=0, help="how many images; default: all")
    options = parser.parse_args()
    if not options.data_path.is_dir():
        print(f"no MNIST files in {options.data_path}; nothing is measured", file=sys.stderr)
        return
    if options.quick:
        options.examples = options.examples or 200
    finish("predictions_mnist", rows(options), options)


if __name__ == "__main__":
    main()
