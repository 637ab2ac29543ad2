"""Damaged messages against every parser: only errors of our own tree, under 5 ms and 64 MB of growth each.

    python -m tests.fuzz --inputs 1000000 --out bench/results/fuzz.json
    python -m tests.fuzz --inputs 100 --seed 7 --only SharesRevealed

The same seed gives the same inputs. Time is the thread's own CPU time, so a busy machine finds nothing. Address space
is capped at 64 MB above what the process has before the first message: one that needs more ends in MemoryError, and so
would a leak of 64 bytes a message.
"""

import argparse
import gc
import json
import random
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arithmetic.errors import ChorusError
from tests.fuzz.targets import Target, targets

MOST_SECONDS = 0.005
MOST_GROWTH = 64 << 20
MOST_FINDINGS = 20


@dataclass
class Record:
    """What became of a target's inputs."""

    inputs: int = 0
    taken: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    slowest_ms: float = 0.0
    findings: list[str] = field(default_factory=list)


def fuzz(name: str, target: Target, inputs: int, seed: int) -> Record:
    """Run so many inputs against one target."""
    chance, record = random.Random(f"{name}/{seed}"), Record(inputs=inputs)
    for number in range(inputs):
        one = target.make(chance)
        seconds = _run(target, one, record)
        if seconds > MOST_SECONDS:
            # Once may be a page fault or the collector; three times is the message.
            seconds = min(seconds, _run(target, one, Record()), _run(target, one, Record()))
        record.slowest_ms = max(record.slowest_ms, round(1000 * seconds, 3))
        if seconds > MOST_SECONDS:
            record.findings.append(f"input {number} took {1000 * seconds:.1f} ms: {_shown(one)}")
        if len(record.findings) >= MOST_FINDINGS:
            record.inputs = number + 1
            break
    return record


def _run(target: Target, one: Any, record: Record) -> float:
    """CPU seconds of one message."""
    begun = time.thread_time()
    try:
        target.read(one)
        record.taken += 1
    except ChorusError as error:
        kind, text = type(error).__name__, str(error)
        record.refused[kind] = record.refused.get(kind, 0) + 1
        if not text or not text.isprintable():
            record.findings.append(f"{kind} says {text[:200]!r} to {_shown(one)}")
    except Exception as error:  # noqa: BLE001
        record.findings.append(f"{type(error).__name__}: {str(error)[:200]} for {_shown(one)}")
    return time.thread_time() - begun


def _shown(one: Any) -> str:
    text = one.hex() if isinstance(one, bytes) else repr(one)
    return text if len(text) < 4000 else f"{text[:4000]}..."


def cap_memory() -> None:
    """No more address space than there is now, and 64 MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_GROWTH, hard))


def main() -> int:
    """Every target, or those asked for; exit 1 where there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=None, help="names of targets")
    parser.add_argument(
        "--out", type=Path, default=None, help="a JSON file; targets that it has and that are not run stay"
    )
    options = parser.parse_args()
    every = targets()
    unknown = set(options.only or ()) - set(every)
    if unknown:
        parser.error(f"no target is named {', '.join(sorted(unknown))}; choose from {', '.join(every)}")
    found: dict[str, Any] = (
        json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    )
    gc.freeze()
    if Path("/proc/self/statm").exists():
        cap_memory()
    failed = False
    for name in options.only or every:
        before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        record = fuzz(name, every[name], options.inputs, options.seed)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        cpu = round(time.process_time() - begun, 1)
        found[name] = {
            **vars(record),
            "seed": options.seed,
            "cpu_seconds": cpu,
            "growth_mib": round(grown / 1024, 1),
        }
        failed |= bool(record.findings)
        print(
            f"{name}: {record.inputs} inputs, {record.taken} taken, slowest {record.slowest_ms} ms, {cpu} s",
            flush=True,
        )
        for finding in record.findings:
            print(f"  {finding}", flush=True)
        if options.out:
            options.out.write_text(json.dumps(found, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
