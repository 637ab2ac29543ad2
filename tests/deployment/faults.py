"""Every process of a real deployment killed in every protocol round: predicted and found, cell by cell.

Decides: when a protocol round is under way, and how its victim is found and killed. The predictions stand in `cells`.
Refuses to know: what is wrong and what is right (`verdict`).

    python -m tests.deployment.faults [--only CELL ...] [--save]
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.plain.launched import PACKAGES, ROOT
from bench.report import KEPT, machine
from tests.deployment.cells import (
    AWAY,
    NODES,
    ROUNDS,
    SECOND,
    VICTIM,
    Cell,
    Killed,
    Outcome,
    cells,
)
from tests.deployment.stack import (
    CLIENT_APP,
    EXECUTOR,
    LINK,
    SERVER_APP,
    SUPER_EXEC,
    Stack,
    Submitted,
    node_name,
    running,
)
from tests.deployment.verdict import ROUND_DEADLINE, TRAINING_DEADLINE, Found, judge

_PACKAGES = [package for package in PACKAGES if not package.startswith("bench")]


@contextmanager
def known_tree() -> Iterator[Path]:
    """The app as it is installed, with a task whose update is known exactly."""
    folder = Path(tempfile.mkdtemp(prefix="chorus-faults-"))
    try:
        for package in _PACKAGES:
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("LICENSE", "README.md", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copy(ROOT / "tests" / "support" / "known_task.py", folder / "app" / "known_task.py")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settings(rounds: int) -> str:
    """Of a run of the known task: one step of one unit, so that the model tells who was counted."""
    return (
        f'clients={NODES} rounds={rounds} task="app.known_task" learning-rate=1.0 momentum=0.0 local-epochs=1 '
        f'batch-size=8 max-examples=8 device="cpu" central-test=false '
        f"round-deadline={ROUND_DEADLINE} training-deadline={TRAINING_DEADLINE}"
    )


def play(cell: Cell, tree: Path) -> Found:
    """Start a deployment and a run, kill, and compare."""
    folder = Path(tempfile.mkdtemp(prefix="chorus-fault-"))
    try:
        with running(Stack(folder, NODES)) as stack:
            return _played(cell, stack, tree)
    except RuntimeError as error:
        return Found(cell, "not played", (str(error),), 0.0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _played(cell: Cell, stack: Stack, tree: Path) -> Found:
    run = stack.submit(tree, settings(cell.rounds))
    struck = strike(cell, stack, run)
    found = judge(cell, stack, run, struck)
    if cell.again and cell.outcome is Outcome.STOPPED and not _starts(stack, tree):
        return replace(found, outcome="otherwise", wrong=(*found.wrong, "no other run could be started"))
    return found


def _starts(stack: Stack, tree: Path) -> bool:
    """Whether another run starts."""
    return stack.submit(tree, settings(1), "second").await_event(bool, 60)


def strike(cell: Cell, stack: Stack, run: Submitted) -> float:
    """Kill when the protocol round is under way and its victim is at work; start it again where the cell says so.

    Returns:
        When the signal went out, on the monotonic clock.
    """
    before = ROUNDS.index(cell.protocol_round)

    def under_way(events: list[dict[str, Any]]) -> bool:
        return sum(event["event"] in ("session_opened", "protocol_round") for event in events) > before

    if not run.await_event(under_way, 120):
        raise RuntimeError(f"{cell.name}: {cell.protocol_round} never began: {run.events}")
    victims = [VICTIM, SECOND] if cell.killed is Killed.TWO_CLIENT_APPS else [VICTIM]
    _await_client_apps(stack, victims)
    struck = time.monotonic()
    if not all([_killed(cell.killed, stack, number) for number in victims]):
        raise RuntimeError(f"{cell.name}: there was nothing to kill")
    if cell.again:
        _start_again(cell.killed, stack)
    return struck


def _await_client_apps(stack: Stack, numbers: Sequence[int]) -> None:
    """Wait for processes of this protocol round: those of the round before may still be ending."""
    old = {number: set(stack.processes(node_name(number), CLIENT_APP)) for number in numbers}
    end = time.monotonic() + ROUND_DEADLINE
    while not all(set(stack.processes(node_name(number), CLIENT_APP)) - old[number] for number in numbers):
        if time.monotonic() > end:
            raise RuntimeError(f"not every node of {numbers} started a ClientApp")
        time.sleep(0.02)


def _killed(killed: Killed, stack: Stack, number: int) -> bool:
    match killed:
        case Killed.CLIENT_APP | Killed.TWO_CLIENT_APPS:
            return stack.kill(node_name(number), CLIENT_APP)
        case Killed.SUPER_NODE:
            return stack.kill(node_name(number))
        case Killed.NODE_SUPER_EXEC:
            return stack.kill(node_name(number), SUPER_EXEC)
        case Killed.SUPER_EXEC:
            return stack.kill(EXECUTOR)
        case Killed.SERVER_APP:
            return stack.kill(EXECUTOR, SERVER_APP)
        case Killed.SUPER_LINK:
            return stack.kill(LINK)


def _start_again(killed: Killed, stack: Stack) -> None:
    match killed:
        case Killed.SUPER_NODE:
            stack.start_node(VICTIM)
        case Killed.SUPER_EXEC:
            stack.start_executor()
        case Killed.SUPER_LINK:
            time.sleep(AWAY)
            stack.start_link()


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the cells, print each, and say by the exit status whether all came as predicted."""
    parser = argparse.ArgumentParser(
        description="Kill every process of a deployment in every protocol round."
    )
    known = {cell.name: cell for cell in cells()}
    parser.add_argument(
        "--only", nargs="+", metavar="CELL", choices=sorted(known), help="such as SuperNode@r1"
    )
    parser.add_argument("--save", action="store_true", help="keep the results in bench/results/faults.json")
    options = parser.parse_args(arguments)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that a stopped command leaves no process behind
    mismatches = 0
    with known_tree() as tree:
        for name in options.only or known:
            found = play(known[name], tree)
            mismatches += bool(found.wrong)
            print(found.line, flush=True)
            if options.save:
                keep(found)
    return int(mismatches > 0)


def keep(found: Found) -> None:
    """Put one result beside those that are kept, in the order of the table."""
    path = KEPT / "faults.json"
    kept = json.loads(path.read_text())["cells"] if path.exists() else []
    results = {record["cell"]: record for record in [*kept, found.record]}
    ordered = [results[cell.name] for cell in cells() if cell.name in results]
    path.write_text(json.dumps({"machine": machine(), "cells": ordered}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
