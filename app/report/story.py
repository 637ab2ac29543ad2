"""What happened in a run, read back from its directory: rounds, protocol rounds, troubles, and how it ended.

Decides: that of a server round which was held twice the later line counts, and that a model is judged in the round that
it comes into. Refuses to know how any of it is shown.
Everything in the files that came from a peer is text and is shown as such.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from app.config import RunConfig
from app.run_directory import RunDirectory, read_lines

Event = Mapping[str, Any]

_LONGEST: Final = 600
_TROUBLES: Final = (
    "misbehaviour", "group_failed", "ring_restarted", "checkpoint_failed", "checkpoint_refused",
    "central_test_failed", "link_lost", "link_back", "run_resumed",
)  # fmt: skip


@dataclass(frozen=True)
class Round:
    """One server round that gave a sum, or did not.

    Attributes:
        number: its own.
        line: the event that ended it.
        failed: why there is no sum; "" where there is one.
    """

    number: int
    line: Event
    failed: str = ""

    def figure(self, name: str) -> float | None:
        """A number of the event; None where it has none."""
        return number_in(self.line, name)

    def count(self, name: str) -> int:
        """Clients that completed something."""
        value = self.line.get(name)
        return value if isinstance(value, int) else 0


@dataclass
class Trip:
    """One protocol round over all training sessions of the run; mutable while events are read.

    Attributes:
        name: r0, r1, ... or a step of the ring.
        sessions: in which it took place.
        up: bytes received in all of them; `down` sent.
        seconds: wall time in all of them.
        lost: clients that did not complete it: silent or refused.
    """

    name: str
    sessions: int = 0
    up: int = 0
    down: int = 0
    seconds: float = 0.0
    lost: int = 0


@dataclass
class Story:
    """A run; mutable while its events are read.

    Attributes:
        directory: of the run.
        config: what it was asked for.
        facts: of the event `run_started` or the last `run_resumed`.
        rounds: training rounds by number.
        final: the session that judged the final model.
        trips: by name, in the order of the protocol.
        troubles: (server round or 0, one line), in the order of events.
        planned: sentences said before the first session.
        stopped: the event `run_stopped`.
        last: the last word of the run.
    """

    directory: RunDirectory
    config: RunConfig
    facts: Event = field(default_factory=dict)
    rounds: dict[int, Round] = field(default_factory=dict)
    final: Round | None = None
    trips: dict[str, Trip] = field(default_factory=dict)
    troubles: list[tuple[int, str]] = field(default_factory=list)
    planned: tuple[str, ...] = ()
    stopped: Event = field(default_factory=dict)
    last: Event = field(default_factory=dict)
    began: float | None = None
    latest: float | None = None

    @property
    def moment(self) -> str:
        """When it began, UTC."""
        if self.began is None:
            return "not yet"
        return datetime.fromtimestamp(self.began, UTC).strftime("%-d %B %Y, %H:%M UTC")

    @property
    def held(self) -> list[Round]:
        """Rounds in order."""
        return [self.rounds[number] for number in sorted(self.rounds)]

    def judged(self, name: str) -> list[tuple[float, float | None]]:
        """(server round after which the model was so, figure), of the session that it came into.

        Args:
            name: accuracy, loss, central_accuracy, central_loss.
        """
        points = [(float(each.number - 1), each.figure(name)) for each in self.held]
        known = self.final.figure(name) if self.final is not None else None
        points.append((float(max(self.rounds, default=0)), self.figure(name) if known is None else known))
        return points

    def figure(self, name: str) -> float | None:
        """A number of the run's last word."""
        return number_in(self.last, name)


def clean(value: object) -> str:
    """Text of a peer, or of an error, as text: at most 600 characters, none of which does anything."""
    return "".join(c if c.isprintable() else "?" for c in str(value)[:_LONGEST])


def number_in(line: Event, name: str) -> float | None:
    """A number of a line; None where it has none."""
    value = line.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_story(directory: RunDirectory) -> Story:
    """The story of a run, however it stands.

    Raises:
        ConfigError: there is no run, or not one that this version can read.
    """
    story = Story(directory, directory.recorded())
    for event in read_lines(directory.events):
        _take(story, event)
    return story


def _take(story: Story, event: Event) -> None:
    name, moment = str(event.get("event", "")), event.get("time")
    if isinstance(moment, int | float):
        story.began = moment if story.began is None else story.began
        story.latest = moment
    match name:
        case "run_started" | "run_resumed":
            story.facts, story.last, story.stopped = event, {}, {}
        case "run_finished" | "run_failed":
            story.last = event
        case "run_stopped":
            story.stopped = event
        case "privacy_planned":
            sentences = event.get("sentences")
            story.planned = tuple(map(str, sentences)) if isinstance(sentences, list) else ()
        case "protocol_round":
            _tripped(story, event)
        case "round_finished" | "round_failed" | "question_answered":
            _ended(story, name, event)
    if name in _TROUBLES:
        story.troubles.append((_at(event), _told(name, event)))


def _ended(story: Story, name: str, event: Event) -> None:
    failed = f"{event.get('code', '?')}: {event.get('reason', '')}" if name == "round_failed" else ""
    ended = Round(_at(event), event, clean(failed))
    if event.get("purpose") == "evaluation":
        story.final = ended
    else:
        story.rounds[ended.number] = ended
    if failed:
        story.troubles.append((ended.number, f"no sum, the model is unchanged: {ended.failed}"))


def _tripped(story: Story, event: Event) -> None:
    if event.get("purpose") == "evaluation":
        return
    name = str(event.get("protocol_round", "?"))
    trip = story.trips.setdefault(name, Trip(name))
    missing, refused = event.get("missing"), event.get("refused")
    missing = missing if isinstance(missing, list) else []
    refused = refused if isinstance(refused, dict) else {}
    trip.sessions += 1
    trip.up += int(number_in(event, "bytes_up") or 0)
    trip.down += int(number_in(event, "bytes_down") or 0)
    trip.seconds += number_in(event, "seconds") or 0.0
    trip.lost += len(missing) + len(refused)
    if missing:
        story.troubles.append((_at(event), f"{name}: {_few(missing)} did not answer"))
    for node, reason in list(refused.items())[:3]:
        story.troubles.append((_at(event), f"{name}: {clean(node)}: {clean(reason)}"))
    if len(refused) > 3:
        story.troubles.append((_at(event), f"{name}: and {len(refused) - 3} more"))


def _told(name: str, event: Event) -> str:
    match name:
        case "run_resumed":
            return "the run was continued here"
        case "link_lost" | "link_back":
            return "the SuperLink was away" if name == "link_lost" else "the SuperLink is back"
        case "ring_restarted":
            return f"the ring started again without {_few(event.get('dropped') or [])}"
        case "misbehaviour":
            return clean(f"{event.get('culprit')}: {event.get('code')}: {event.get('reason')}")
    return clean(f"{event.get('code', '?')}: {event.get('reason', name)}")


def _at(event: Event) -> int:
    value = event.get("server_round")
    return value if isinstance(value, int) else 0


def _few(nodes: list[Any]) -> str:
    names = ", ".join(clean(node) for node in nodes[:5])
    more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
    return f"{'client' if len(nodes) == 1 else 'clients'} {names}{more}"
