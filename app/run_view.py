"""The state of a run, folded from its events: what is known at this moment, for whoever shows it.

Decides: what an event changes. Refuses to know how it is shown (`app.live_view`), and where events come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Final

Event = Mapping[str, Any]

_TRIPS: Final = {
    "r0": "advertise keys",
    "r1": "train, share",
    "r2": "masked input",
    "r3": "agree on survivors",
    "r4": "unmask",
}
_PACE: Final = 5  # rounds from which the time that is left follows


@dataclass
class Trip:
    """One protocol round, all groups together.

    Attributes:
        asked, answered: clients; `missing`, `refused` of them.
        is_over: whether its replies are no longer waited for.
    """

    name: str
    asked: int = 0
    answered: int = 0
    missing: int = 0
    refused: int = 0
    seconds: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    is_over: bool = False
    waiting: tuple[str, ...] = ()


@dataclass
class RunView:
    """What is known of a run.

    Attributes:
        facts: of `run_started`; `expected` of `run_expected`.
        status: starting, waiting, running, finished, failed.
        connected, wanted: nodes, while the cohort is waited for.
        trips: of the server round under way, by protocol round.
        accuracy, loss: of each model that was judged, on the clients' own data; where nothing of it is told, on the
            public test set (`is_central`).
        dropped: clients that shared keys and vanished, over all rounds; `recovered` those whose masks were removed.
        course: epsilon after a number of server rounds; `budget` the target, 0 where there is none.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    status: str = "starting"
    connected: int = 0
    wanted: int = 0
    server_round: int = 0
    purpose: str = ""
    trips: dict[str, Trip] = field(default_factory=dict)
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    is_central: bool = False
    done: int = 0
    failed: int = 0
    dropped: int = 0
    recovered: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    course: list[tuple[int, float]] = field(default_factory=list)
    budget: float = 0.0
    began: float | None = None
    latest: float | None = None
    _ends: list[float] = field(default_factory=list)
    _is_open: bool = False

    def take(self, event: Event) -> None:
        """Change what an event changes; one that is not known changes nothing."""
        moment = event.get("time")
        if isinstance(moment, int | float):
            self.began, self.latest = moment if self.began is None else self.began, moment
        handler = _HANDLERS.get(str(event.get("event")))
        if handler:
            handler(self, event)

    @property
    def rounds(self) -> int:
        """Server rounds asked for; 0 where they are not known yet."""
        return _whole(self.facts, "rounds")

    @property
    def under_way(self) -> str:
        """The protocol round that is waited for and has not told anything yet; empty where there is none."""
        known = (
            self._is_open and self.facts.get("job") != "ring"
        )  # whose hops follow each other in no fixed number
        if self.status != "running" or not known or not all(trip.is_over for trip in self.trips.values()):
            return ""
        order = [key for key in _TRIPS if key != "r3" or self.facts.get("adversary") == "active"]
        left = [key for key in order if key not in self.trips]
        return f"{left[0]} {_TRIPS[left[0]]}" if left else ""

    @property
    def seconds_left(self) -> float | None:
        """By the pace of the last rounds; None before there is one."""
        gaps = [later - earlier for earlier, later in pairwise(self._ends[-_PACE - 1 :])]
        if not gaps or self.status != "running":
            return None
        return float(median(gaps)) * max(self.rounds - self.done - self.failed, 0)

    @property
    def epsilon(self) -> float | None:
        """Spent so far, by the course that was announced; every round that began counts."""
        reached = [epsilon for rounds, epsilon in self.course if rounds >= self.server_round]
        if not self.course or not self.server_round:
            return 0.0 if self.course else None
        return reached[0] if reached else self.course[-1][1]

    def _started(self, event: Event) -> None:
        self.facts, self.began = dict(event), self.latest  # of the process that goes on, where it was resumed
        self.status = "waiting"
        self.wanted = _whole(event, "clients")
        self.done = _whole(event, "server_round")
        self._ends.clear()

    def _expected(self, event: Event) -> None:
        self.expected = dict(event)

    def _waiting(self, event: Event) -> None:
        self.connected, self.wanted = _whole(event, "connected"), _whole(event, "wanted")

    def _ready(self, event: Event) -> None:
        self.status, self.connected = "running", _length(event, "nodes")
        if self.latest is not None:
            self._ends.append(self.latest)

    def _opened(self, event: Event) -> None:
        at, purpose = _whole(event, "server_round"), str(event.get("purpose", ""))
        if (at, purpose) != (self.server_round, self.purpose):
            self.server_round, self.purpose, self.trips = at, purpose, {}
        self.status, self._is_open = "running", True

    def _underway(self, event: Event) -> None:
        trip = self._trip(event)
        trip.asked, trip.answered = _whole(event, "asked"), _whole(event, "answered")
        waiting = event.get("waiting")
        trip.waiting = tuple(map(str, waiting)) if isinstance(waiting, list) else ()
        trip.seconds = _number(event, "seconds")

    def _tripped(self, event: Event) -> None:
        trip = self._trip(event)
        if not trip.is_over:  # what was told while it went on is told again in full
            trip.asked = trip.answered = 0
        trip.asked += _whole(event, "asked")
        trip.answered += _whole(event, "answered")
        trip.missing += _length(event, "missing")
        trip.refused += _length(event, "refused")
        trip.seconds = max(trip.seconds if trip.is_over else 0.0, _number(event, "seconds"))
        trip.bytes_up += _whole(event, "bytes_up")
        trip.bytes_down += _whole(event, "bytes_down")
        trip.is_over, trip.waiting = True, ()
        self.bytes_up += _whole(event, "bytes_up")
        self.bytes_down += _whole(event, "bytes_down")

    def _finished_round(self, event: Event) -> None:
        for values, key in ((self.accuracy, "accuracy"), (self.loss, "loss")):
            found = [event.get(name) for name in (key, f"central_{key}")]
            values += [float(value) for value in found if isinstance(value, int | float)][:1]
        self.is_central = event.get("loss") is None and event.get("central_loss") is not None
        lost = max(_whole(event, "shares") - _whole(event, "masked"), 0)
        self.dropped, self.recovered = self.dropped + lost, self.recovered + lost
        if event.get("purpose") != "evaluation":
            self.done += 1
        self._ended()

    def _failed_round(self, event: Event) -> None:
        shares, masked = (self.trips.get(at, Trip("")).answered for at in ("r1", "r2"))
        self.dropped += max(shares - masked, 0)
        self.failed += int(event.get("purpose") != "evaluation")
        self._ended()

    def _ended(self) -> None:
        self._is_open = False
        if self.latest is not None:
            self._ends.append(self.latest)

    def _course(self, event: Event) -> None:
        points = event.get("points")
        self.course = [(int(at), float(spent)) for at, spent in points] if isinstance(points, list) else []
        self.budget = _number(event, "epsilon")

    def _finished(self, _: Event) -> None:
        self.status = "finished"

    def _failed(self, _: Event) -> None:
        self.status = "failed"

    def _trip(self, event: Event) -> Trip:
        key = str(event.get("protocol_round", "?"))
        return self.trips.setdefault(key, Trip(_TRIPS.get(key, key)))


_HANDLERS: Final = {
    "run_started": RunView._started,
    "run_resumed": RunView._started,
    "run_expected": RunView._expected,
    "privacy_course": RunView._course,
    "cohort_waiting": RunView._waiting,
    "cohort_ready": RunView._ready,
    "session_opened": RunView._opened,
    "protocol_round_underway": RunView._underway,
    "protocol_round": RunView._tripped,
    "round_finished": RunView._finished_round,
    "round_failed": RunView._failed_round,
    "run_finished": RunView._finished,
    "run_failed": RunView._failed,
}


def _whole(event: Event, key: str) -> int:
    value = event.get(key)
    return value if isinstance(value, int) else 0


def _number(event: Event, key: str) -> float:
    value = event.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def _length(event: Event, key: str) -> int:
    value = event.get(key)
    return len(value) if isinstance(value, list | dict) else 0
