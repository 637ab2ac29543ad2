"""Whether a server, alone or with a client, can tell two inputs with one sum apart.

    python -m bench.leakage [--case all|alive|late|broken|words|sweep] [--sessions N] [--bits N] [--quick] [--json]
                            [--save]

`alive`: everybody survives. `late`: one client's vector comes after it was called dropped, so that the server holds its
mask key. `broken`: the same statistics on masks that are broken on purpose. `words`: mask words through a battery of
statistical tests. `sweep`: every seed of 28 bits against our masks, and against masks that come from such seeds.

Decides: the statistics, and the bounds that are printed beside each figure.
Refuses to judge: the tests of `tests/leakage` do.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.mask_words import battery
from bench.report import Row, finish, options_of
from bench.seed_sweep import sweeps
from bench.views import CLIENTS, VARIANTS, Octets, Views, collect

BLOCKS = 128
SESSIONS = 7816  # times BLOCKS: a little over 10^6 runs
_BROKEN_SESSIONS = 64
Features = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Verdict:
    """What tells two classes of views apart.

    Attributes:
        runs: how many views.
        linear: area under the curve of a logistic regression on the words, each fold's model judged on the other.
        trees: likewise of gradient-boosted trees.
        error: standard deviation of either when there is nothing to find.
        chi_square: least p-value of the columns, times their number: the classes' counts of each of 256 values.
        ks: likewise of two-sample Kolmogorov-Smirnov tests.
    """

    runs: int
    linear: float
    trees: float
    error: float
    chi_square: float
    ks: float

    @property
    def distance(self) -> float:
        """Of the better classifier from guessing."""
        return max(abs(self.linear - 0.5), abs(self.trees - 0.5))

    @property
    def found(self) -> bool:
        """Whether anything tells them apart, beyond what chance does once in a hundred thousand."""
        return self.distance > 4.5 * self.error or min(self.chi_square, self.ks) < 1e-5


def judged(columns: Features, label: Octets) -> Verdict:
    """The statistics of one view, shape (runs, columns), and its labels."""
    ones = int(label.sum())
    zeros = label.size - ones
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=50))
    trees = HistGradientBoostingClassifier(max_iter=15, max_depth=3, early_stopping=False, random_state=0)
    # One thread: what is small is slower with more on a machine that others use.
    with threadpool_limits(1 if label.size < 10**5 else None):
        areas = _area(linear, columns, label), _area(trees, columns, label)
    return Verdict(
        label.size, *areas,
        ((ones + zeros + 1) / (12 * ones * zeros)) ** 0.5,
        _least(_chi_square, columns, label), _least(_ks, columns, label),
    )  # fmt: skip


def _area(model: object, columns: Features, label: Octets) -> float:
    """Mean over two folds, so that every view is judged by a model that has not seen it."""
    folds = StratifiedKFold(2, shuffle=True, random_state=0).split(columns, label)
    areas = []
    for fitted, judged_on in folds:
        model.fit(columns[fitted], label[fitted])  # type: ignore[attr-defined]
        scores = model.predict_proba(columns[judged_on])[:, 1]  # type: ignore[attr-defined]
        areas.append(float(roc_auc_score(label[judged_on], scores)))
    return sum(areas) / len(areas)


def _least(test: Callable[[Octets, Octets], float], columns: Features, label: Octets) -> float:
    """The least p-value of all columns, times their number (Bonferroni), at most 1."""
    found = [test(column[label == 0], column[label == 1]) for column in columns.T]
    return min(1.0, min(found) * len(found))


def _counts(left: Octets, right: Octets) -> npt.NDArray[np.int64]:
    """(2, bins): how often each value came, values of few views put together."""
    table = np.stack([np.bincount(each, minlength=256) for each in (left, right)])
    # 5 of each in a bin on average, the usual condition of the chi-square approximation.
    width = 1
    while width < 256 and table.sum() / (2 * 256 / width) < 5:
        width *= 2
    folded: npt.NDArray[np.int64] = table.reshape(2, -1, width).sum(axis=2)
    return folded[:, folded.sum(axis=0) > 0]


def _chi_square(left: Octets, right: Octets) -> float:
    table = _counts(left, right)
    return 1.0 if table.shape[1] < 2 else float(stats.chi2_contingency(table).pvalue)


def _ks(left: Octets, right: Octets) -> float:
    """From the counts; for values with ties the p-value errs upwards."""
    table = np.stack([np.bincount(each, minlength=256) for each in (left, right)])
    apart = np.abs(np.diff(np.cumsum(table, axis=1) / table.sum(axis=1, keepdims=True), axis=0)).max()
    size = left.size * right.size / (left.size + right.size)
    return float(stats.kstwobign.sf(apart * size**0.5))


def verdicts(views: Views) -> Iterator[tuple[str, Verdict]]:
    """Of the server alone, and of the server and each client."""
    yield "server", judged(views.server, views.label)
    for client in CLIENTS:
        chosen = views.colluder == client
        yield f"server and client {client}", judged(views.coalition[chosen], views.label[chosen])


def on_messages(views: Views) -> tuple[str, Verdict]:
    """Of everything else that the clients sent; one view a session."""
    varied = views.messages[:, np.ptp(views.messages, axis=0) > 0]
    return "all other bytes of a session", judged(varied, views.session_label)


def _rows(what: str, found: Iterator[tuple[str, Verdict]]) -> Iterator[Row]:
    for who, verdict in found:
        case = f"{what}: {who}, {verdict.runs} runs"
        yield Row(
            case, 0.5 + verdict.distance, None, "area",
            f"guessing is 0.5 +- {verdict.error:.4f}; linear {verdict.linear:.4f}, trees {verdict.trees:.4f}; "
            f"p of chi-square {verdict.chi_square:.3g}, of KS {verdict.ks:.3g}",
        )  # fmt: skip


def _campaign(what: str, views: Views) -> Iterator[Row]:
    return _rows(what, chain(verdicts(views), [on_messages(views)]))


def alive(options: argparse.Namespace) -> Iterator[Row]:
    """Everybody survives."""
    yield from _campaign("all survive", collect(_sessions(options), BLOCKS))


def late(options: argparse.Namespace) -> Iterator[Row]:
    """One vector comes late."""
    yield from _campaign("one comes late", collect(_sessions(options), BLOCKS, late=True, seed="late"))


def broken(options: argparse.Namespace) -> Iterator[Row]:
    """Masks that are broken on purpose are found in far fewer runs."""
    for name, variant in VARIANTS.items():
        with variant():
            views = collect(16 if options.quick else _BROKEN_SESSIONS, BLOCKS)
        yield from _rows(name, islice(verdicts(views), 2))


def words(options: argparse.Namespace) -> Iterator[Row]:
    """Mask words, of 32 and of 64 bits."""
    for name, p in battery(1 << (20 if options.quick else 27)):
        yield Row(
            f"mask words: {name}", p, None, "p", "uniform where masks are; far below 0.0001 they are not"
        )


def sweep(options: argparse.Namespace) -> Iterator[Row]:
    """Every seed of so many bits."""
    for name, found, tried in sweeps(8 if options.quick else options.bits):
        yield Row(
            f"sweep of 2^{tried.bit_length() - 1} seeds: {name}",
            found,
            None,
            "seeds",
            "that explain a vector",
        )


def _sessions(options: argparse.Namespace) -> int:
    return 16 if options.quick else int(options.sessions)


CASES: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "alive": alive,
    "late": late,
    "broken": broken,
    "words": words,
    "sweep": sweep,
}


def main() -> None:
    """Measure the chosen cases."""
    parser = options_of("Whether two inputs with one sum can be told apart.", case=("all", *CASES))
    parser.add_argument("--sessions", type=int, default=SESSIONS, help=f"each is {BLOCKS} runs")
    parser.add_argument("--bits", type=int, default=28, help="of the seeds that are swept")
    options = parser.parse_args()
    chosen = [case for name, case in CASES.items() if options.case in ("all", name)]
    name = "leakage" if options.case == "all" else f"leakage-{options.case}"
    finish(name, (row for case in chosen for row in case(options)), options)


if __name__ == "__main__":
    main()
