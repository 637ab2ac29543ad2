"""A client's state between protocol rounds, and what it remembers of a run, as records in Flower's `context.state`.

Decides: that a state is stored under the round it awaits and gone once it is asked for, by whomever and
with whatever message. A request that comes twice, too early or too late finds nothing, and the client is
out of the session.
Refuses to know: what is in a state, or in the update that may be kept beside it.
"""

from flwr.app import ConfigRecord, RecordDict

from wire.rounds import ProtocolRound

_KEY, _RUN_KEY = "chorus", "chorus run"
_LAYOUT = "layout"
_AWAITED, _STATE, _UPDATE = "awaited", "state", "update"


def put(store: RecordDict, awaited: ProtocolRound, state: bytes, update: bytes = b"") -> None:
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
    store[_RUN_KEY] = ConfigRecord({_LAYOUT: layout})


def layout_of(store: RecordDict) -> bytes:
    """The layout of the model this client worked on earlier in the run; empty in the first session."""
    record = store.config_records.get(_RUN_KEY)
    layout = b"" if record is None else record.get(_LAYOUT)
    return layout if isinstance(layout, bytes) else b""
