"""The simulator of the protocol: replay one seed with a readable trace, or play many over processes.

    python -m tests.simulation --seed 7
    python -m tests.simulation --seeds 0..99999
    python -m tests.simulation --seeds 0..999999 --log

Exit code 1, and the seeds that did it, when anything that must hold did not.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.simulator.invariants import Violation
from tests.simulator.quick import computed_once
from tests.simulator.runs import Tally, play_all, write_log
from tests.simulator.world import World

LOG = Path(__file__).resolve().parents[2] / "bench" / "results" / "simulator.json"
TOLD_EVERY = 10.0  # seconds


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="replay this one, with a trace")
    which.add_argument("--seeds", type=_range, metavar="A..B", help="play these, both ends included")
    parser.add_argument("--processes", type=int, default=0, help="0: one a core")
    parser.add_argument("--log", action="store_true", help=f"write {LOG.relative_to(LOG.parents[2])}")
    options = parser.parse_args()
    return (
        replay(options.seed) if options.seeds is None else many(options.seeds, options.processes, options.log)
    )


def replay(seed: int) -> int:
    """One seed, line by line."""
    try:
        with computed_once():
            played = World(seed, print).play()
    except Violation as violation:
        print(f"VIOLATION  {violation}")
        return 1
    print(f"{played.sums} of {played.ends} sessions gave a sum; {played.checks} checks held")
    return 0


def many(seeds: range, processes: int, log: bool) -> int:
    """Many seeds; a line now and then."""
    tally, since, told = Tally(), time.monotonic(), 0.0
    for tally in play_all(seeds, processes):
        seconds = time.monotonic() - since
        if seconds - told >= TOLD_EVERY or tally.seeds == len(seeds):
            told = seconds
            rate = tally.seeds / seconds
            print(
                f"{tally.seeds} seeds, {tally.sessions} sessions, {tally.sums} sums, {tally.checks} checks, "
                f"{len(tally.violations)} violations; {rate:.0f} seeds/s", flush=True,
            )  # fmt: skip
            if log:  # a run that is stopped leaves what it has
                write_log(LOG, tally, seeds, seconds)
    for seed, what in sorted(tally.violations.items()):
        print(f"seed {seed}: {what}")
    return 1 if tally.violations else 0


def _range(text: str) -> range:
    first, _, last = text.partition("..")
    return range(int(first), int(last) + 1)


if __name__ == "__main__":
    sys.exit(main())
