"""All three servers in one memory: what the owner tries before anything leaves, and what tests compare with.

Decides: how the two online servers' messages are handed over. Refuses to know: sockets, kits and canaries.
"""

import os

import numpy as np
from numpy.typing import NDArray

from predictions.asking import MaskedAnswer, mask_input, sub_seed, unmask
from predictions.model_shares import HelperModel, OnlineModel
from predictions.online import Lot, evaluate
from predictions.preparation import prepare
from predictions.primitives import KEY_BYTES
from predictions.program import Answer, Program

Integers = NDArray[np.int64]
Models = tuple[HelperModel, OnlineModel, OnlineModel]


def rehearse(
    program: Program, models: Models, inputs: Integers, answer: Answer, labels: Integers | None = None
) -> Integers:
    """What the servers would answer.

    Args:
        program: of the model.
        models: the parts of helper, first and second online server.
        inputs: integers of wire 0, (rows, *shape).
        answer: as `asking.unmask` gives it.
        labels: (rows,), for a count.
    """
    rows, (helper, *online) = len(inputs), models
    seeds = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
    lots = (
        Lot(rows, seeds[0], b""),
        Lot(rows, seeds[1], prepare(program, helper, rows, answer, *seeds)),
    )
    masked = mask_input(program, inputs, sub_seed(seeds[0]), sub_seed(seeds[1]), labels)
    sides = [evaluate(program, part, lot, masked, answer) for part, lot in zip(online, lots, strict=True)]
    messages = [next(side) for side in sides]
    told: list[MaskedAnswer] = []
    while not told:
        # Both end at the same step: messages go in pairs.
        replies: list[bytes] = []
        for side, other in zip(sides, reversed(messages), strict=True):
            try:
                replies.append(side.send(other))
            except StopIteration as stop:
                told.append(stop.value)
        messages = replies
    return unmask(program, rows, answer, told[0], told[1])
