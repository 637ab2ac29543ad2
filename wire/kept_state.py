"""A client's state between protocol rounds, and what it remembers of a run, as records in Flower's `context.state`.

Decides: that a state is stored under the round it awaits and gone once it is asked for, by whomever and
with whatever message. A request that comes twice, too early or too late finds nothing, and the client is
out of the session.
Refuses to know: what is in a state, or in the update that may be kept beside it.
"""

from flwr.app import ConfigRecord, RecordDict

from wire.rounds import Trip

_KEY, _RUN_KEY = "chorus", "chorus run"
_LAYOUT, _BEGUN, _ROUND, _PINNED = "layout", "begun", "round", "pinned"
_AWAITED, _STATE, _UPDATE = "awaited", "state", "update"


def put(store: RecordDict, awaited: Trip, state: bytes, update: bytes = b"") -> None:
    """Keep `state`, and an update beside it, until `awaited`; the store is wiped first by whoever takes a
    state out.
    """
    store[_KEY] = ConfigRecord({_AWAITED: awaited.value, _STATE: state, _UPDATE: update})


def take(store: RecordDict) -> tuple[str, bytes, bytes]:
    """(round awaited, state, update), all gone from the store; three times empty when nothing was kept."""
    record = store.config_records.get(_KEY)
    if record is None:
        return "", b"", b""
    del store[_KEY]
    awaited, state, update = record.get(_AWAITED), record.get(_STATE), record.get(_UPDATE)
    if not (isinstance(awaited, str) and isinstance(state, bytes) and isinstance(update, bytes)):
        return "", b"", b""
    return awaited, state, update


def keep_layout(store: RecordDict, layout: bytes) -> None:
    """Remember the layout of the run's model; a session that fails does not make the client forget it."""
    _remember(store, _LAYOUT, layout)


def layout_of(store: RecordDict) -> bytes:
    """The layout of the model this client worked on earlier in the run; empty in the first session."""
    layout = _remembered(store, _LAYOUT)
    return layout if isinstance(layout, bytes) else b""


def begin_round(store: RecordDict, server_round: int) -> None:
    """Remember which server round the session under way is of; later messages only say so."""
    _remember(store, _BEGUN, server_round)


def finish_round(store: RecordDict) -> None:
    """Remember that this client did its part in the server round it began: it answers for that and earlier ones no
    more.
    """
    begun = _remembered(store, _BEGUN)
    if isinstance(begun, int):
        _remember(store, _ROUND, begun)


def last_round_of(store: RecordDict) -> int:
    """The last server round of the run that this client finished; 0 for none."""
    last = _remembered(store, _ROUND)
    return last if isinstance(last, int) else 0


def pin(store: RecordDict, key: bytes) -> None:
    """Remember the digest of the key holder's public key, for the rest of the run."""
    _remember(store, _PINNED, key)


def pinned_in(store: RecordDict) -> bytes:
    """The digest of the key that this client met first in the run; empty before."""
    pinned = _remembered(store, _PINNED)
    return pinned if isinstance(pinned, bytes) else b""


def _remember(store: RecordDict, key: str, value: bytes | int) -> None:
    known = store.config_records.get(_RUN_KEY, ConfigRecord())
    store[_RUN_KEY] = ConfigRecord({**known, key: value})


def _remembered(store: RecordDict, key: str) -> object:
    record = store.config_records.get(_RUN_KEY)
    return None if record is None else record.get(key)
