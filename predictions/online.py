"""What an online server does with a query: evaluate the program on masked values, with one lot of material.

Decides: the walk over the operations, the same one as in `predictions.preparation`. Does no input or output: it is a
generator that yields this server's messages and is sent the other's. Refuses to know: sockets and askers.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

from predictions.asking import MaskedAnswer
from predictions.model_shares import OnlineModel
from predictions.program import Answer, Program


@dataclass(frozen=True)
class Lot:
    """One-time material of one batch; used once, then gone.

    Args:
        rows: examples of the batch.
        seed: 32 bytes, this server's own.
        corrections: of `prepare` for the second server; empty for the first.
    """

    rows: int
    seed: bytes = field(repr=False)
    corrections: bytes = field(repr=False)


def evaluate(
    program: Program, model: OnlineModel, lot: Lot, masked_input: bytes, answer: Answer
) -> Generator[bytes, bytes, MaskedAnswer]:
    """Evaluate one batch: `next` gives the first message, `send(the other's)` the next, StopIteration the answer.

    Args:
        masked_input: of `asking.mask_input`.

    Raises:
        FrameRejected: an input, corrections or a message of the other server whose length is wrong.
    """
    raise NotImplementedError
