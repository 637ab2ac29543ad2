"""The ClientApp with a recorder: what each client keeps secret goes to a folder the server never reads."""

import itertools
from pathlib import Path

from flwr.clientapp import ClientApp

import clients.handlers as handlers
from wire import kept_state

app = ClientApp()
FOLDER = Path("@FOLDER@") / "clients"

_numbers = itertools.count()
_place = {"node": 0, "round": 0}
_answer = handlers.answer
_put = kept_state.put


def _write(kind: str, data: bytes) -> None:
    folder = FOLDER / str(_place["node"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{_place['round']}-{next(_numbers)}.{kind}").write_bytes(data)


def _answering(message, context, protocol_round, step):
    import clients.work as work

    if not hasattr(work, "recorded"):
        _instrument(work)
    _place.update(node=context.node_id, round=int(message.metadata.group_id))
    return _answer(message, context, protocol_round, step)


def _putting(store, awaited, state, update=b""):
    _write("state", state)
    _put(store, awaited, state, update)


def _instrument(work) -> None:
    encode, whole, trained = work._encode, work.work, work.arrays_of

    def encoding(values, *rest):
        _write("update", values.tobytes())
        words, counts = encode(values, *rest)
        _write("words", words.tobytes())
        return words, counts

    def arrays(model):
        found = trained(model)
        _write("weights", b"".join(array.tobytes() for array in found.values()))
        return found

    def working(*args):
        done = whole(*args)
        if done.vector.tensor.size:
            _write("scalars", done.vector.scalars.tobytes())
        return done

    work._encode, work.arrays_of, work.work, work.recorded = encoding, arrays, working, True


handlers.answer = _answering
kept_state.put = _putting


# Functions of this module, so that a worker process that is handed one imports the recorder with it.
@app.train("advertise_keys")
def advertise_keys(message, context):
    return handlers.advertise_keys(message, context)


@app.train("share_keys")
def share_keys(message, context):
    return handlers.share_keys(message, context)


@app.train("masked_input")
def masked_input(message, context):
    return handlers.masked_input(message, context)


@app.train("unmasking")
def unmasking(message, context):
    return handlers.unmasking(message, context)
