"""Every process of a real deployment killed in every protocol round: predicted and found, cell by cell.

Decides: when a protocol round is under way, and what was found; a sum that is not the exact one of the predicted
clients is a mismatch, whatever the events say. The predictions stand in `cells`.
Refuses to know: why.

    python -m tests.deployment.faults [--only CELL ...] [--save]
"""

import argparse
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from bench.plain.launched import ROOT
from bench.report import KEPT, machine
from tests.deployment.cells import (
    AWAY,
    NODES,
    ROUNDS,
    SECOND,
    THRESHOLD,
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
)  # fmt: skip
from tests.support.known_task import NAMES

ROUND_DEADLINE, TRAINING_DEADLINE = 20.0, 30.0
LATE = 5.0  # seconds past its deadline that a protocol round may take
SILENCE, HEARTBEATS = 60.0, 90.0  # until the link is lost; until Flower fails a run whose ServerApp is dead
_NEAR = 1e-5
_PACKAGES = ("app", "strategies", "clients", "wire", "secagg", "privacy", "arithmetic")


@dataclass(frozen=True)
class Found:
    """What one cell came to.

    Attributes:
        cell: which.
        outcome: what was found, in the words of the prediction where they agree.
        wrong: what does not agree; empty when all is well.
        seconds: from the signal to the end of the run.
    """

    cell: Cell
    outcome: str
    wrong: tuple[str, ...]
    seconds: float

    @property
    def line(self) -> str:
        """For people."""
        verdict = "as predicted" if not self.wrong else f"MISMATCH: {'; '.join(self.wrong)}"
        return f"{self.cell.name:34} {self.cell.outcome:40} {self.seconds:6.1f} s  {verdict}"

    @property
    def record(self) -> dict[str, Any]:
        """For `bench/results/faults.json`."""
        return {
            "cell": self.cell.name, "predicted": self.cell.outcome, "found": self.outcome,
            "wrong": list(self.wrong), "seconds": round(self.seconds, 1),
        }  # fmt: skip


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
            run = stack.submit(tree, settings(cell.rounds))
            struck = strike(cell, stack, run)
            found = judge(cell, stack, run, struck)
            if cell.again and cell.outcome is Outcome.STOPPED and not starts(stack, tree):
                return replace(
                    found, outcome="otherwise", wrong=(*found.wrong, "no other run could be started")
                )
            return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def starts(stack: Stack, tree: Path) -> bool:
    """Whether another run starts."""
    return stack.submit(tree, settings(1), "second").await_event(bool, 60)


def judge(cell: Cell, stack: Stack, run: Submitted, struck: float) -> Found:
    """Wait for the end and hold everything that can be seen against the prediction."""
    ended = run.await_end(cell.rounds * 120 + HEARTBEATS)
    seconds = time.monotonic() - struck
    wrong = [*_late(cell, run)]
    if not ended:
        wrong.append("the run hangs")
    match cell.outcome:
        case Outcome.STOPPED:
            wrong += _stopped(run, ended, seconds)
        case Outcome.LINK_LOST:
            wrong += _link_lost(stack, run, ended, seconds)
        case _:
            wrong += _summed(cell, run, ended)
    return Found(cell, "otherwise" if wrong else cell.outcome, tuple(wrong), seconds)


def _late(cell: Cell, run: Submitted) -> Iterator[str]:
    """Protocol rounds that took longer than their deadline allows; what the SuperLink was away is not theirs."""
    away = AWAY + 20.0 if cell.killed is Killed.SUPER_LINK and cell.again else 0.0
    for trip in run.find("protocol_round"):
        deadline = TRAINING_DEADLINE if trip["protocol_round"] == "r1" else ROUND_DEADLINE
        if trip["seconds"] > deadline + away + LATE:
            yield f"{trip['protocol_round']} took {trip['seconds']:.1f} s"


def _stopped(run: Submitted, ended: str, seconds: float) -> Iterator[str]:
    if not ended.startswith("finished:failed"):
        yield f"Flower calls the run {ended or 'unended'}"
    if seconds > HEARTBEATS:
        yield f"it took {seconds:.0f} s"
    yield from _released(run)


def _link_lost(stack: Stack, run: Submitted, ended: str, seconds: float) -> Iterator[str]:
    failed = run.find("run_failed", code="ENV")
    if ended != "run_failed" or not failed or "has not answered" not in failed[0]["reason"]:
        yield f"the run ended with {run.events[-1]}"
    if seconds > SILENCE + 2 * LATE:
        yield f"it took {seconds:.0f} s"
    end = time.monotonic() + 15
    while stack.processes(EXECUTOR, SERVER_APP) and time.monotonic() < end:
        time.sleep(0.1)
    if stack.processes(EXECUTOR, SERVER_APP):
        yield "the ServerApp is still there"
    yield from _released(run)


def _released(run: Submitted) -> Iterator[str]:
    if run.find("round_finished") or (run.directory / "model.safetensors").exists():
        yield "something was released"


def _summed(cell: Cell, run: Submitted, ended: str) -> Iterator[str]:
    """Each server round's mean, as the models tell it, is the exact one of the clients that should be in it."""
    if ended != "run_finished":
        yield f"the run ended with {run.events[-1]}"
        return
    first, *later = _means(run)
    everybody = set(range(NODES))
    match cell.outcome:
        case Outcome.ALL:
            expected: list[set[int]] | None = [everybody]
        case Outcome.OTHERS:
            expected = [everybody - {VICTIM}]
        case _:
            expected = None
    if expected is None:
        if run.find("round_finished", server_round=1):
            yield "server round 1 was not refused"
        failed = run.find("round_failed", server_round=1, code="QUORUM")
        if not failed or (first, *later)[-1] != everybody:
            yield f"it came to {(first, *later)} after {failed}"
    elif [first, *later] != expected:
        yield f"the sum is that of {[first, *later]}"
    if not run.find("round_finished", purpose="evaluation"):
        yield "the next session failed"


def _means(run: Submitted) -> list[set[int] | None]:
    """Whose exact mean each finished training round moved the model by; None: nobody's."""
    models = [
        [event["metrics"][name] for name in NAMES]
        for event in run.find("round_finished")
    ] + [load_file(run.directory / "model.safetensors")["at"].tolist()]  # fmt: skip
    moves = [[b - a for a, b in itertools.pairwise(column)] for column in zip(*models, strict=True)]
    steps = [list(step) for step in zip(*moves, strict=True)]
    # The last session judges the model that was saved: between the two nothing moved.
    *training, nothing = steps
    return [_whose(step) for step in training] if max(map(abs, nothing)) < _NEAR else [None]


def _whose(step: Sequence[float]) -> set[int] | None:
    for size in range(THRESHOLD, NODES + 1):
        for clients in itertools.combinations(range(NODES), size):
            total = sum(2**client for client in clients)
            mean = [2**client / total if client in clients else 0.0 for client in range(NODES)]
            if max(abs(a - b) for a, b in zip(step, mean, strict=True)) < _NEAR:
                return set(clients)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the cells, print each, and say by the exit status whether all came as predicted."""
    parser = argparse.ArgumentParser(
        description="Kill every process of a deployment in every protocol round."
    )
    known = {cell.name: cell for cell in cells()}
    parser.add_argument(
        "--only", nargs="+", metavar="CELL", choices=sorted(known), help="such as SuperNode@r1"
    )
    parser.add_argument("--save", action="store_true", help="keep the result in bench/results/faults.json")
    options = parser.parse_args(arguments)
    found = []
    with known_tree() as tree:
        for name in options.only or known:
            found.append(play(known[name], tree))
            print(found[-1].line, flush=True)
    if options.save:
        report = {"machine": machine(), "cells": [one.record for one in found]}
        (KEPT / "faults.json").write_text(json.dumps(report, indent=1) + "\n")
    return int(any(one.wrong for one in found))


if __name__ == "__main__":
    sys.exit(main())
