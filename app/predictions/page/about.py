"""What the browser must know of a kit: shapes, the range of inputs, how answers are packed, and the canaries.

Decides: the plain JSON that `page.js` reads. All of it stays with the client: the page is served to this machine
alone. Refuses to know: HTTP and links.
"""

from typing import Any

from arithmetic.errors import ConfigError
from predictions.canaries import number_for
from predictions.client import Kit
from predictions.program import Answer
from predictions.steps.choosing import NUMBER_BITS

_SIDES = range(4, 129)


def about(kit: Kit, task: str) -> dict[str, Any]:
    """The JSON object of a kit.

    Raises:
        ConfigError: the model's input is no picture with one channel that a hand could draw.
    """
    program = kit.sharing.program
    first, last = program.wires[0], program.wires[program.operations[-1].target]
    if len(first.shape) != 3 or first.shape[0] != 1 or not all(side in _SIDES for side in first.shape[1:]):
        raise ConfigError(
            f"the page draws pictures of one channel, 4 to 128 pixels a side, and this model takes "
            f"{'x'.join(map(str, first.shape))}; ask with predict query"
        )
    canaries, limits = kit.canaries, kit.sharing.limits
    return {
        "task": task,
        "sharing": kit.sharing.name,
        "height": first.shape[1],
        "width": first.shape[2],
        "scale": first.scale,
        "low": program.low,
        "high": program.high,
        "classes": last.shape[0],
        "answers": {
            Answer.LOGITS.value: {"bits": last.bits, "scale": last.scale},
            Answer.LABEL.value: {"bits": NUMBER_BITS, "scale": 1.0},
        },
        "allowed": sorted(answer.value for answer in limits.answers),
        "ride": number_for(1),
        "canaries": [
            {"input": one.reshape(-1).tolist(), "logits": logits.tolist(), "tolerance": room.tolist()}
            for one, logits, room in zip(canaries.inputs, canaries.logits, canaries.tolerance, strict=True)
        ],
    }
