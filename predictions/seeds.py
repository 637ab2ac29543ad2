"""What comes out of a lot's seed, and what is masked with it before any operation.

Decides: one half of a seed's randomness masks the input and may be given to the asker, the other half does the work
and stays; neither tells of the other. Refuses to know: who asks.
"""

from dataclasses import dataclass, field

from predictions.program import Answer, Program
from predictions.ring import WIDE, Words
from predictions.steps.choosing import NUMBER_BITS
from predictions.stream import SeedStream

INPUT = "input"
WORK = "work"


@dataclass(frozen=True)
class InputMasks:
    """One server's share of the masks of an input.

    Args:
        values: mod 2^64, shape (*shape of wire 0, rows).
        labels: mod 2^16, shape (rows,); no rows unless labels are counted.
    """

    values: Words = field(repr=False)
    labels: Words = field(repr=False)


def input_masks(program: Program, rows: int, answer: Answer, sub_seed: bytes) -> InputMasks:
    """The masks that come out of one server's sub-seed."""
    stream = SeedStream(sub_seed)
    values = stream.words((*program.wires[0].shape, rows), WIDE)
    return InputMasks(values, stream.words((rows if answer is Answer.COUNT else 0,), NUMBER_BITS))
