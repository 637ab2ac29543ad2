"""The whole of it on one machine, in separate processes, with an account of what each server saw.

Decides: the order of things, and that kits and parts are gone when it ends. Refuses to know: options, and how any of
it is done.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from app.predictions import ownership
from app.predictions.models import TrainedModel
from predictions.client import Client, Kit
from predictions.credentials import FIRST, HELPER, SECOND, SERVERS
from predictions.evaluation import count_right
from predictions.limits import Limits
from predictions.owner import Owner
from predictions.program import Answer

_END: Final = 30.0
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
    model = ownership.ToShare(trained.network, *trained.range, trained.test.inputs, trained.task)
    with ownership.on_loopback(model, Limits(), say=lambda line: say(f"  {line}")) as loopback:
        for party, size in loopback.shared.sent.items():
            say(f"shared: {size:,} bytes to {party}")
        account = _asked(loopback.kit, trained, examples, say)
        owner = Owner(loopback.owner.servers, loopback.owner.credentials)
        account["servers"] = {party: owner.status(party) for party in SERVERS}
        for party, counts in account["servers"].items():
            done = ", ".join(f"{name} {count}" for name, count in counts.items())
            say(f"{party} saw {_SAW[party]} ({done})")
        for party in (FIRST, SECOND, HELPER):
            owner.shut_down(party)
        for one in loopback.servers:
            one.wait(_END)
    say("together any two of the servers could have seen everything: run them by parties that would not")
    return account


def _asked(kit: Kit, trained: TrainedModel, examples: int, say: Callable[[str], None]) -> dict[str, Any]:
    inputs, labels = trained.test.inputs[:examples], trained.test.labels[:examples]
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
