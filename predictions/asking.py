"""What the asker does: mask a batch of inputs, and unmask the answer.

Decides: the masks of an input are two sub-seeds', one of each online server's lot; the answer is one masked value and
two shares of its mask. Refuses to know: the model, canaries, and how things travel.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from predictions.program import Answer, Program

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MaskedAnswer:
    """What one online server tells the asker.

    Args:
        masked: the masked answer, the same from both; empty for a count.
        share: this server's share of the mask, or of the count.
        digest: 32 bytes, of everything that was opened on the way; the same from both.
    """

    masked: bytes
    share: bytes = field(repr=False)
    digest: bytes

    def to_bytes(self) -> bytes:
        """Digest, then masked, then share, the latter with its length before it."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, program: Program, rows: int, answer: Answer, data: bytes) -> "MaskedAnswer":
        """The answer that `to_bytes` wrote.

        Raises:
            FrameRejected: the length is not that of such an answer.
        """
        raise NotImplementedError


def sub_seed(seed: bytes) -> bytes:
    """The 32 bytes of a lot's seed that the asker is given: it masks inputs with them, and nothing else."""
    raise NotImplementedError


def mask_input(
    program: Program, inputs: Integers, first: bytes, second: bytes, labels: Integers | None = None
) -> bytes:
    """A batch as both online servers may see it; the same bytes go to both.

    Args:
        inputs: fixed point, `round(value * scale of wire 0)`, shape (rows, *shape of wire 0).
        first: sub-seed of the first online server's lot, `second`: of the second's.
        labels: (rows,), for a count alone: class numbers, or -1 for a row that is not to count.
    """
    raise NotImplementedError


def unmask(
    program: Program, rows: int, answer: Answer, first: MaskedAnswer, second: MaskedAnswer
) -> Integers:
    """The answer: logits (rows, classes) at the scale of the last wire, labels (rows,), or the count (1,).

    Raises:
        AnswerRejected: the two servers do not tell the same story.
    """
    raise NotImplementedError
