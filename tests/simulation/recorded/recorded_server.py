"""The ServerApp with a recorder: every byte of every reply, and every sum it decoded, go to a folder."""

import itertools
import json
from pathlib import Path

from flwr.common.serde import recorddict_to_proto

import strategies.course as course
from app import server_app
from secagg.server.r4_unmasking import ShareRecovery, Unmasked

app = server_app.app
FOLDER = Path("@FOLDER@") / "server"
FOLDER.mkdir(parents=True, exist_ok=True)

_numbers = itertools.count()
_exchange = course.exchange
_close = ShareRecovery.close


def _recording(*args, **kwargs):
    for node, reply in _exchange(*args, **kwargs):
        name = f"{next(_numbers):05}"
        if isinstance(reply, course.Refusal):
            (FOLDER / f"{name}.refusal").write_text(reply.reason)
        else:
            (FOLDER / f"{name}.reply").write_bytes(recorddict_to_proto(reply).SerializeToString())
        yield node, reply


def _closing(self: ShareRecovery, workers: int = 1) -> Unmasked:
    unmasked = _close(self, workers)
    round_ = self.agreement.session.server_round
    name = f"sum-{round_}-{self.agreement.session.params.tensor_length}"
    (FOLDER / f"{name}.tensor").write_bytes(unmasked.total.tensor.tobytes())
    (FOLDER / f"{name}.scalars").write_bytes(unmasked.total.scalars.tobytes())
    (FOLDER / f"{name}.json").write_text(json.dumps(list(unmasked.survivors)))
    return unmasked


course.exchange = _recording
ShareRecovery.close = _closing
