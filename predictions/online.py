"""What an online server does with a query: evaluate the program on masked values, with one lot of material.

Decides: the walk over the operations, the same one as in `predictions.preparation`. Does no input or output: it is a
generator that yields this server's messages and is sent the other's. Refuses to know: sockets and askers.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

from predictions.asking import MaskedAnswer, parse_input
from predictions.material import Hand, Masked
from predictions.model_shares import OnlineModel
from predictions.normalising import normalising
from predictions.primitives import derive_key
from predictions.program import (
    Add,
    Answer,
    Convolution,
    LayerNorm,
    Lift,
    Linear,
    MaxPool,
    Operation,
    Program,
    Reduce,
    Relu,
    Reshape,
    SumPool,
)
from predictions.ring import Octets, pack
from predictions.seeds import INPUT, WORK, input_masks
from predictions.steps import choosing, convolution, counting, injection, layer_norm, linear, local
from predictions.stream import SeedStream


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
    corrections: Octets = field(repr=False)


def evaluate(
    program: Program, model: OnlineModel, lot: Lot, masked_input: Octets, answer: Answer
) -> Generator[bytes, Octets, MaskedAnswer]:
    """Evaluate one batch: `next` gives the first message, `send(the other's)` the next, StopIteration the answer.

    Args:
        program: what to compute.
        model: this server's part.
        lot: its material, not used before.
        masked_input: of `asking.mask_input`.
        answer: what the asker is to learn; that of the lot.

    Raises:
        FrameRejected: an input, corrections or a message of the other server whose length is wrong.
    """
    values, labels = parse_input(program, lot.rows, answer, masked_input)
    masks = input_masks(program, lot.rows, answer, derive_key(lot.seed, INPUT))
    hand = Hand(model.party, SeedStream(derive_key(lot.seed, WORK)), lot.corrections)
    wires = {0: Masked(values, masks.values)}
    for operation in program.operations:
        result = yield from _step(hand, program, model, operation, wires)
        shape = (*program.wires[operation.target].shape, lot.rows)
        wires[operation.target] = Masked(result.masked.reshape(shape), result.share.reshape(shape))
    last = program.operations[-1].target
    bits = program.wires[last].bits
    if answer is Answer.LOGITS:
        return MaskedAnswer(
            pack(wires[last].masked, bits).tobytes(), pack(wires[last].share, bits).tobytes(), hand.finish()
        )
    found = yield from choosing.label(hand, wires[last], bits)
    if answer is Answer.LABEL:
        return MaskedAnswer(
            pack(found.masked, choosing.NUMBER_BITS).tobytes(),
            pack(found.share, choosing.NUMBER_BITS).tobytes(),
            hand.finish(),
        )
    share = yield from counting.evaluate(hand, found, labels)
    return MaskedAnswer(b"", share.to_bytes(counting.COUNT_BITS // 8, "little"), hand.finish())


def _step(
    hand: Hand, program: Program, model: OnlineModel, operation: Operation, wires: dict[int, Masked]
) -> Generator[bytes, Octets, Masked]:
    """Evaluate one operation."""
    target = program.wires[operation.target]
    if isinstance(operation, Add | Reduce | Reshape | SumPool):
        sources = [wires[number] for number in local.sources_of(operation)]
        return Masked(
            local.apply(operation, [wire.masked for wire in sources], target),
            local.apply(operation, [wire.share for wire in sources], target),
        )
    source, bits = wires[operation.source], program.wires[operation.source].bits
    match operation:
        case Linear():
            factor, bias = model.factors[operation.weights]
            return (yield from linear.evaluate(hand, factor, bias, source, operation.shift, target.bits))
        case Convolution():
            factor, bias = model.factors[operation.weights]
            return (yield from convolution.evaluate(hand, factor, bias, source, operation, target.bits))
        case Relu():
            return (yield from choosing.relu(hand, source, bits))
        case MaxPool():
            return (yield from choosing.max_pool(hand, source, operation, bits))
        case Lift():
            return (yield from injection.lift(hand, source.masked.reshape(-1), bits))
        case LayerNorm():
            plan = normalising(operation, program.wires[operation.source], target)
            return (yield from layer_norm.evaluate(hand, source, bits, plan))
