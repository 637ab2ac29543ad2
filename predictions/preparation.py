"""What the helper does: draw the one-time material of a lot, before there is a query.

Decides: the walk over the operations, the same one as in `predictions.online`. Refuses to know: any masked value.
"""

from predictions.model_shares import HelperModel
from predictions.program import Answer, Program


def prepare(
    program: Program, model: HelperModel, rows: int, answer: Answer, first_seed: bytes, second_seed: bytes
) -> bytes:
    """The corrections of one lot: they go to the second online server alone, with its seed.

    The first online server needs its seed only. Seeds are fresh (`os.urandom`), 32 bytes, and serve one lot.

    Args:
        rows: examples of the lot's batch, at least 1; the asker fills them up.
    """
    raise NotImplementedError
