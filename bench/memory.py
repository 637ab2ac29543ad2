"""Peaks of memory, each side in a process of its own, the whole process counted.

    python -m bench.memory [--case server|model|all] [--quick] [--json] [--save]

`server`: the server of a thousand clients, which run in the measuring process. `model`: sessions of five clients at
10^6, 10^7 and 10^8 parameters; the server and every client have their processes, and one client works at a time.

Decides: the sizes, and the bounds that are printed beside each peak.
Refuses to judge: no test looks at a size.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from arithmetic.residues import word_type
from bench.report import RESULTS, Row, finish, options_of
from bench.separate import Separate, SeparateClients, SeparateServer
from bench.session import run_session
from secagg.bounds import Adversary
from secagg.params import SecAggParams

BITS = 24


def server(quick: bool) -> Iterator[Row]:
    """Ten per cent drop after sharing keys; vectors are folded in as they arrive."""
    n, d = (60, 1000) if quick else (1000, 1_000_000)
    params = SecAggParams.derive(n, 0.05, 0.1, Adversary.CURIOUS, BITS, d, 8)
    separate = SeparateServer(params)
    account = run_session(params, 0.1, separate)
    what = f"n={n} d={d} k={params.neighbours} drop=10%"
    yield _peak(f"server, peak, {what}", separate, "at most 300")
    yield Row(f"server, one core, {what}", account.server.core, None, "s")


def model(quick: bool) -> Iterator[Row]:
    """Large models, complete graph of five."""
    for d in (10**4,) if quick else (10**6, 10**7, 10**8):
        params = SecAggParams.complete(5, BITS, d, 8)
        separate, clients = SeparateServer(params), SeparateClients()
        account = run_session(params, 0.0, separate, clients)
        vector = d * word_type(BITS).itemsize / 1e6
        largest = max(clients.started, key=lambda client: client.report.peak)
        yield _peak(f"client, peak, n=5 d={d}", largest, f"at most {2 * vector + 64:.4g}: 2 vectors + 64")
        yield _peak(f"server, peak, n=5 d={d}", separate, f"a vector is {vector:.4g}")
        yield Row(f"client, one core, n=5 d={d}", account.client.core, None, "s")
        yield Row(f"server, one core, n=5 d={d}", account.server.core, None, "s")


def _peak(what: str, side: Separate, bound: str) -> Row:
    report = side.report
    return Row(what, report.peak, None, "MB", f"{bound}; {report.idle:.3g} before any work")


CASES: dict[str, Callable[[bool], Iterator[Row]]] = {"server": server, "model": model}


def main() -> None:
    """Measure the chosen cases."""
    options = options_of("Peaks of memory, side by side.", case=("all", *CASES)).parse_args()
    chosen = [case for name, case in CASES.items() if options.case in ("all", name)]
    name = "memory" if options.case == "all" else f"memory-{options.case}"
    rows = finish(name, (row for case in chosen for row in case(options.quick)), options)
    if options.save:
        # Only here: matplotlib is in the extra `bench`, and measuring does without it.
        from bench.pictures import bars

        peaks = [row for row in rows if row.unit == "MB"]
        labels, numbers = [row.case for row in peaks], [row.ours for row in peaks]
        bars(labels, numbers, "Most memory of a whole process", "MB", RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
