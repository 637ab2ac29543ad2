"""What a fault came to, held against its cell: who is in the sum, how the run ended, how long all of it took.

Decides: that the model is the witness. With the known task a server round moves it by the exact mean of the clients in
the sum, so a wrong sum cannot pass for another; events and Flower's own status must agree.
Refuses to know: how the fault was made.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from safetensors.numpy import load_file

from tests.deployment.cells import AWAY, NODES, THRESHOLD, VICTIM, Cell, Killed, Outcome
from tests.deployment.stack import EXECUTOR, SERVER_APP, Stack, Submitted
from tests.support.known_task import NAMES

# A ClientApp that dies before it took its message is started again by Flower after 30 s: too late for these.
ROUND_DEADLINE, TRAINING_DEADLINE = 20.0, 30.0
LATE = 5.0  # seconds past its deadline that a protocol round may take
SILENCE, HEARTBEATS = 60.0, 90.0  # until the link is lost; until Flower fails a run whose ServerApp is dead
_NEAR = 1e-5


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
    if not run.find("round_finished", purpose="evaluation"):
        yield "the next session failed"
    yield from _silent(cell, run)
    everybody, means = set(range(NODES)), _means(run)
    if cell.outcome is Outcome.REFUSED:
        if not run.find("round_failed", server_round=1, code="QUORUM"):
            yield "server round 1 was not refused"
        if not all(means) or means[-1] != everybody:
            yield f"the sums are those of {means}"
    elif means != [everybody if cell.outcome is Outcome.ALL else everybody - {VICTIM}]:
        yield f"the sum is that of {means}"


def _silent(cell: Cell, run: Submitted) -> Iterator[str]:
    """The fault must have been one: who was lost did not answer from then on, and until then nobody was missed."""
    answered = {
        trip["protocol_round"]: trip["answered"] for trip in run.find("protocol_round", server_round=1)
    }
    expected = {name: NODES - cell.silent(name) for name in answered}
    if answered != expected or _refusals(run):
        yield f"of {NODES} there answered {answered}, not {expected}; refused: {_refusals(run)}"


def _refusals(run: Submitted) -> list[str]:
    trips = run.find("protocol_round", server_round=1)
    return [reason for trip in trips for reason in trip["refused"].values()]


def _means(run: Submitted) -> list[set[int] | None]:
    """Whose exact mean each finished training round moved the model by; None: nobody's.

    Each session says which model came in, the last one says it of the model that was saved.
    """
    said = [[event["metrics"][name] for name in NAMES] for event in run.find("round_finished")]
    saved = load_file(run.directory / "model.safetensors")["at"].tolist()
    steps = [
        [b - a for a, b in zip(before, after, strict=True)]
        for before, after in itertools.pairwise([*said, saved])
    ]
    *training, nothing = steps
    return [whose(step) for step in training] if max(map(abs, nothing)) < _NEAR else [None]


def whose(step: Sequence[float]) -> set[int] | None:
    """The clients whose exact mean this is, at least as many as a sum needs; None when it is nobody's."""
    for size in range(THRESHOLD, NODES + 1):
        for clients in itertools.combinations(range(NODES), size):
            total = sum(2**client for client in clients)
            mean = [2**client / total if client in clients else 0.0 for client in range(NODES)]
            if max(abs(a - b) for a, b in zip(step, mean, strict=True)) < _NEAR:
                return set(clients)
    return None
