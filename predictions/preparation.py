"""What the helper does: draw the one-time material of a lot, before there is a query.

Decides: the walk over the operations, the same one as in `predictions.online`. Refuses to know: any masked value.
"""

from predictions.costs import cost_of
from predictions.material import Dealer, Masks
from predictions.model_shares import HelperModel
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
from predictions.ring import reduced
from predictions.seeds import INPUT, WORK, input_masks
from predictions.steps import choosing, convolution, counting, injection, layer_norm, linear, local
from predictions.stream import SeedStream


def prepare(
    program: Program, model: HelperModel, rows: int, answer: Answer, first_seed: bytes, second_seed: bytes
) -> memoryview:
    """The corrections of one lot: they go to the second online server alone, with its seed.

    The first online server needs its seed only. Seeds are fresh (`os.urandom`), 32 bytes, and serve one lot.

    Args:
        program: what is to be computed.
        model: the helper's part.
        rows: examples of the lot's batch, at least 1; the asker fills them up.
        answer: what the asker is to learn.
        first_seed: of the first online server's lot.
        second_seed: of the second's.
    """
    first_stream, second_stream = (SeedStream(derive_key(seed, WORK)) for seed in (first_seed, second_seed))
    dealer = Dealer(first_stream, second_stream, cost_of(program, rows, answer).material)
    first, second = (
        input_masks(program, rows, answer, derive_key(seed, INPUT)) for seed in (first_seed, second_seed)
    )
    wires = {0: Masks(first.values, second.values)}
    for operation in program.operations:
        masks = _deal(dealer, program, model, operation, wires)
        shape = (*program.wires[operation.target].shape, rows)
        wires[operation.target] = Masks(masks.first.reshape(shape), masks.second.reshape(shape))
    last = program.operations[-1].target
    if answer is not Answer.LOGITS:
        found = choosing.prepare_label(dealer, wires[last], program.wires[last].bits)
        if answer is Answer.COUNT:
            counting.prepare(dealer, found, Masks(first.labels, second.labels))
    return dealer.corrections()


def _deal(
    dealer: Dealer, program: Program, model: HelperModel, operation: Operation, wires: dict[int, Masks]
) -> Masks:
    """Deal the material of one operation; the masks of its target."""
    target = program.wires[operation.target]
    if isinstance(operation, Add | Reduce | Reshape | SumPool):
        sources = [wires[number] for number in local.sources_of(operation)]
        return Masks(
            local.apply(operation, [masks.first for masks in sources], target),
            local.apply(operation, [masks.second for masks in sources], target),
        )
    source, bits = wires[operation.source], program.wires[operation.source].bits
    match operation:
        case Linear():
            difference = model.differences[operation.weights]
            return linear.prepare(dealer, difference, source, operation.shift, target.bits)
        case Convolution():
            difference = model.differences[operation.weights]
            return convolution.prepare(dealer, difference, source, operation, target.bits)
        case Relu():
            return choosing.prepare_relu(dealer, source, bits)
        case MaxPool():
            return choosing.prepare_max_pool(dealer, source, operation, bits)
        case Lift():
            total = reduced(source.first + source.second, bits)
            return injection.prepare_lift(dealer, total.reshape(-1), bits)
        case LayerNorm():
            plan = normalising(operation, program.wires[operation.source], target)
            return layer_norm.prepare(dealer, source, bits, plan)
