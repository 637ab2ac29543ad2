"""Figures as every command of `bench/` reports them: a line for people, a JSON object for machines, a file to keep.

Decides: what a figure is (ours, the peer, the unit), and by which words a machine is known: its kind, never its name.
Refuses to know: how anything was measured.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

RESULTS = KEPT = Path(__file__).resolve().parent / "results"
_VERSIONS = ("flwr", "torch", "numpy", "cryptography")


@dataclass(frozen=True)
class Row:
    """One figure: ours, and what it is held against.

    Attributes:
        case: what was measured, on what.
        ours: the figure.
        peer: the same of what a user would pick instead; None where there is none.
        unit: of both; a unit that ends in "/s" is a rate, for which more is better.
        note: a floor, a target, or what is particular.
    """

    case: str
    ours: float
    peer: float | None
    unit: str
    note: str = ""

    @property
    def line(self) -> str:
        """For people."""
        against = "" if self.peer is None else f"against {self.peer:.4g}: {self.ratio} "
        return f"{self.case:58} {self.ours:12.4g} {self.unit:6} {against}{self.note}"

    @property
    def faster(self) -> float:
        """How many times better than the peer; 0 without one, or where a figure is below what a clock can tell."""
        if not self.peer or not self.ours:
            return 0.0
        return self.ours / self.peer if self.unit.endswith("/s") else self.peer / self.ours

    @property
    def ratio(self) -> str:
        """How many times better; of percentages, by how many points; nothing without a peer."""
        if self.peer is None:
            return ""
        return f"{self.ours - self.peer:+.2f} points" if self.unit == "%" else f"{self.faster:.3g}x"


def options_of(description: str, **choices: tuple[str, ...]) -> argparse.ArgumentParser:
    """A parser with the options that every command of `bench/` has, and one option per keyword.

    Args:
        description: one line.
        **choices: option name -> what it may be; the first is the default.
    """
    parser = argparse.ArgumentParser(description=description)
    for name, values in choices.items():
        parser.add_argument(f"--{name}", choices=values, default=values[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: for shape, never for time")
    parser.add_argument("--json", action="store_true", help="end with one JSON object a line per case")
    parser.add_argument("--save", action="store_true", help="keep the figures in bench/results/")
    return parser


def finish(name: str, rows: Iterable[Row], options: argparse.Namespace) -> list[Row]:
    """Print every row as it comes; then, as asked, keep them as bench/results/<name>.json and print JSON.

    Raises:
        SystemExit: the figures of a quick run were to be kept.
    """
    if options.quick and options.save and RESULTS == KEPT:
        raise SystemExit("--quick is for shape: its figures are not kept; leave out --quick or --save")
    told = []
    for row in rows:
        print(row.line, flush=True)
        told.append(row)
    if options.save:
        save(name, [asdict(row) for row in told])
    if options.json:
        for row in told:
            print(json.dumps({"case": row.case, "ours": row.ours, "peer": row.peer, "unit": row.unit}))
    return told


def save(name: str, figures: object) -> Path:
    """Write bench/results/<name>.json: the figures, the kind of machine, the versions."""
    RESULTS.mkdir(exist_ok=True)
    versions = {package: version(package) for package in _VERSIONS} | {"python": platform.python_version()}
    content = {"machine": machine(), "versions": versions, "figures": figures}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def machine() -> str:
    """The kind of this machine: cores, processor, memory, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores of {_processor()}, {memory:.0f} GiB, {platform.system()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
