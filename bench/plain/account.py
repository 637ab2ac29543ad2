"""Where the wall time of a run went, from its events and its clients' lines.

Decides: what is counted as what. The median steady round is taken apart, so that everything adds up: a round is its
trips and the server's own work, a trip is its parts (`MEANING`), along the client process that was done last, since
the server waits for it. In a simulation that process answers for several clients, one after the other.
Refuses to know how a run was started.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.run_directory import read_lines

MEANING: Mapping[str, str] = {
    "poll": "sent until its process starts (deployed) or its first handler (simulated): Flower looks for messages",
    "start": "process start until the app's imports begin: Python and Flower",
    "import": "the app's imports, and those of r1's handler",
    "train": "training and evaluation",
    "crypto": "the protocol's steps",
    "other": "the rest of the handlers: data, model, records, state; deployed, Flower's part of the process too",
    "relay": "between two handlers of one process: Ray and Flower hand over",
    "back": "last handler's end until the server has the reply: exit, push, the server's polls",
}
PARTS = tuple(MEANING)
_SPANS = ("import", "train", "crypto")

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Trip:
    """One exchange of the median round.

    Attributes:
        name: the protocol round, or Flower's message type.
        parts: part -> wall seconds; they add up to `seconds`.
        cpu: CPU seconds of all clients' handlers together.
    """

    name: str
    seconds: float
    parts: Mapping[str, float]
    cpu: float


@dataclass(frozen=True)
class Account:
    """One run.

    Attributes:
        rounds: seconds of each steady server round, the first left out.
        median: the lower median of them.
        trips: of the round that took `median`.
        accuracy: federated accuracy of the final model.
    """

    rounds: Sequence[float]
    median: float
    trips: Sequence[Trip]
    accuracy: float

    @property
    def server(self) -> float:
        """Seconds of the median round outside any trip: the server's own work."""
        return self.median - sum(trip.seconds for trip in self.trips)


def account_of(run_dir: Path) -> Account:
    """Read a finished run.

    Raises:
        ValueError: fewer than two server rounds finished.
    """
    events = list(read_lines(run_dir / "events.jsonl"))
    ends = {event["server_round"]: event["time"] for event in events if _ends_a_round(event)}
    rounds = {number: end - ends[number - 1] for number, end in sorted(ends.items()) if number - 1 in ends}
    if not rounds:
        raise ValueError(f"{run_dir} holds no steady round")
    middle = sorted(rounds, key=rounds.__getitem__)[(len(rounds) - 1) // 2]
    processes = [list(read_lines(path)) for path in sorted((run_dir / "trips").glob("*.jsonl"))]
    trips = [
        _trip(event, processes) for event in events if _is_trip(event) and event["server_round"] == middle
    ]
    accuracy = next(event["accuracy"] for event in events if event["event"] == "run_finished")
    return Account(list(rounds.values()), rounds[middle], trips, accuracy)


def _ends_a_round(event: Line) -> bool:
    # One period: both are the end of the round's last exchange but for sums that take milliseconds.
    finished = event["event"] == "round_finished" and event["purpose"] == "training"
    return finished or event.get("trip") == "evaluate"


def _is_trip(event: Line) -> bool:
    return event["event"] == "trip" or (event["event"] == "protocol_round" and bool(event["asked"]))


def _trip(event: Line, processes: Sequence[Sequence[Line]]) -> Trip:
    end = event["time"]
    sent = end - event["seconds"]
    within = [[line for line in lines if sent <= line["start"] and line["end"] <= end] for lines in processes]
    busy = [sorted(lines, key=lambda line: line["start"]) for lines in within if lines]
    if not busy:
        raise ValueError(f"no client wrote down what it did between {sent} and {end}")
    last = max(busy, key=lambda lines: lines[-1]["end"])
    cpu = sum(line["cpu"] for lines in busy for line in lines)
    return Trip(event.get("trip") or event["protocol_round"], event["seconds"], _parts(sent, end, last), cpu)


def _parts(sent: float, end: float, lines: Sequence[Line]) -> dict[str, float]:
    """`lines` of one process, in time."""
    first = lines[0]
    fresh = first["born"] > sent
    spans = {name: sum(float(line["spans"].get(name, 0.0)) for line in lines) for name in _SPANS}
    handlers = sum(line["end"] - line["start"] for line in lines)
    return {
        "poll": (first["born"] if fresh else first["start"]) - sent,
        "start": first["loading"] - first["born"] if fresh else 0.0,
        "import": spans["import"] + (first["loaded"] - first["loading"] if fresh else 0.0),
        "train": spans["train"],
        "crypto": spans["crypto"],
        "other": handlers - sum(spans.values()) + (first["start"] - first["loaded"] if fresh else 0.0),
        "relay": lines[-1]["end"] - first["start"] - handlers,
        "back": end - lines[-1]["end"],
    }
