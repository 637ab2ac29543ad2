"""Event lines in, printed lines out: what a person sees of a run, one line a server round.

Events are those of `events.jsonl`. This module decides the words and their columns; it refuses to
know where events come from, and it prints nothing itself. What comes from a peer (a reason) is
shown printable and cut.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app import failed_round
from app.phrases import printable, size

Event = Mapping[str, Any]

_INDENT: Final = " " * 14
_LONGEST_STORY: Final = 900
_EVERY: Final = 10.0  # seconds between two lines on a protocol round that takes long


@dataclass(slots=True)
class Progress:
    """Turns events into lines; remembers whether there are groups, and what is not yet shown."""

    rounds: int
    _several: bool = False
    _troubles: list[str] = field(default_factory=list)
    _error_bounds: list[tuple[float, str]] = field(default_factory=list)
    _threshold: object = None
    _failing: Event | None = None
    _told_at: float = 0.0

    def lines(self, event: Event) -> list[str]:
        """Lines for one event: none for most, a round's line with its troubles below."""
        name = str(event.get("event", ""))
        teller = _TELLERS.get(name)
        return teller(self, event) if teller else []

    def _started(self, event: Event) -> list[str]:
        self._threshold, groups = event.get("threshold"), event.get("groups")
        self._several = isinstance(groups, int) and groups > 1
        if event.get("job") == "analytics":
            return self._asked(event)
        graph = event.get("neighbours") or "all"
        several = f" in {groups} groups" if self._several else ""
        if event.get("job") == "ring":
            return [
                f"{_text(event, 'task')}, {_text(event, 'strategy')}: {_text(event, 'parameters')} parameters, "
                f"{_text(event, 'clients')} hospitals in a ring"
            ]
        return [
            f"{_text(event, 'task')}, {_text(event, 'strategy')}: "
            f"{_text(event, 'parameters')} parameters, "
            f"{_text(event, 'clients')} clients{several}, threshold {_text(event, 'threshold')}, "
            f"neighbours {graph}, modulus 2^{_text(event, 'modulus_bits')}"
        ]

    def _asked(self, event: Event) -> list[str]:
        graph = event.get("neighbours") or "all"
        return [
            f"analytics, {_text(event, 'table')}: {_text(event, 'statistics')} statistics, "
            f"{_text(event, 'clients')} clients, threshold {_text(event, 'threshold')}, neighbours {graph}"
        ]

    def _stopped(self, event: Event) -> list[str]:
        return [f"no more server rounds after {_text(event, 'server_round')}: {_text(event, 'reason')}"]

    def _answered(self, event: Event) -> list[str]:
        line = (
            f"{self._label(event)}  keys {_text(event, 'keys')}  shares {_text(event, 'shares')}"
            f"  masked {_text(event, 'masked')}  unmasked {_text(event, 'unmasked')}  sums {_text(event, 'sums')}"
            f"  up {size(event.get('bytes_up'))}  {_seconds(event)}"
        )
        return [line, *self._told()]

    def _resumed(self, event: Event) -> list[str]:
        return [*self._started(event), f"continued after server round {_text(event, 'server_round')}"]

    def _key(self, event: Event) -> list[str]:
        return [
            f"key of {_text(event, 'bits')} bits; a node expects it with paillier-key = {_text(event, 'digest')}"
        ]

    def _restarted(self, event: Event) -> list[str]:
        dropped = _ids(event, "dropped")
        self._troubles.append(
            f"the ring starts again without {_few(dropped)}: {_text(event, 'left')} are left"
        )
        return []

    def _refused_checkpoint(self, event: Event) -> list[str]:
        return [f"not used: {_reason(event)}"]

    def _failed_checkpoint(self, event: Event) -> list[str]:
        return [f"{_INDENT}{_reason(event)}"]

    def _privacy(self, event: Event) -> list[str]:
        return [f"privacy, planned: {str(sentence)[:600]}" for sentence in _ids(event, "sentences")]

    def _cohort(self, event: Event) -> list[str]:
        return [f"cohort ready: {len(_ids(event, 'nodes'))} clients"]

    def _waiting(self, event: Event) -> list[str]:
        return [failed_round.waiting(event)]

    def _expected(self, event: Event) -> list[str]:
        one, whole = event.get("client"), event.get("whole")
        if not isinstance(one, dict) or not isinstance(whole, dict):
            return []
        return [
            f"expected: {_text(event, 'trips')} trips a round; a client sends {size(one.get('up'))} and receives "
            f"{size(one.get('down'))} a round; {size(whole.get('up'))} and {size(whole.get('down'))} in all; "
            f"{size(event.get('vectors'))} of memory for masked vectors"
        ]

    def _under_way(self, event: Event) -> list[str]:
        """Now and then, of a protocol round that takes long."""
        seconds = event.get("seconds")
        if not isinstance(seconds, int | float) or seconds < self._told_at + _EVERY:
            return []
        self._told_at = seconds
        return [_INDENT + failed_round.under_way(event)]

    def _protocol_round(self, event: Event) -> list[str]:
        self._failing, self._told_at = event, 0.0
        group = f"group {_text(event, 'group')} " if self._several else ""
        name = f"{group}{_text(event, 'protocol_round')}"
        missing = _ids(event, "missing")
        if missing:
            self._troubles.append(f"{name}: {len(missing)} missing: {_few(missing)}")
        refused = event.get("refused")
        for peer, reason in sorted((refused if isinstance(refused, dict) else {}).items()):
            self._troubles.append(f"{name}: refused {peer}: {printable(reason)}")
        return []

    def _misbehaviour(self, event: Event) -> list[str]:
        self._troubles.append(f"misbehaviour of {_text(event, 'culprit')}: {_reason(event)}")
        return []

    def _failed_group(self, event: Event) -> list[str]:
        self._troubles.append(f"group {_text(event, 'group')} gave no sum: {_reason(event)}")
        return []

    def _finished_round(self, event: Event) -> list[str]:
        line = (
            f"{self._label(event)}  {_counts(event)}"
            f"  {self._judged(event)} {_quality(event)} loss {_number(event, 'loss')}"
            f"  up {size(event.get('bytes_up'))}  {_seconds(event)}"
        )
        for key, words in (
            ("saturated", "coordinates clamped to the encoding bound"),
            ("weights_clamped", "weights clamped to max-examples"),
        ):
            if isinstance(event.get(key), int | float) and event[key] > 0:
                self._troubles.append(f"{event[key]:g} {words}")
        bound = event.get("error_bound")
        if isinstance(bound, int | float):
            self._error_bounds.append((bound, _text(event, "server_round")))
        return [line, *self._told(), *self._rounding(event)]

    def _failed_round(self, event: Event) -> list[str]:
        kept = "" if event.get("purpose") == "analytics" else ", model unchanged"
        line = f"{self._label(event)}  no sum{kept}: {_reason(event)}"
        return [line, *self._told(), *self._why(event), *self._rounding(event)]

    def _why(self, event: Event) -> list[str]:
        """Who was missing, where too few clients are the reason; of several groups the last one's trip says nothing."""
        trip = self._failing or {}
        if (
            event.get("code") != "QUORUM"
            or self._several
            or trip.get("server_round") != event.get("server_round")
        ):
            return []
        said = failed_round.nothing_unmasked(trip, str(event.get("reason", "")), self._threshold)
        return [_INDENT + printable(said, _LONGEST_STORY)] if trip else []

    def _rounding(self, event: Event) -> list[str]:
        """Below the final model, once a run: the largest error bound and the last (docs/encoding.md)."""
        if event.get("purpose") != "evaluation" or not self._error_bounds:
            return []
        largest, last = max(self._error_bounds, key=lambda told: told[0]), self._error_bounds[-1]
        told = ", ".join(f"{bound:.1e} in round {at}" for bound, at in dict.fromkeys((largest, last)))
        return [f"{_INDENT}rounding moved no weight of the mean by more than {told}"]

    def _label(self, event: Event) -> str:
        if event.get("purpose") == "evaluation":
            return "final model "
        if event.get("purpose") == "analytics":
            return f"session {_text(event, 'server_round')}".ljust(12)
        width = len(str(self.rounds))
        number = event.get("server_round", "?")
        return f"round {number!s:>{width}}/{self.rounds}".ljust(12)

    @staticmethod
    def _judged(event: Event) -> str:
        """A training session judges the model it started from."""
        return "final" if event.get("purpose") == "evaluation" else "model in:"

    def _told(self) -> list[str]:
        told = [_INDENT + trouble for trouble in self._troubles]
        self._troubles.clear()
        return told


_TELLERS: Final[dict[str, Callable[[Progress, Event], list[str]]]] = {
    "run_started": Progress._started,
    "run_resumed": Progress._resumed,
    "checkpoint_refused": Progress._refused_checkpoint,
    "checkpoint_failed": Progress._failed_checkpoint,
    "ring_key": Progress._key,
    "ring_restarted": Progress._restarted,
    "privacy_planned": Progress._privacy,
    "cohort_ready": Progress._cohort,
    "protocol_round": Progress._protocol_round,
    "protocol_round_underway": Progress._under_way,
    "run_expected": Progress._expected,
    "cohort_waiting": Progress._waiting,
    "misbehaviour": Progress._misbehaviour,
    "group_failed": Progress._failed_group,
    "round_finished": Progress._finished_round,
    "question_answered": Progress._answered,
    "run_stopped": Progress._stopped,
    "round_failed": Progress._failed_round,
}


def result_lines(event: Event, rounds: int) -> list[str]:
    """What a `run_finished` event says, in two lines, or three where it ended early."""
    central = ""
    if event.get("central_accuracy") is not None:
        central = f"; on the public test set {_number(event, 'central_accuracy')}"
    accuracy = f"accuracy {_number(event, 'accuracy')}, "
    if event.get("accuracy") is None and event.get("loss") is not None:
        accuracy = ""  # a task without such a metric
    early = [f"ended early: {printable(event['stopped'])}"] if event.get("stopped") else []
    return [
        f"result: {accuracy}loss {_number(event, 'loss')} "
        f"(the clients' own validation data, final model){central}",
        f"{_text(event, 'rounds_aggregated')} of {rounds} rounds aggregated in {_seconds(event)}{_pace(event)}",
        *early,
    ]


def _text(event: Event, key: str) -> str:
    value = event.get(key)
    return "-" if value is None else printable(value)


def _number(event: Event, key: str) -> str:
    value = event.get(key)
    return f"{value:.4f}" if isinstance(value, int | float) else "-"


def _counts(event: Event) -> str:
    """How many clients completed what."""
    steps = ("joined", "revealed", "added") if "added" in event else ("keys", "shares", "masked", "unmasked")
    return "  ".join(f"{step} {_text(event, step)}" for step in steps)


def _quality(event: Event) -> str:
    """Accuracy, or the first metric of a task that has none."""
    metrics = event.get("metrics")
    if event.get("accuracy") is None and isinstance(metrics, dict) and metrics:
        name, value = next(iter(metrics.items()))
        return f"{printable(name)} {value:.1f}" if isinstance(value, int | float) else f"{printable(name)} -"
    return f"accuracy {_number(event, 'accuracy')}"


def _seconds(event: Event) -> str:
    value = event.get("seconds")
    return f"{value:.1f} s" if isinstance(value, int | float) else "- s"


def _pace(event: Event) -> str:
    """Of a run whose iterations are many and short."""
    value = event.get("seconds_an_iteration")
    return f", {value:.2f} s an iteration (median)" if isinstance(value, int | float) else ""


def _reason(event: Event) -> str:
    return f"{_text(event, 'code')}: {_text(event, 'reason')}"


def _ids(event: Event, key: str) -> list[Any]:
    value = event.get(key)
    return value if isinstance(value, list) else []


def _few(ids: Iterable[object]) -> str:
    names = [printable(peer) for peer in ids]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
