"""The modulus against accuracy and bytes: for every b, what rounding does to a federated model.

    python -m bench.encoding [--task digits|mnist|all] [--quick] [--json] [--save]

Trains through the real encoding (`bench.unmasked`) at the defaults of the run configuration, with several seeds,
and plain FedAvg beside it with the same seeds. Rounding is drawn from the system's generator, so the last digits of
a second run differ. MNIST (`../shared/data/mnist` beside the repository; left out where it is absent) is dealt into
100 parts of which ten take part, a tenth of the training images, to bound the time.

Decides: the cases, the widths, and what is printed of each. Refuses to judge: no figure is held to a limit here.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, Self

import numpy as np

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from app.config import RunConfig
from arithmetic.errors import ParameterError
from arithmetic.fixed_point import FixedPoint
from arithmetic.packing import packed_size
from bench.report import RESULTS, Row, finish, options_of
from bench.session import run_session
from bench.unmasked import Arrays, Clients, Step, course
from clients.tasks import load_task
from secagg.params import SecAggParams
from wire.rounds import Purpose
from wire.scalars import ScalarLayout

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
WIDTHS = (8, 10, 12, 14, 16, 20, 24, 32, 40)
_FLOAT = 4  # bytes of a float32


@dataclass(frozen=True)
class Case:
    """One federated run to repeat: settings that differ from the defaults, seeds, widths.

    Attributes:
        parts: the training images are dealt into that many parts, of which every client takes one.
    """

    settings: Mapping[str, Any]
    parts: int
    seeds: int = 3
    widths: tuple[int, ...] = WIDTHS

    def config(self, seed: int) -> RunConfig:
        """The run of one seed."""
        return RunConfig.parse({**self.settings, "seed": seed})

    @property
    def name(self) -> str:
        """Task and cohort in a word, and the first encoding bound where it is not the default."""
        config = self.config(0)
        start = (
            "" if config.encoding_bound == RunConfig().encoding_bound else f" B={config.encoding_bound:.2g}"
        )
        return f"{config.task} n={config.clients}{start}"


CASES: Mapping[str, tuple[Case, ...]] = {
    "digits": (
        Case({"task": "digits"}, 10),
        Case({"task": "digits", "encoding-bound": 1 / 64}, 10, widths=(8, 10, 12)),
        Case({"task": "digits", "clients": 100}, 100),
    ),
    "mnist": (Case({"task": "mnist", "rounds": 5, "local-epochs": 1, "data-path": str(MNIST)}, 100),),
}
QUICK = Case({"task": "digits", "clients": 5, "rounds": 2, "local-epochs": 1}, 5, 1, (8, 16, 24))


class Accuracy(Row):
    """A figure that is compared by difference, not by ratio."""

    @property
    def ratio(self) -> str:
        """How much better, in points."""
        if self.peer is None:
            return ""
        return f"{100 * (self.ours - self.peer):+.2f} points,"


@dataclass(frozen=True)
class Point:
    """What one width did in one case.

    Attributes:
        accuracies: on the public test set, one a seed.
        plain: the same of plain FedAvg.
        errors: largest error of a coordinate of the mean: in the first round, in the last; over the seeds.
        bounds: error bounds that a run prints for these two rounds; the largest over the seeds.
        apart: largest distance of a weight from plain FedAvg's at the end, over the largest weight.
        clamped: coordinates clamped to the encoding bound, all rounds and seeds.
        entry: bytes an entry up.
        client: bytes of one client a server round, both ways, the model included.
        plain_client: the same of plain FedAvg without its envelopes.
    """

    case: str
    bits: int
    accuracies: tuple[float, ...]
    plain: tuple[float, ...]
    errors: tuple[float, float]
    bounds: tuple[float, float]
    apart: float
    clamped: int
    entry: float
    client: int
    plain_client: int

    @property
    def rows(self) -> list[Row]:
        """As figures."""
        case = f"{self.case} b={self.bits}"
        clamped = f"; {self.clamped} clamped" if self.clamped else ""
        return [
            Accuracy(f"{case} accuracy", fmean(self.accuracies), fmean(self.plain), "", self._least),
            Row(
                f"{case} error, last round", self.errors[1], None, "", f"bound {self.bounds[1]:.2g}{clamped}"
            ),
            Row(f"{case} error, first round", self.errors[0], None, "", f"bound {self.bounds[0]:.2g}"),
            Row(f"{case} weights apart from plain", self.apart, None, "", "of the largest weight"),
            Row(f"{case} bytes an entry up", self.entry, _FLOAT, "B"),
            Row(f"{case} one client a round", self.client, self.plain_client, "B"),
        ]

    @property
    def _least(self) -> str:
        return f"least {min(self.accuracies):.4f} against {min(self.plain):.4f}"

    @property
    def cells(self) -> str:
        """As a line of the table in docs/encoding.md."""
        return (
            f"| {self.bits} | {self.entry:.2f} | {self.client / 1000:.1f} "
            f"| {fmean(self.accuracies):.4f} ({min(self.accuracies):.4f}) | {self.bounds[0]:.1e} "
            f"| {self.bounds[1]:.1e} | {self.errors[1]:.1e} | {self.apart:.1e} |"
        )


@dataclass(frozen=True)
class Trial:
    """One seed of a case: its clients, and where plain FedAvg took them."""

    clients: Clients
    model: Arrays
    accuracy: float

    @classmethod
    def of(cls, config: RunConfig, parts: int) -> Self:
        """Run plain FedAvg once."""
        clients = Clients(config, parts)
        *_, last = course(clients, None)
        return cls(clients, last.model, clients.accuracy(last.model))


def measured(case: Case) -> Iterator[Point]:
    """Every width that has room for the cohort; the others are named."""
    trials: list[Trial] = []
    for bits in case.widths:
        try:
            FixedPoint(bits, case.config(0).clients, 1.0)
        except ParameterError as error:
            print(f"{case.name} b={bits} is left out: {error}", flush=True)
            continue
        trials = trials or [Trial.of(case.config(seed), case.parts) for seed in range(case.seeds)]
        yield _point(case, bits, trials)


def _point(case: Case, bits: int, trials: list[Trial]) -> Point:
    """One width, all seeds."""
    config, entries = case.config(0), trials[0].clients.spec.tensor_length
    courses = [list(course(trial.clients, bits)) for trial in trials]
    return Point(
        case.name,
        bits,
        tuple(trial.clients.accuracy(steps[-1].model) for trial, steps in zip(trials, courses, strict=True)),
        tuple(trial.accuracy for trial in trials),
        (_error(courses, 0), _error(courses, -1)),
        (_bound(courses, 0), _bound(courses, -1)),
        max(apart(steps[-1].model, trial.model) for trial, steps in zip(trials, courses, strict=True)),
        sum(step.metrics.exceeding[0] for steps in courses for step in steps if step.metrics),
        packed_size(entries, bits) / entries,
        _client_bytes(config.task, config.clients, bits, entries) + _FLOAT * entries,
        2 * _FLOAT * entries,
    )


def apart(ours: Arrays, theirs: Arrays) -> float:
    """Largest difference of two models' weights over the largest weight."""
    largest = max(float(np.abs(theirs[name]).max()) for name in theirs)
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs) / largest


def table(case: Case, points: list[Point]) -> list[str]:
    """The figures of a case as docs/encoding.md has them."""
    plain = points[0]
    return [
        f"{case.name}, {case.config(0).rounds} server rounds, {case.seeds} seeds",
        "",
        "| b | B an entry up | kB a client and round | accuracy (least) | error bound, round 1 "
        "| error bound, last | error, last | weights apart |",
        "|---|---|---|---|---|---|---|---|",
        *(point.cells for point in points),
        f"| plain | {_FLOAT:.2f} | {plain.plain_client / 1000:.1f} "
        f"| {fmean(plain.plain):.4f} ({min(plain.plain):.4f}) | | | | |",
    ]


def _error(courses: list[list[Step]], at: int) -> float:
    return max(steps[at].error for steps in courses)


def _bound(courses: list[list[Step]], at: int) -> float:
    found = [steps[at].metrics for steps in courses]
    return max(metrics.error_bound for metrics in found if metrics)


@cache
def _client_bytes(task: str, clients: int, bits: int, entries: int) -> int:
    """Protocol bytes of one client in a whole session, counted as they are sent; the model is not among them."""
    layout = ScalarLayout.of(Purpose.TRAINING, load_task(task).metric_names, 0)
    account = run_session(SecAggParams.complete(clients, bits, entries, layout.length), 0.0)
    return sum(account.up.values()) + sum(account.down.values())


def _rows(task: str, quick: bool, points: list[Point]) -> Iterator[Row]:
    chosen = [case for name, cases in CASES.items() if task in (name, "all") for case in cases]
    for case in [QUICK] if quick else chosen:
        if case.config(0).data_path and not MNIST.is_dir():
            print(
                f"{case.name} is left out: there is no folder {MNIST.name} in ../shared/data beside the repository"
            )
            continue
        found = []
        for point in measured(case):
            yield from point.rows
            found.append(point)
        print("\n".join(["", *table(case, found), ""]), flush=True)
        points += found


def main() -> int:
    """Measure, print, keep; exit code 0 whatever the figures."""
    options = options_of("b against accuracy and bytes", task=("all", *CASES)).parse_args()
    points: list[Point] = []
    finish("encoding", _rows(options.task, options.quick, points), options)
    if options.save:
        from bench.encoding_picture import Mark, draw  # matplotlib: only where a picture is wanted

        marks = [Mark(p.case, p.bits, p.entry, p.accuracies, p.plain) for p in points]
        draw(marks, RESULTS / "encoding.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
