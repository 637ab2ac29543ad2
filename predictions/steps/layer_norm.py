"""`LayerNorm`: the source over its root mean square, by comparisons with powers of two and one table.

Decides: the sum of squares, cut and lifted, is brought to [1, 2) by the power of two that comparisons choose; its
leading bits index a one-time table of tangents of 1 / sqrt that the helper turns by the mask of the index, so that a
look-up at a public place gives shares; products take the result back to the source. That takes fourteen exchanges and
20 to 30 kB of corrections an example (`docs/private_predictions.md` has measured figures).
Refuses to know: the numbers of the plan (`predictions.normalising`).
"""

from collections.abc import Generator

import numpy as np

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.normalising import (
    ENTRIES,
    INDEX_BITS,
    INDEX_DROP,
    ROOT_DROP,
    ROOT_RING,
    UNIT_RING,
    Integers,
    Normalising,
    tangents,
)
from predictions.ring import WIDE, Octets, Words, from_plane, reduced
from predictions.steps import comparison, injection, multiplication
from predictions.trees import quick

_TWO = np.uint64(2)


def prepare(dealer: Dealer, masks: Masks, bits: int, plan: Normalising) -> Masks:
    """Deal the material of one norm.

    Args:
        dealer: of the lot.
        masks: of the source, rows last.
        bits: ring of the source.
        plan: of the operation.
    """
    shape = masks.first.shape
    values = _lift(dealer, masks, bits)
    values = Masks(values.first.reshape(-1, shape[-1]), values.second.reshape(-1, shape[-1]))
    squares = dealer.share_words(np.square(values.first + values.second).sum(0), WIDE)
    cut = multiplication.prepare_truncation(dealer, squares.first.shape, plan.cut + 1, plan.bits)
    wide = _lift(dealer, cut, plan.bits)
    power, root = _prepare_scales(dealer, cut, plan)
    multiplication.prepare(dealer, wide, power)
    unit = multiplication.prepare_truncation(dealer, wide.first.shape, plan.drop, UNIT_RING)
    inverse = _prepare_inverse(dealer, unit)
    multiplication.prepare(dealer, inverse, root)
    factor = multiplication.prepare_opening(dealer, inverse.first.shape)
    multiplication.prepare(dealer, values, factor)
    normal = multiplication.prepare_truncation(dealer, values.first.shape, plan.shift, plan.narrow)
    return _lift(dealer, normal, plan.narrow)


def evaluate(hand: Hand, source: Masked, bits: int, plan: Normalising) -> Generator[bytes, Octets, Masked]:
    """The normalised source mod 2^64; arguments as for `prepare`."""
    rows = source.masked.shape[-1]
    lifted = yield from injection.lift(hand, source.masked.reshape(-1), bits)
    values = Masked(lifted.masked.reshape(-1, rows), lifted.share.reshape(-1, rows))
    doubled = _TWO * _squares(hand, values, plan)
    cut = yield from multiplication.truncated(hand, doubled, plan.cut + 1, plan.bits)
    wide = yield from injection.lift(hand, cut.masked, plan.bits)
    power, root = yield from _scales(hand, cut.masked, plan)
    product = multiplication.evaluate(hand, wide, power)
    unit = yield from multiplication.truncated(hand, product, plan.drop, UNIT_RING)
    inverse = yield from _inverse(hand, unit)
    factor = yield from multiplication.opened(hand, multiplication.evaluate(hand, inverse, root))
    product = multiplication.evaluate(hand, values, factor)
    normal = yield from multiplication.truncated(hand, product, plan.shift, plan.narrow)
    return (yield from injection.lift(hand, normal.masked.reshape(-1), plan.narrow))


def _squares(hand: Hand, values: Masked, plan: Normalising) -> Words:
    """This server's share of the sum of squares and epsilon, of each row."""
    mine: Words = hand.shared_words(values.masked.shape[1:], WIDE) - _TWO * (
        values.masked * values.share
    ).sum(0)
    if hand.first:
        mine += np.square(values.masked).sum(0) + np.uint64(plan.epsilon)
    return mine


def _prepare_scales(dealer: Dealer, cut: Masks, plan: Normalising) -> tuple[Masks, Masks]:
    """Deal the material of `_scales`."""
    count, rows = len(plan.thresholds), cut.first.shape[0]
    masks = np.tile(reduced(cut.first + cut.second, plan.bits), count)
    hidden = comparison.prepare(dealer, masks, plan.bits, quick(plan.bits))
    dealer.share_words(from_plane(hidden, count * rows).reshape(count, rows).astype(np.uint64), WIDE)
    both = dealer.words((2, rows), WIDE)
    return Masks(both.first[0], both.second[0]), Masks(both.first[1], both.second[1])


def _scales(hand: Hand, masked: Words, plan: Normalising) -> Generator[bytes, Octets, tuple[Masked, Masked]]:
    """The power of two that brings v to [1, 2), and what the root is multiplied with.

    Args:
        hand: of this server.
        masked: v + mask, (rows,).
        plan: of the operation.
    """
    thresholds = plan.thresholds.astype(masked.dtype)[:, np.newaxis]
    apart = reduced(masked - thresholds, plan.bits)
    plane = yield from comparison.evaluate(hand, apart.reshape(-1), plan.bits, quick(plan.bits))
    opened = from_plane(plane, apart.size).reshape(apart.shape).astype(np.uint64)
    hidden = hand.shared_words(apart.shape, WIDE)
    # The bit [v >= threshold] is opened ^ hidden.
    bits = hidden - _TWO * opened * hidden + (opened if hand.first else np.uint64(0))
    mine = np.stack([_chosen(hand, bits, ladder) for ladder in (plan.powers, plan.roots)])
    both = yield from multiplication.opened(hand, mine)
    return Masked(both.masked[0], both.share[0]), Masked(both.masked[1], both.share[1])


def _chosen(hand: Hand, bits: Words, ladder: Integers) -> Words:
    """Share of the step of a ladder that ascending bits, ones before zeros, climb to."""
    steps = np.diff(ladder).view(np.uint64)[:, np.newaxis]
    climbed: Words = (steps * bits).sum(0)
    return climbed + ladder[:1].view(np.uint64) if hand.first else climbed


def _prepare_inverse(dealer: Dealer, unit: Masks) -> Masks:
    """Deal the table, turned for each row by the mask of its index, and the products with its slopes."""
    turned = _places(unit.first + unit.second)
    places = np.arange(ENTRIES, dtype=turned.dtype)[:, np.newaxis]
    dealer.share_words(tangents()[:, reduced(places - turned, INDEX_BITS)], WIDE)
    wide = _lift(dealer, unit, UNIT_RING)
    slope = multiplication.prepare_opening(dealer, wide.first.shape)
    multiplication.prepare(dealer, slope, wide)
    root = multiplication.prepare_truncation(dealer, wide.first.shape, ROOT_DROP, ROOT_RING)
    return _lift(dealer, root, ROOT_RING)


def _inverse(hand: Hand, unit: Masked) -> Generator[bytes, Octets, Masked]:
    """1 / sqrt of w, on the tangent of its index: the public place of the table is that of the masked index."""
    rows = len(unit.masked)
    table = hand.shared_words((2, ENTRIES, rows), WIDE)
    height, slope = table[:, _places(unit.masked), np.arange(rows)]
    wide = yield from injection.lift(hand, unit.masked, UNIT_RING)
    factor = yield from multiplication.opened(hand, slope)
    point = height + multiplication.evaluate(hand, factor, wide)
    root = yield from multiplication.truncated(hand, point, ROOT_DROP, ROOT_RING)
    return (yield from injection.lift(hand, root.masked, ROOT_RING))


def _places(words: Words) -> Words:
    """The bits of an index, of w or of its mask; with a carry from below, the place is one further."""
    return reduced(words >> words.dtype.type(INDEX_DROP), INDEX_BITS)


def _lift(dealer: Dealer, masks: Masks, bits: int) -> Masks:
    return injection.prepare_lift(dealer, reduced(masks.first + masks.second, bits).reshape(-1), bits)
