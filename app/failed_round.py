"""Why a server round gave no sum, in one sentence: who was missing, and what each of them said or did not say.

Decides: the words of CH-P03, and those of a wait. Refuses to know what a session is.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from app.catalogue import NOTHING_UNMASKED

Event = Mapping[str, Any]

_NAMED: Final = 5
_NEEDED: Final = re.compile(r"(\d+) are needed")
_DID: Final = {
    "r0": "sent their keys", "r1": "trained and shared keys", "r2": "sent a masked input",
    "r3": "signed who survived", "r4": "helped to unmask",
}  # fmt: skip


def nothing_unmasked(trip: Event, reason: str, threshold: object) -> str:
    """What happened in the protocol round at which a session ended without a sum.

    Args:
        trip: the last `protocol_round` event of the server round, of the group that failed.
        reason: of the event `round_failed`; where it says how many were needed, that counts.
        threshold: as the run began with; None where it is not known.
    """
    asked, answered = trip.get("asked", 0), trip.get("answered", 0)
    missing, refused = trip.get("missing"), trip.get("refused")
    silent = (
        [f"{node} (no answer in {_seconds(trip)})" for node in missing] if isinstance(missing, list) else []
    )
    spoken = [f"{node} ({why})" for node, why in refused.items()] if isinstance(refused, dict) else []
    gone = [*silent, *spoken]
    names = ", ".join(gone[:_NAMED]) + (f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else "")
    at = trip.get("server_round", 0)
    kept = f"the model of round {at - 1}" if isinstance(at, int) and at > 1 else "the initial model"
    told = _NEEDED.search(reason)
    needed = "" if threshold is None else f", threshold is {threshold}"
    if told and told[1] != str(threshold):
        needed = f", {told[1]} are needed"
    did = _DID.get(str(trip.get("protocol_round")), "answered")
    return (
        f"{NOTHING_UNMASKED}  Round {at}: {answered} of {asked or answered} clients {did}{needed}. "
        f"Nothing was unmasked; {kept} is safe. Missing: {names or 'nobody'}."
    )


def waiting(event: Event) -> str:
    """Of `cohort_waiting`."""
    return (
        f"waiting for nodes: {event.get('connected', 0)} of {event.get('wanted', 0)} are connected; "
        f"the run gives up in {event.get('seconds_left', 0)} s (cohort-deadline)"
    )


def under_way(event: Event) -> str:
    """Of `protocol_round_underway`."""
    nodes = event.get("waiting")
    names = ", ".join(map(str, nodes[:_NAMED])) if isinstance(nodes, list) else ""
    return (
        f"{event.get('protocol_round')}: {event.get('answered')} of {event.get('asked')} after {_seconds(event)}, "
        f"waiting for {names or 'nobody'}"
    )


def _seconds(event: Event) -> str:
    value = event.get("seconds")
    return f"{value:.0f} s" if isinstance(value, int | float) else "time"
