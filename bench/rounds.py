"""What a user waits for: a secure round against a round of plain FedAvg, simulated and deployed.

    python -m bench.rounds [--only simulation|deployed] [--rounds N] [--quick] [--json]

Both train the same model on the same data with the same seeds; plain FedAvg trains and evaluates each round through
Flower's own `send_and_receive`. Prints the median wall time of the steady server rounds (the first left out), the
ratio, and where the time of each trip goes. "plain, fast poll" is plain FedAvg that pulls as often as we do.
With --json the last lines are one JSON object a case. --quick: one steady round, three clients, for shape only.

Decides what is compared and printed; how runs are started is `bench.plain.launched`'s business, what is counted
as what is `bench.plain.account`'s.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.plain.account import PARTS, Account, account_of
from bench.plain.launched import FAST, PLAIN, SECURE, Variant, deploy, simulate, tree_of

Run = Callable[[Variant, Path, int, int], Path]

CASES: Mapping[str, tuple[Run, int, float]] = {
    "simulation": (simulate, 10, 1.15),
    "deployed": (deploy, 3, 1.0),
}
STEADY = 5


def main() -> int:
    """Measure, print; exit code 0 whatever the figures."""
    options = _options()
    steady = 1 if options.quick else options.rounds
    results = []
    for case, (start, clients, most) in CASES.items():
        if options.only not in (None, case):
            continue
        count = 3 if options.quick else clients
        print(f"\n{case}: {count} clients, digits, {steady} steady round{'s' * (steady > 1)}", flush=True)
        accounts = {
            variant.name: _measured(variant, start, count, steady + 1)
            for variant in ((SECURE, PLAIN) if options.quick else (SECURE, PLAIN, FAST))
        }
        ours, peer = accounts[SECURE.name].median, accounts[PLAIN.name].median
        print(
            f"{case}: secure / plain = {ours:.2f} / {peer:.2f} s = {ours / peer:.2f} (at most {most})",
            flush=True,
        )
        results.append({"case": case, "ours": round(ours, 4), "peer": round(peer, 4), "unit": "s"})
    if options.json:
        for result in results:
            print(json.dumps(result))
    return 0


def _measured(variant: Variant, start: Run, clients: int, rounds: int) -> Account:
    with tree_of(variant) as tree:
        account = account_of(start(variant, tree, clients, rounds))
    print("\n".join(table(variant.name, account)), flush=True)
    return account


def table(name: str, account: Account) -> list[str]:
    """Lines about one run: its rounds, then a row a trip (`bench.plain.account` says what is what)."""
    each = " ".join(f"{seconds:.2f}" for seconds in account.rounds)
    lines = [
        f"  {name}: median {account.median:.2f} s (rounds: {each}), final accuracy {account.accuracy:.4f}"
    ]
    lines.append(f"    {'trip':<10}" + "".join(f"{title:>8}" for title in ("seconds", *PARTS)))
    for trip, parts in account.parts.items():
        row = (account.trips[trip], *(parts[part] for part in PARTS))
        lines.append(f"    {trip:<10}" + "".join(f"{value:8.3f}" for value in row))
    lines.append(f"    between trips {account.between:.3f}")
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Secure rounds against plain FedAvg, in wall time.")
    parser.add_argument("--json", action="store_true", help="end with one JSON object a case")
    parser.add_argument("--quick", action="store_true", help="one steady round, for shape only")
    parser.add_argument("--only", choices=tuple(CASES), help="one case alone")
    parser.add_argument("--rounds", type=int, default=STEADY, help="steady rounds, at least 1 (default 5)")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
