"""What a user waits for: a secure round against a round of plain FedAvg, simulated and deployed.

    python -m bench.rounds [--only simulation|deployed] [--rounds N] [--quick] [--json] [--save]

Both train the same model on the same data with the same seeds; plain FedAvg trains and evaluates each round through
Flower's own `send_and_receive`. Reports the median wall time of the steady server rounds (the first left out), and
takes that round apart, trip by trip (`bench.plain.account`). "plain, fast poll" is plain FedAvg that pulls as often
as we do.

A simulation looks for messages every 0.1 s, so a trip takes whole such ticks. Ours follows the tick; plain FedAvg's
own pulls, 0.1 s apart too, drift against it by some milliseconds a round, so its rounds take 2, 3 or 4 ticks in
turn: only many rounds have a median that says something.

Decides what is compared and printed; how runs are started is `bench.plain.launched`'s business, what is counted
as what is `bench.plain.account`'s. --quick: one steady round, three clients, for shape only.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.plain.account import MEANING, PARTS, Account, account_of
from bench.plain.launched import FAST, PLAIN, SECURE, Variant, deploy, simulate, tree_of
from bench.report import RESULTS, Row, finish, options_of, save

Accounts = Mapping[str, Account]


@dataclass(frozen=True)
class Case:
    """How runs are started, with how many clients and steady rounds, and the most that secure / plain may be."""

    start: Callable[[Variant, Path, int, int], Path]
    clients: int
    steady: int
    most: float


CASES: Mapping[str, Case] = {
    "simulation": Case(simulate, 10, 31, 1.15),
    "deployed": Case(deploy, 3, 5, 1.0),
}


def main() -> int:
    """Measure, print, keep; exit code 0 whatever the figures."""
    options = _options()
    print("Seconds of the median round, along the client process that was done last:")
    print("\n".join(f"  {part:7} {meaning}" for part, meaning in MEANING.items()))
    print("  cpu     CPU seconds of all clients' handlers together", flush=True)
    measured: dict[str, Accounts] = {}
    keep, options.save = options.save, False  # the tables are kept beside the rows
    rows = finish("rounds", _measured(options, measured), options)
    if keep:
        tables = {case: {name: asdict(run) for name, run in runs.items()} for case, runs in measured.items()}
        save("rounds", {"rows": [asdict(row) for row in rows], "runs": tables})
        from bench.rounds_picture import draw

        draw(measured, RESULTS / "rounds.png")
    return 0


def _measured(options: argparse.Namespace, measured: dict[str, Accounts]) -> Iterator[Row]:
    """One row a case; what was measured goes into `measured`."""
    for name, case in CASES.items():
        if options.only not in ("all", name):
            continue
        clients = 3 if options.quick else case.clients
        steady = 1 if options.quick else options.rounds or case.steady
        print(f"\n{name}: {clients} clients, digits, {steady} steady round{'s' * (steady > 1)}", flush=True)
        variants = (SECURE, PLAIN) if options.quick else (SECURE, PLAIN, FAST)
        runs = {variant.name: _run(variant, case, clients, steady + 1) for variant in variants}
        measured[name] = runs
        ours, peer = runs[SECURE.name].median, runs[PLAIN.name].median
        yield Row(name, ours, peer, "s", f"secure / plain = {ours / peer:.2f} (at most {case.most})")


def _run(variant: Variant, case: Case, clients: int, rounds: int) -> Account:
    with tree_of(variant) as tree:
        account = account_of(case.start(variant, tree, clients, rounds))
    print("\n".join(table(variant.name, account)), flush=True)
    return account


def table(name: str, account: Account) -> list[str]:
    """Lines about one run: its rounds, then a row a trip, the server's own work, and the sum of each column."""
    each = " ".join(f"{seconds:.2f}" for seconds in account.rounds)
    lines = [
        f"  {name}: median {account.median:.2f} s (rounds: {each}), final accuracy {account.accuracy:.4f}"
    ]
    lines.append(_line("trip", ("seconds", *PARTS, "cpu")))
    rows = [(trip.seconds, *(trip.parts[part] for part in PARTS), trip.cpu) for trip in account.trips]
    lines += [_line(trip.name, row) for trip, row in zip(account.trips, rows, strict=True)]
    lines.append(_line("server", (account.server,)))
    seconds, *others = map(sum, zip(*rows, strict=True))
    lines.append(_line("round", (seconds + account.server, *others)))
    return lines


def _line(name: str, cells: tuple[str | float, ...]) -> str:
    return f"    {name:<10}" + "".join(f"{c:>8}" if isinstance(c, str) else f"{c:8.3f}" for c in cells)


def _options() -> argparse.Namespace:
    parser = options_of("Secure rounds against plain FedAvg, in wall time.", only=("all", *CASES))
    parser.add_argument(
        "--rounds", type=int, default=0, help="steady rounds (default: a number for each case)"
    )
    options = parser.parse_args()
    if options.rounds < 0:
        parser.error("--rounds is at least 1, or 0 for the default")
    return options


if __name__ == "__main__":
    sys.exit(main())
