"""What a query costs: exchanges, bytes between the online servers, bytes of material; known before it starts.

Decides: the sums, operation by operation, exactly; the helper makes room by them and a server refuses a lot of
another size. Refuses to know: frames, tags and TLS, which come on top.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from predictions.normalising import ENTRIES, ROOT_RING, UNIT_RING, Normalising, normalising
from predictions.program import (
    Answer,
    Convolution,
    LayerNorm,
    Lift,
    Linear,
    MaxPool,
    Operation,
    Program,
    Relu,
)
from predictions.ring import WIDE, aligned, packed_bytes, plane_bytes, volume
from predictions.steps.choosing import NUMBER_BITS
from predictions.steps.counting import COUNT_BITS
from predictions.trees import Tree, quick, tree_of

_REMEMBERED: Final = 64


@dataclass(frozen=True)
class Cost:
    """What one batch costs.

    Args:
        exchanges: how often the online servers wait for each other.
        opened: bytes that each of them sends the other.
        material: bytes that the helper sends the second of them, besides a seed.
    """

    exchanges: int = 0
    opened: int = 0
    material: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.exchanges + other.exchanges, self.opened + other.opened, self.material + other.material
        )


@lru_cache(_REMEMBERED)
def cost_of(program: Program, rows: int, answer: Answer) -> Cost:
    """The cost of one batch.

    Args:
        program: what is computed.
        rows: examples of the batch.
        answer: what the asker learns.

    Raises:
        ChorusError: a norm that cannot be planned (`predictions.normalising`).
    """
    total = sum((_of_operation(program, operation, rows) for operation in program.operations), Cost())
    if answer is Answer.LOGITS:
        return total
    last = program.wires[program.operations[-1].target]
    total += _of_tournament(volume(last.shape), rows, last.bits, NUMBER_BITS)
    if answer is Answer.LABEL:
        return total
    sign = _of_comparison(2 * rows, NUMBER_BITS, quick(NUMBER_BITS))
    return total + sign + Cost(material=aligned(packed_bytes(2 * rows, COUNT_BITS)))


def _of_operation(program: Program, operation: Operation, rows: int) -> Cost:
    target = program.wires[operation.target]
    count = volume(target.shape) * rows
    match operation:
        case Linear() | Convolution():
            return _of_truncation(count, target.bits)
        case Relu():
            bits = program.wires[operation.source].bits
            sign = _of_comparison(count, bits, tree_of(bits, count))
            return sign + Cost(1, packed_bytes(count, WIDE), 5 * packed_bytes(count, WIDE))
        case Lift():
            return _of_lift(count)
        case MaxPool():
            return _of_tournament(volume(operation.kernel), count, target.bits)
        case LayerNorm():
            source = program.wires[operation.source]
            return _of_norm(count, rows, normalising(operation, source, target))
        case _:
            return Cost()


def _of_truncation(count: int, bits: int) -> Cost:
    return Cost(1, packed_bytes(count, bits), aligned(packed_bytes(count, bits)))


def _of_lift(count: int) -> Cost:
    return Cost(1, packed_bytes(count, WIDE), 2 * packed_bytes(count, WIDE))


def _of_norm(count: int, rows: int, plan: Normalising) -> Cost:
    """A norm over `count` values; see `predictions.steps.layer_norm`."""
    column, steps = packed_bytes(rows, WIDE), len(plan.thresholds)
    squares = _of_lift(count) + Cost(material=column) + _of_truncation(rows, plan.bits) + _of_lift(rows)
    scales = _of_comparison(steps * rows, plan.bits, quick(plan.bits)) + Cost(1, 2 * column, steps * column)
    unit = Cost(material=column) + _of_truncation(rows, UNIT_RING)
    table = Cost(material=2 * ENTRIES * column) + _of_lift(rows) + Cost(1, column, column)
    inverse = table + _of_truncation(rows, ROOT_RING) + _of_lift(rows) + Cost(1, column, column)
    normal = Cost(material=packed_bytes(count, WIDE)) + _of_truncation(count, plan.narrow) + _of_lift(count)
    return squares + scales + unit + inverse + normal


def _of_tournament(players: int, games: int, *rings: int) -> Cost:
    """`games` tournaments side by side; the first ring decides, the others follow."""
    total = Cost()
    while players > 1:
        count = players // 2 * games
        total += _of_comparison(count, rings[0], tree_of(rings[0], count)) + Cost(exchanges=1)
        for bits in rings:
            total += Cost(0, packed_bytes(count, bits), aligned(packed_bytes(2 * count, bits)))
        players -= players // 2
    return total


def _of_comparison(count: int, bits: int, tree: Tree) -> Cost:
    """Comparisons side by side; see `predictions.steps.comparison`."""
    plane, total = plane_bytes(count), Cost(1, plane_bytes(count))
    for width, blocks in tree.blocks:
        total += Cost(material=aligned(((1 << width) - 1) * blocks * plane))
    for sizes in tree.levels:
        total += Cost(1, (2 * sum(sizes) - 1) * plane)
        for place, size in enumerate(sizes):
            for masks in (size if place < len(sizes) - 1 else size - 1, size):
                total += Cost(material=aligned(((1 << masks) - 1 - masks) * plane))
    return total
