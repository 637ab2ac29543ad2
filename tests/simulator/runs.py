"""Many seeds over processes, and what is kept of them.

Decides: what a run of seeds reports: every violation by its seed, how often each fault struck, how many sessions ended
with a sum. Refuses to know: what happens under a seed (`world`).
"""

import gc
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.report import machine
from tests.simulator.invariants import Violation
from tests.simulator.quick import computed_once
from tests.simulator.world import World

_AT_ONCE = 250


@dataclass
class Tally:
    """What came of some seeds.

    Attributes:
        sessions: all that were opened; `sums` those that ended with one.
        checks: how often something was required.
        faults: kind -> how often it struck.
        refusals: code -> seeds under which some step refused so.
        violations: seed -> what did not hold.
        cpu_seconds: of all processes.
    """

    seeds: int = 0
    sessions: int = 0
    sums: int = 0
    checks: int = 0
    cpu_seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    violations: dict[int, str] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Count other seeds in."""
        self.seeds += other.seeds
        self.sessions += other.sessions
        self.sums += other.sums
        self.checks += other.checks
        self.cpu_seconds += other.cpu_seconds
        self.faults += other.faults
        self.refusals += other.refusals
        self.violations |= other.violations


def play(seeds: Iterable[int]) -> Tally:
    """Some seeds, one after the other, in this process."""
    tally, since = Tally(), time.process_time()
    with computed_once():
        for seed in seeds:
            tally.seeds += 1
            try:
                played = World(seed).play()
            except Violation as violation:
                tally.violations[seed] = str(violation)
                continue
            tally.sessions += played.ends
            tally.sums += played.sums
            tally.checks += played.checks
            tally.faults.update({str(fault): times for fault, times in played.struck.items()})
            tally.refusals.update(played.codes)
    tally.cpu_seconds = time.process_time() - since
    return tally


def play_all(seeds: range, processes: int = 0) -> Iterator[Tally]:
    """The seeds in parts over `processes` (0: one a core); the tally so far after every part."""
    parts = [seeds[at : at + _AT_ONCE] for at in range(0, len(seeds), _AT_ONCE)]
    total = Tally()
    with ProcessPoolExecutor(processes or os.cpu_count(), initializer=_rarely_collect) as pool:
        for part in pool.map(play, parts):
            total.add(part)
            yield total


def _rarely_collect() -> None:
    """A seed leaves a few thousand objects that die together; looking for them all the time is a fifth of the work."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def write_log(path: Path, tally: Tally, seeds: range, seconds: float) -> None:
    """What is kept of a run of seeds, as JSON."""
    kept = {
        "machine": machine(),
        "command": f"python -m tests.simulation --seeds {seeds[0]}..{seeds[-1]} --log",
        "seconds": round(seconds, 1),
        "seeds_per_second": round(tally.seeds / seconds, 1),
        **asdict(tally),
    }
    kept["cpu_seconds"] = round(tally.cpu_seconds, 1)
    kept["faults"], kept["refusals"] = (
        dict(sorted(tally.faults.items())),
        dict(sorted(tally.refusals.items())),
    )
    path.write_text(json.dumps(kept, indent=1) + "\n")
