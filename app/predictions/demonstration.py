"""The whole of it on one machine, in separate processes, with an account of what each server saw.

Decides: the order of things, and that kits and parts are gone when it ends. Refuses to know: options, and how any of
it is done.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.predictions import ownership
from app.predictions.kits import CLIENTS_FOLDER, OWNER_FOLDER, PartyKit, server_folders
from app.predictions.models import TrainedModel
from app.predictions.processes import running
from predictions.client import Client
from predictions.credentials import FIRST, HELPER, SECOND
from predictions.evaluation import count_right
from predictions.limits import Limits
from predictions.owner import Owner
from predictions.program import Answer

_CLIENT: Final = "alice"
_COUNTED: Final = 256
_SAW: Final = {
    HELPER: "two seeds of masks; how many lots of which size it made. No masked value of model, input or answer",
    FIRST: "model and inputs under masks, one of whose two shares it has; sizes, times, who asked",
    SECOND: "the same masked values, with the other shares; sizes, times, who asked",
}


def demonstrate(trained: TrainedModel, examples: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Share a run's model, ask, evaluate, shut down; what came of it, as plain JSON.

    Args:
        trained: the run's model.
        examples: how many of its test set are asked, from the first.
        say: takes lines for people.

    Raises:
        ChorusError: whatever `share`, `query` and `evaluate` raise.
    """
    with tempfile.TemporaryDirectory(prefix="chorus-predictions-") as folder:
        root = Path(folder) / "kits"
        model = ownership.ToShare(trained.network, *trained.range, trained.test.inputs, trained.task)
        prepared = ownership.prepare(model, Limits())
        ownership.loopback_kits(root, [_CLIENT])
        with running(server_folders(root), (), lambda line: say(f"  {line}")) as servers:
            shared = ownership.share(prepared, root, trained.task, say)
            for party, size in shared.sent.items():
                say(f"shared: {size:,} bytes to {party}")
            account = _asked(root, trained, examples, say)
            owner = PartyKit.open(root / OWNER_FOLDER)
            speaker = Owner(owner.servers, owner.credentials)
            account["servers"] = {party: speaker.status(party) for party in owner.servers}
            for party, counts in account["servers"].items():
                done = ", ".join(f"{name} {count}" for name, count in counts.items())
                say(f"{party} saw {_SAW[party]} ({done})")
            for party in (FIRST, SECOND, HELPER):
                speaker.shut_down(party)
            for one in servers:
                one.wait(30)
    say("together any two of the servers could have seen everything: run them by parties that would not")
    return account


def _asked(root: Path, trained: TrainedModel, examples: int, say: Callable[[str], None]) -> dict[str, Any]:
    inputs, labels = trained.test.inputs[:examples], trained.test.labels[:examples]
    kit = PartyKit.open(root / CLIENTS_FOLDER / _CLIENT).for_client()
    with Client(kit) as client:
        client.query(inputs)  # the first one opens links; the second shows what a query costs
        reply = client.query(inputs)
        say(f"asked: {len(inputs)} examples, labels {reply.answers.tolist()}, truly {labels.tolist()}")
        say(
            f"  {reply.seconds * 1000:.1f} ms, {reply.sent + reply.received:,} bytes, {reply.canaries} canaries right"
        )
        logits = client.query(inputs[:1], Answer.LOGITS)
        say(f"asked: logits of the first, {np.round(logits.answers[0], 3).tolist()}")
        told = count_right(client, trained.test.inputs[:_COUNTED], trained.test.labels[:_COUNTED])
        say(
            f"evaluated: {told.right} of {told.examples} right, in {told.seconds:.2f} s; nothing else was revealed"
        )
    return {
        "run": trained.name, "labels": reply.answers.tolist(), "truth": labels.tolist(),
        "seconds": reply.seconds, "sent": reply.sent, "received": reply.received, "canaries": reply.canaries,
        "right": told.right, "examples": told.examples,
    }  # fmt: skip
