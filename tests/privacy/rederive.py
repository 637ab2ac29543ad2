"""Re-derive every epsilon of a run from its ledgers alone; shares no code with the package `privacy`.

    python tests/privacy/rederive.py LEDGER... --delta 1e-5

Prints one JSON object a line for each ledger, unit and run: what all releases up to the last of that run cost.
RDP by Simpson's rule on the definition, at each order; PLD by dp-accounting. Slack of integer noise is added as
`privacy/noise_shares.py` explains. Exit 1 and one line on stderr for a ledger that does not check.
"""

import argparse
import hashlib
import json
import math
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import dp_accounting
import numpy as np
from scipy.integrate import simpson

ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64)) + [128, 256, 512, 1024]
Releases = Counter[tuple[float, float, float]]  # (sampling probability, noise multiplier, slack) -> how many


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a ledger, each checked against the digest it carries."""
    text = path.read_text()
    if not text.endswith("\n"):
        raise ValueError(f"{path}: the last line is torn")
    lines, previous = [json.loads(line) for line in text.splitlines()], ""
    for number, line in enumerate(lines, start=1):
        digest = line.pop("chain")
        body = json.dumps(line, sort_keys=True, separators=(",", ":"))
        if hashlib.sha256((previous + body).encode()).hexdigest() != digest:
            raise ValueError(f"{path}: line {number} does not follow from the one before")
        previous = digest
    if not lines or lines[0]["schema"] != 1:
        raise ValueError(f"{path}: not a ledger of schema 1")
    return lines[1:]


def release_of(mechanism: dict[str, Any]) -> tuple[tuple[float, float, float], int]:
    """One kind of release and how many of it a line charges."""
    noise, slack = mechanism["noise_multiplier"], mechanism["slack"]
    if mechanism["name"] == "poisson-gaussian":
        return (mechanism["sampling_probability"], noise, slack), mechanism["steps"]
    if mechanism["name"] == "gaussian":
        return (1.0, noise, slack), mechanism["count"]
    raise ValueError(f"unknown mechanism {mechanism['name']}")


@cache
def renyi(sampling: float, noise: float, order: float) -> float:
    """Renyi divergence of (1 - q) N(0, s^2) + q N(1, s^2) from N(0, s^2)."""
    if sampling == 1.0:
        return order / (2 * noise**2)
    points = np.linspace(-14 * noise, order + 14 * noise, 40_001)
    ratio = np.logaddexp(math.log1p(-sampling), math.log(sampling) + (points - 0.5) / noise**2)
    exponent = order * ratio - points**2 / (2 * noise**2)
    top = exponent.max()
    integral = simpson(np.exp(exponent - top), x=points) / (noise * math.sqrt(2 * math.pi))
    return max(0.0, float(top + math.log(integral)) / (order - 1))


def rdp_epsilon(releases: Releases, delta: float) -> float:
    """By RDP and Canonne, Kamath, Steinke 2020, Proposition 12."""
    slack = sum(count * kind[2] for kind, count in releases.items())
    smaller, epsilons = delta * math.exp(-slack), []
    for order in ORDERS:
        total = sum(count * renyi(kind[0], kind[1], order) for kind, count in releases.items())
        epsilons.append(total + math.log1p(-1 / order) - math.log(smaller * order) / (order - 1))
    return max(0.0, 2 * slack + min(epsilons))


def pld_epsilon(releases: Releases, delta: float) -> float:
    """By dp-accounting's privacy loss distributions."""
    slack = sum(count * kind[2] for kind, count in releases.items())
    accountant = dp_accounting.pld.PLDAccountant()
    for (sampling, noise, _), count in releases.items():
        event = dp_accounting.GaussianDpEvent(noise)
        if sampling < 1.0:
            event = dp_accounting.PoissonSampledDpEvent(sampling, event)
        accountant.compose(dp_accounting.SelfComposedDpEvent(event, count))
    return max(0.0, 2 * slack + float(accountant.get_epsilon(delta * math.exp(-slack))))


def derive(path: Path, delta: float) -> list[dict[str, Any]]:
    """One row for each unit and run: everything up to the run's last release for that unit."""
    totals: dict[str, Releases] = {}
    after: dict[tuple[str, str], Releases] = {}
    for line in read(path):
        kind, count = release_of(line["mechanism"])
        total = totals.setdefault(line["unit"], Counter())
        total[kind] += count
        after[line["unit"], line["run"]] = total.copy()
    return [
        {
            "ledger": str(path),
            "unit": unit,
            "run": run,
            "releases": sum(releases.values()),
            "delta": delta,
            "epsilon_rdp": rdp_epsilon(releases, delta),
            "epsilon_pld": pld_epsilon(releases, delta),
        }
        for (unit, run), releases in after.items()
    ]


def main() -> int:
    """Print all rows."""
    parser = argparse.ArgumentParser(description="Re-derive every epsilon from ledger files alone.")
    parser.add_argument("ledgers", nargs="+", type=Path)
    parser.add_argument("--delta", type=float, required=True)
    arguments = parser.parse_args()
    for path in arguments.ledgers:
        try:
            rows = derive(path, arguments.delta)
        except (OSError, ValueError, KeyError) as error:
            print(error, file=sys.stderr)
            return 1
        for row in rows:
            print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
