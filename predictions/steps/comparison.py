"""Signs of masked values: which are at least zero, as one masked bit each.

Decides: y = m - l mod 2^bits is at least zero when `1 ^ m_top ^ l_top ^ [m_low < l_low]` is one, m public to both
online servers and l the helper's. [m_low < l_low] is put together from the top bit down: `less ^ equal & (less below)`,
with equal = E ^ b and less = L ^ a where E, L are public and a, b masks. Multiplied out, that needs shares of the
products of masks and nothing else; the helper deals them, and one fold over the table of products evaluates the
polynomial (multi-input gates on masked values: Patra et al., ABY2.0, 2021, section 3.1.3). For single bits,
E = 1 ^ m, b = l and less = E & l.

Everything runs on bit planes. A table of products over k masks has 2^k planes: entry S is the product of the masks
whose bits are set in S, entry 0 is one. Refuses to know: what values mean.
"""

from collections.abc import Generator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from predictions.material import Dealer, Hand
from predictions.ring import Octets, Planes, Words, to_planes
from predictions.trees import Tree

_ONES = 0xFF


def prepare(dealer: Dealer, masks: Words, bits: int, tree: Tree) -> Planes:
    """Deal the material of comparisons with zero.

    Args:
        dealer: of the lot.
        masks: l mod 2^bits, shape (count,).
        bits: of the ring.
        tree: in which order bits are put together.

    Returns:
        The plane of the masks of the bits that `evaluate` opens.
    """
    planes = to_planes(masks, bits)
    for block in _blocks(planes, tree):
        dealer.share_planes(_products(block)[1:])
    for sizes in tree.levels:
        less, equal = _halves(dealer.planes((2 * sum(sizes) - 1, planes.shape[1])))
        for start, end in _groups(sizes):
            products, mixed = (
                _products(equal[start:end]),
                np.empty((1 << (end - start), planes.shape[1]), np.uint8),
            )
            for i in range(end - start):
                np.bitwise_and(products[: 1 << i], less[start + i], out=mixed[1 << i : 2 << i])
            dealer.share_planes(products[_composite(len(products))])
            dealer.share_planes(mixed[_composite(len(mixed))])
    hidden: Planes = planes[-1] ^ dealer.planes(planes.shape[1:])
    return hidden


def evaluate(hand: Hand, masked: Words, bits: int, tree: Tree) -> Generator[bytes, Octets, Planes]:
    """The plane of `[y >= 0] ^ mask`, the same at both servers.

    Args:
        hand: of this server.
        masked: m mod 2^bits, shape (count,).
        bits: of the ring.
        tree: that of the dealer.
    """
    planes = to_planes(masked, bits)
    less, equal = _compare_bits(hand, planes, tree)
    for sizes in tree.levels:
        own = hand.planes((2 * sum(sizes) - 1, planes.shape[1]))
        opened = yield from hand.open_planes(np.concatenate([less, equal]) ^ own)
        less, equal = _compare_groups(hand, opened, own, sizes)
    bit = less[0] ^ hand.planes(planes.shape[1:])
    return (yield from hand.open_planes(bit ^ ~planes[-1] if hand.first else bit))


def _compare_bits(hand: Hand, planes: Planes, tree: Tree) -> tuple[Planes, Planes]:
    """Shares of less for each block, and of equal for all but the last."""
    less, equal = [], []
    for block in _blocks(planes, tree):
        public = ~block
        products = np.empty((1 << len(block), *block.shape[1:]), np.uint8)
        products[0] = _ONES if hand.first else 0
        products[1:] = hand.shared_planes((len(products) - 1, *block.shape[1:]))
        terms = [public[i] & products[1 << i : 2 << i] for i in range(len(block))]
        less.append(_fold(public, terms))
        equal.append(_fold_equal(public, products))
    return np.concatenate(less), np.concatenate(equal)[:-1]


def _compare_groups(hand: Hand, opened: Planes, own: Planes, sizes: tuple[int, ...]) -> tuple[Planes, Planes]:
    """Shares of less for each group, and of equal for all but the last."""
    (less, equal), (own_less, own_equal) = _halves(opened), _halves(own)
    results, equals = [], []
    for start, end in _groups(sizes):
        masks = own_equal[start:end]
        products = _table(hand, masks, 1 << len(masks))
        mixed = _table(hand, own_less[start:end], 1 << (end - start))
        public = equal[start:end]
        terms = [(less[start + i] & products[: 1 << i]) ^ mixed[1 << i : 2 << i] for i in range(end - start)]
        results.append(_fold(public, terms))
        if end - start == len(masks):
            equals.append(_fold_equal(public, products))
    return np.stack(results), np.stack(equals) if equals else own[:0]


def _table(hand: Hand, own: Planes, size: int) -> Planes:
    """A table whose entries 1, 2, 4... are shared by what each server drew, and the composite ones by the dealer."""
    table = np.empty((size, own.shape[1]), np.uint8)
    table[0] = _ONES if hand.first else 0
    for i, plane in enumerate(own):
        table[1 << i] = plane
    composite = _composite(size)
    table[composite] = hand.shared_planes((len(composite), own.shape[1]))
    return table


def _fold(public: Planes, terms: Sequence[Planes]) -> Planes:
    """Share of `less_0 ^ equal_0 & (less_1 ^ equal_1 & (less_2 ...))`.

    Args:
        public: E_i, at least one less than there are terms.
        terms: shares of less_i times each product of the masks above i, shape (2^i, ...).
    """
    value = terms[-1]
    for i in reversed(range(len(terms) - 1)):
        half = 1 << i
        value = (public[i] & value[:half]) ^ value[half:] ^ terms[i]
    result: Planes = value[0]
    return result


def _fold_equal(public: Planes, products: Planes) -> Planes:
    """Share of the product of all `E_i ^ b_i`."""
    value = products
    for i in reversed(range(len(public))):
        half = 1 << i
        value = (public[i] & value[:half]) ^ value[half:]
    result: Planes = value[0]
    return result


def _products(masks: Planes) -> Planes:
    """The table of all products of masks, shape (2^k, ...)."""
    table = np.empty((1 << len(masks), *masks.shape[1:]), np.uint8)
    table[0] = _ONES
    for i, mask in enumerate(masks):
        np.bitwise_and(table[: 1 << i], mask, out=table[1 << i : 2 << i])
    return table


@cache
def _composite(size: int) -> npt.NDArray[np.intp]:
    """Entries of a table that are products of two masks or more."""
    return np.array([entry for entry in range(size) if entry & (entry - 1)], np.intp)


def _blocks(planes: Planes, tree: Tree) -> list[Planes]:
    """The low bits, most significant first, in arrays (width, blocks, bytes)."""
    low, blocks, start = planes[-2::-1], [], 0
    for width, count in tree.blocks:
        run = low[start : start + width * count]
        blocks.append(run.reshape(count, width, -1).swapaxes(0, 1))
        start += width * count
    return blocks


@cache
def _groups(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last of each group."""
    ends = np.cumsum(sizes).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _halves(planes: Planes) -> tuple[Planes, Planes]:
    """Planes of less, and of equal for all but the last."""
    count = (len(planes) + 1) // 2
    return planes[:count], planes[count:]
