"""Shapes of comparisons."""

from collections.abc import Callable

import numpy as np
import pytest

from predictions.material import Dealer
from predictions.steps import comparison
from predictions.stream import SeedStream
from predictions.trees import Tree, lean, quick, tree_of

every_ring = pytest.mark.parametrize("bits", range(4, 41))


def _planes(tree: Tree) -> int:
    """Planes that the dealer sends the second server for one comparison."""
    total = sum(count * (2**width - 1) for width, count in tree.blocks)
    for sizes in tree.levels:
        for place, size in enumerate(sizes):
            equal = size if place < len(sizes) - 1 else size - 1
            total += 2**equal - 1 - equal + 2**size - 1 - size
    return total


@every_ring
@pytest.mark.parametrize("shape", [quick, lean])
def test_blocks_hold_all_bits_but_the_top_and_end_in_one_group(
    bits: int, shape: Callable[[int], Tree]
) -> None:
    tree = shape(bits)
    assert sum(width * count for width, count in tree.blocks) == bits - 1
    groups = sum(count for _, count in tree.blocks)
    for sizes in tree.levels:
        assert sum(sizes) == groups
        groups = len(sizes)
    assert groups == 1


@pytest.mark.parametrize("bits", range(8, 41, 4))
def test_the_quick_tree_opens_once_and_the_lean_one_has_less_material(bits: int) -> None:
    assert len(quick(bits).levels) <= 1
    assert _planes(lean(bits)) <= _planes(quick(bits)) or len(lean(bits).levels) == len(quick(bits).levels)
    if bits >= 24:
        assert len(lean(bits).levels) == 2
        assert _planes(lean(bits)) < 0.75 * _planes(quick(bits))


@pytest.mark.parametrize(
    ("tree", "bits", "octets"), [(quick, 24, 20), (quick, 32, 37.625), (lean, 24, 12), (lean, 32, 18.75)]
)
def test_what_the_dealer_sends_for_a_comparison(
    tree: Callable[[int], Tree], bits: int, octets: float
) -> None:
    count = 1 << 12
    dealer = Dealer(SeedStream(bytes(32)), SeedStream(bytes(32)), 1 << 20)
    comparison.prepare(dealer, np.zeros(count, np.uint32), bits, tree(bits))
    assert len(dealer.corrections()) == octets * count == _planes(tree(bits)) * count / 8


def test_few_comparisons_go_the_quick_way_and_many_the_lean_one() -> None:
    assert tree_of(32, 128) == quick(32)
    assert tree_of(32, 1 << 16) == lean(32)
