"""Where the wall time of a run went, from its events and its clients' lines.

Decides: what is counted as what. A trip is split along the client that was done last, since the server waits for it:

    wait    from sending until its process starts (deployed) or its handler (simulated): polls, queue, the server's part
    start   process start until the app's import begins: Python, Flower
    import  the app's imports, and those of r1's handler
    train   training and evaluation        crypto   the protocol's steps
    other   the rest of the handler: data, model, records, state, in a deployment also Flower's part of the process
    back    handler's end until the server has the reply: exit, push, polls

`busy` is the sum of all clients' handlers. All in seconds. Refuses to know how a run was started.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.run_directory import read_lines

PARTS = ("wait", "start", "import", "train", "crypto", "other", "back", "busy")

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Account:
    """One run.

    Attributes:
        rounds: seconds of each steady server round, the first left out.
        trips: trip -> its median seconds.
        parts: trip -> part -> median seconds.
        between: median seconds of a round outside any trip: the server's own work.
        accuracy: federated accuracy of the final model.
    """

    rounds: Sequence[float]
    trips: Mapping[str, float]
    parts: Mapping[str, Mapping[str, float]]
    between: float
    accuracy: float

    @property
    def median(self) -> float:
        """Seconds of a steady round."""
        return statistics.median(self.rounds)


def account_of(run_dir: Path) -> Account:
    """Read a finished run.

    Raises:
        ValueError: fewer than two server rounds finished.
    """
    trips, ends, accuracy = list[Line](), dict[int, float](), 0.0
    for event in read_lines(run_dir / "events.jsonl"):
        if event["event"] == "trip" or (event["event"] == "protocol_round" and event["asked"]):
            trips.append(event | {"trip": event.get("trip") or event["protocol_round"]})
        if event["event"] == "run_finished":
            accuracy = event["accuracy"]
        # One period: both are the end of the round's last exchange but for sums that take milliseconds.
        if event.get("trip") == "evaluate" or (
            event["event"] == "round_finished" and event["purpose"] == "training"
        ):
            ends[event["server_round"]] = event["time"]
    rounds = [ends[number] - ends[number - 1] for number in sorted(ends) if number - 1 in ends]
    if not rounds:
        raise ValueError(f"{run_dir} holds no steady round")
    steady = [trip for trip in trips if trip["server_round"] - 1 in ends and trip["server_round"] in ends]
    clients = [line for path in sorted((run_dir / "trips").glob("*.jsonl")) for line in read_lines(path)]
    names = list(dict.fromkeys(trip["trip"] for trip in steady))
    split = {name: [_parts(trip, clients) for trip in steady if trip["trip"] == name] for name in names}
    seconds = {name: _median([trip["seconds"] for trip in steady if trip["trip"] == name]) for name in names}
    parts = {
        name: {part: _median([row[part] for row in rows]) for part in PARTS} for name, rows in split.items()
    }
    between = sum(rounds) - sum(trip["seconds"] for trip in steady)
    return Account(rounds, seconds, parts, between / len(rounds), accuracy)


def _parts(trip: Line, lines: Sequence[Line]) -> dict[str, float]:
    end = trip["time"]
    sent = end - trip["seconds"]
    ours = [line for line in lines if sent <= line["start"] and line["end"] <= end]
    if not ours:
        return dict.fromkeys(PARTS, 0.0)
    last = max(ours, key=lambda line: line["end"])
    fresh = last["born"] > sent
    loading = last["loaded"] - last["loading"] if fresh else 0.0
    spans = {name: float(last["spans"].get(name, 0.0)) for name in ("import", "train", "crypto")}
    handler = last["end"] - last["start"]
    return {
        "wait": (last["born"] if fresh else last["start"]) - sent,
        "start": last["loading"] - last["born"] if fresh else 0.0,
        "import": loading + spans["import"],
        "train": spans["train"],
        "crypto": spans["crypto"],
        "other": handler - sum(spans.values()) + (last["start"] - last["loaded"] if fresh else 0.0),
        "back": end - last["end"],
        "busy": sum(line["end"] - line["start"] for line in ours),
    }


def _median(numbers: Sequence[float]) -> float:
    return statistics.median(numbers) if numbers else 0.0
