"""What one session costs as clients and parameters grow, and by which powers.

    python -m bench.scale [--case groups|n|d|bounds|all] [--quick] [--json] [--save]

Decides: the sizes, and what is held fixed while one grows. 10 % of the clients vanish after sharing keys, the case in
which the server works most.
Refuses to know: how a side is timed (`bench.session`), and how a law is fitted (`bench.powerlaw`).

Every client of every session is run in full, 10,000 of them too, and every sum is checked. All of them live in this
one process, so Python's garbage collector is off while a session runs: its passes over ten thousand other clients'
states are no cost of a client. Memory goes with the square of n for the same reason (each client knows who shared
keys): 10,000 clients take about 8 GB. Seconds are those of one core, so that others at work on the machine hardly
count. Short sessions are held again for two seconds and the cheapest counts; a long one is held once. A client's
seconds are the mean over the cohort, its bytes the most that any sent and received.
"""

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.groups import groups
from bench.powerlaw import Curve
from bench.report import RESULTS, Row, finish, options_of
from bench.session import Account, run_session
from secagg.bounds import Adversary, derive_graph
from secagg.params import SecAggParams
from secagg.tails import least_excluded

CORRUPT, DROPPED = 0.05, 0.1
BITS, SCALARS = 24, 8
POPULATION, COHORT = 1_000_000, 10_000
_LEAST_SECONDS = 2.0
_COSTS: dict[str, tuple[str, Callable[[Account], float]]] = {
    "client": ("s", lambda account: account.client.core),
    "server": ("s", lambda account: account.server.core),
    "bytes of a client": ("B", lambda account: sum(account.up.values()) + sum(account.down.values())),
}


def clients(quick: bool) -> Iterator[Row | Curve]:
    """Against n: the graph derived for 5 % corrupt and 10 % dropped, 10,000 parameters."""
    sizes, d = ((10, 20, 40), 100) if quick else ((10, 30, 100, 300, 1000, 3000, 10_000), 10_000)
    return _sweep("n", {n: _derived(n, d) for n in sizes}, quick)


def parameters(quick: bool) -> Iterator[Row | Curve]:
    """Against d: a complete graph, as small cohorts have."""
    n, sizes = (
        (10, (100, 1000, 10_000)) if quick else (50, (10_000, 100_000, 1_000_000, 3_000_000, 10_000_000))
    )
    return _sweep("d", {d: SecAggParams.complete(n, BITS, d, SCALARS) for d in sizes}, quick)


def bounds(quick: bool) -> Iterator[Row | Curve]:
    """Neighbours that a client needs: in one session, and in a group of a cohort drawn from a population.

    5 % of the population are corrupt, so a group may hold more: as many as no group of the cohort holds, but with
    half of the probability allowed. The graphs of all groups share the other half. Too many dropped cost one group
    its sum and no more, so that probability is not shared.
    """
    security, correctness = 40, 20
    for n in (100, 300) if quick else (100, 300, 1000, 3000, 10_000):
        alone = derive_graph(n, CORRUPT, DROPPED, Adversary.CURIOUS, security, correctness)
        yield Row(f"neighbours n={n} alone", alone.neighbours, None, "k", f"threshold {alone.threshold}")
        count = COHORT // n
        corrupt = _at_most(CORRUPT, n, 2.0 ** -(security + 1) / count)
        dropped = _at_most(DROPPED, n, 2.0 ** -(correctness + 1))
        bits = security + 1 + math.ceil(math.log2(count))
        group = derive_graph(n, corrupt / n, dropped / n, Adversary.CURIOUS, bits, correctness + 1)
        what = f"neighbours n={n} groups={count} corrupt={corrupt} dropped={dropped}"
        yield Row(what, group.neighbours, None, "k", f"threshold {group.threshold}")


def _at_most(fraction: float, drawn: int, probability: float) -> int:
    """Most of `drawn` clients that belong to a fraction of the population, but with that probability."""
    return least_excluded(POPULATION, int(POPULATION * fraction), drawn, probability) - 1


CASES: dict[str, Callable[[bool], Iterator[Row | Curve]]] = {
    "groups": groups,  # first: it looks at this process's peak, to which the others add
    "n": clients,
    "d": parameters,
    "bounds": bounds,
}


def _derived(n: int, d: int) -> SecAggParams:
    return SecAggParams.derive(n, CORRUPT, DROPPED, Adversary.CURIOUS, BITS, d, SCALARS)


def _sweep(axis: str, sizes: dict[int, SecAggParams], quick: bool) -> Iterator[Row | Curve]:
    """A row a cost and size as they are measured, then the curve of each cost."""
    measured: dict[str, list[float]] = {what: [] for what in _COSTS}
    for params in sizes.values():
        accounts = _accounts(params, 0 if quick else _LEAST_SECONDS)
        at = f"n={params.cohort} d={params.tensor_length} k={params.neighbours} drop={DROPPED:.0%}"
        for what, (unit, cost) in _COSTS.items():
            measured[what].append(min(map(cost, accounts)))
            yield Row(f"{what} {at}", measured[what][-1], None, unit)
    for what, costs in measured.items():
        yield Curve(what, axis, _COSTS[what][0], tuple(sizes), tuple(costs))


def _accounts(params: SecAggParams, seconds: float) -> list[Account]:
    """Of as many sessions as start within `seconds`, at least one."""
    accounts: list[Account] = []
    end = time.perf_counter() + seconds
    while not accounts or time.perf_counter() < end:
        gc.disable()
        try:
            accounts.append(run_session(params, DROPPED))
        finally:
            gc.enable()
            gc.collect()
    return accounts


def _told(found: Iterator[Row | Curve], curves: list[Curve]) -> Iterator[Row]:
    """Every row, and the exponent of every curve, which is kept for the picture."""
    for item in found:
        if isinstance(item, Row):
            yield item
        else:
            curves.append(item)
            yield _law(item)


def _law(curve: Curve) -> Row:
    fit = curve.fit
    law = f"~ {curve.axis}^{fit.exponent:.2f} from {curve.axis}={fit.start:,} up"
    return Row(f"exponent of {curve.what} in {curve.axis}", fit.exponent, None, "exp", law)


def main() -> None:
    """Measure the chosen cases; with --save also draw them."""
    options = options_of("The cost of a session against its size.", case=("all", *CASES)).parse_args()
    chosen = [case for name, case in CASES.items() if options.case in ("all", name)]
    name = "scale" if options.case == "all" else f"scale-{options.case}"
    curves: list[Curve] = []
    finish(name, (row for case in chosen for row in _told(case(options.quick), curves)), options)
    if options.save and curves:
        # Only here: matplotlib is in the extra `bench`, and measuring does without it.
        from bench.pictures import scale

        scale(curves, RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
