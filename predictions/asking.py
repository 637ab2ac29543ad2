"""What the asker does: mask a batch of inputs, and unmask the answer.

Decides: the masks of an input are two sub-seeds', one of each online server's lot; the answer is one masked value and
two shares of its mask. Refuses to know: the model, canaries, and how things travel.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from arithmetic.errors import ParameterError
from arithmetic.residues import to_signed
from predictions.errors import AnswerRejected, FrameRejected
from predictions.primitives import DIGEST_BYTES, derive_key, same
from predictions.program import Answer, Program
from predictions.ring import WIDE, Octets, Words, pack, packed_bytes, reduced, unpack, volume
from predictions.seeds import INPUT, input_masks
from predictions.steps.choosing import NUMBER_BITS
from predictions.steps.counting import COUNT_BITS

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
        """Digest, share, then the masked answer."""
        return self.digest + self.share + self.masked

    @classmethod
    def from_bytes(cls, program: Program, rows: int, answer: Answer, data: Octets) -> "MaskedAnswer":
        """The answer that `to_bytes` wrote.

        Raises:
            FrameRejected: the length is not that of such an answer.
        """
        size = packed_bytes(*_form(program, rows, answer))
        masked = 0 if answer is Answer.COUNT else size
        if len(data) != DIGEST_BYTES + size + masked:
            raise FrameRejected(
                f"an answer has {DIGEST_BYTES + size + masked} bytes, not {len(data)}; "
                "both sides must speak of the same program and batch"
            )
        parts = bytes(data)
        share = parts[DIGEST_BYTES : DIGEST_BYTES + size]
        return cls(parts[DIGEST_BYTES + size :], share, parts[:DIGEST_BYTES])


def sub_seed(seed: bytes) -> bytes:
    """The 32 bytes out of a lot's seed that the asker is given: it masks inputs with them, and nothing else."""
    return derive_key(seed, INPUT)


def mask_input(
    program: Program, inputs: Integers, first: bytes, second: bytes, labels: Integers | None = None
) -> bytes:
    """A batch as both online servers may see it; the same bytes go to both.

    Args:
        program: what is to be computed.
        inputs: fixed point, `round(value * scale of wire 0)`, shape (rows, *shape of wire 0).
        first: sub-seed of the first online server's lot.
        second: sub-seed of the second's.
        labels: (rows,), for a count alone: class numbers, or -1 for a row that is not to count.

    Raises:
        ParameterError: inputs or labels of another shape.
    """
    shape = program.wires[0].shape
    if (
        inputs.shape[1:] != shape
        or not len(inputs)
        or (labels is not None and labels.shape != inputs.shape[:1])
    ):
        raise ParameterError(
            f"inputs must have the shape (rows, {', '.join(map(str, shape))}), and labels (rows,); got "
            f"{inputs.shape} and {None if labels is None else labels.shape}"
        )
    answer = Answer.LOGITS if labels is None else Answer.COUNT
    one, two = (input_masks(program, len(inputs), answer, seed) for seed in (first, second))
    values = np.moveaxis(inputs, 0, -1).astype(np.int64).view(np.uint64)
    masked = pack(values + one.values + two.values, WIDE).tobytes()
    if labels is None:
        return masked
    numbers = labels.astype(np.int64).view(np.uint64)
    return masked + pack(reduced(numbers + one.labels + two.labels, NUMBER_BITS), NUMBER_BITS).tobytes()


def parse_input(program: Program, rows: int, answer: Answer, masked: Octets) -> tuple[Words, Words]:
    """Values and labels of `mask_input`, rows last.

    Raises:
        FrameRejected: the length is not that of such a batch.
    """
    shape = (*program.wires[0].shape, rows)
    size = packed_bytes(volume(shape), WIDE)
    expected = size + (packed_bytes(rows, NUMBER_BITS) if answer is Answer.COUNT else 0)
    if len(masked) != expected:
        raise FrameRejected(
            f"the masked input has {len(masked)} bytes where {expected} were due; a batch fills its lot"
        )
    return unpack(masked[:size], WIDE).reshape(shape), unpack(masked[size:], NUMBER_BITS)


def unmask(
    program: Program, rows: int, answer: Answer, first: MaskedAnswer, second: MaskedAnswer
) -> Integers:
    """The answer: logits (rows, classes) at the scale of the last wire, labels (rows,), or the count (1,).

    Raises:
        AnswerRejected: the two servers do not tell the same story.
    """
    if not same(first.digest, second.digest) or not same(first.masked, second.masked):
        raise AnswerRejected("the two online servers computed different things; nothing is known, ask again")
    count, bits = _form(program, rows, answer)
    shares = unpack(first.share, bits) + unpack(second.share, bits)
    if answer is Answer.COUNT:
        return reduced(shares, bits).astype(np.int64)
    values = to_signed(reduced(unpack(first.masked, bits) - shares, bits), bits)
    return values.reshape(count // rows, rows).T.copy() if answer is Answer.LOGITS else values


def _form(program: Program, rows: int, answer: Answer) -> tuple[int, int]:
    """How many residues an answer has, and the bits of their ring."""
    last = program.wires[program.operations[-1].target]
    match answer:
        case Answer.LOGITS:
            return volume(last.shape) * rows, last.bits
        case Answer.LABEL:
            return rows, NUMBER_BITS
        case Answer.COUNT:
            return 1, COUNT_BITS
