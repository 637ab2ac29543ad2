"""Signs on bit planes: right for every value, and blind for each server."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from predictions.material import Dealer, Hand
from predictions.ring import from_plane, word
from predictions.steps import comparison
from predictions.stream import SeedStream, Stream
from predictions.trees import Tree, lean, quick
from tests.support.masked_run import drive
from tests.support.tapes import EveryTape, OneTape, Zeros, of_planes, views

TINY = Tree(((2, 1), (1, 1)), ((2,),))
# Random bits of each server in TINY, 4 bits: masks of less and equal, mask of the result; the first's shares on top.
SECOND_TAPE = 3 + 1
FIRST_TAPE = 4 + 3 + 1 + 1
DEEP = Tree(((1, 3),), ((2, 1), (2,)))


def signs(
    masked: npt.NDArray[np.int64], masks: npt.NDArray[np.int64], bits: int, tree: Tree
) -> npt.NDArray[np.uint8]:
    """[masked - masks >= 0], by the three servers."""
    kind = word(bits)
    dealer = Dealer(SeedStream(bytes(32)), SeedStream(b"\x01" * 32), 1 << 23)
    hidden = comparison.prepare(dealer, masks.astype(kind), bits, tree)
    hands = (
        Hand(1, SeedStream(bytes(32)), b""),
        Hand(2, SeedStream(b"\x01" * 32), dealer.corrections()),
    )
    one, two, _ = drive(*(comparison.evaluate(hand, masked.astype(kind), bits, tree) for hand in hands))
    assert (one == two).all()
    assert hands[0].finish() == hands[1].finish()
    return from_plane(one ^ hidden, masked.size)


@pytest.mark.parametrize(
    ("bits", "tree"),
    [
        (4, TINY),
        (4, DEEP),
        (4, quick(4)),
        (4, lean(4)),
        (8, quick(8)),
        (8, lean(8)),
        (6, Tree(((5, 1),), ())),
    ],
)
def test_every_value_under_every_mask_has_its_sign(bits: int, tree: Tree) -> None:
    masked, masks = (axis.reshape(-1) for axis in np.meshgrid(*2 * [np.arange(1 << bits)]))
    expected = (masked - masks) % (1 << bits) < 1 << (bits - 1)
    assert (signs(masked, masks, bits, tree) == expected).all()


@pytest.mark.parametrize("tree_of", [quick, lean])
@pytest.mark.parametrize("bits", range(12, 41, 4))
def test_values_near_the_edges_and_at_random_have_their_signs(
    bits: int, tree_of: Callable[[int], Tree]
) -> None:
    rng, half = np.random.default_rng(bits), 1 << (bits - 1)
    edges = np.array([0, 1, 2, half - 2, half - 1, half, half + 1, 2 * half - 2, 2 * half - 1])
    values = np.concatenate([np.repeat(edges, 60), rng.integers(0, 2 * half, 2001)])
    masks = rng.integers(0, 2 * half, values.size)
    masks[::7] = edges[rng.integers(0, len(edges), masks[::7].size)]
    masked = (values + masks) % (2 * half)
    assert (signs(masked, masks, bits, tree_of(bits)) == (values < half)).all()


def second_sees(masked: int, value: int, first: Callable[[], Stream]) -> Counter[tuple[int, ...]]:
    """The second server's views over all of the first's tapes: corrections, and the first's messages."""
    corrections, said = _run(masked, value, first, lambda: OneTape(5), 1 << FIRST_TAPE)
    return views([plane for data in (corrections, *said[0]) for plane in of_planes(data, 1 << FIRST_TAPE)])


def first_sees(masked: int, value: int, second: Callable[[], Stream], tape: int) -> Counter[tuple[int, ...]]:
    """The first server's views over all of the second's tapes: the second's messages."""
    _, said = _run(masked, value, lambda: OneTape(tape), second, 1 << SECOND_TAPE)
    return views([plane for data in said[1] for plane in of_planes(data, 1 << SECOND_TAPE)])


def _run(
    masked: int, value: int, first: Callable[[], Stream], second: Callable[[], Stream], runs: int
) -> tuple[bytes, tuple[list[bytes], list[bytes]]]:
    dealer = Dealer(first(), second(), 1 << 20)
    comparison.prepare(dealer, np.full(runs, (masked - value) % 16, np.uint8), 4, TINY)
    hands = Hand(1, first(), b""), Hand(2, second(), dealer.corrections())
    public = np.full(runs, masked, np.uint8)
    _, _, said = drive(*(comparison.evaluate(hand, public, 4, TINY) for hand in hands))
    return dealer.corrections(), said


def test_the_second_server_sees_every_view_once_whatever_the_value() -> None:
    for masked in range(16):
        for value in range(16):
            seen = second_sees(masked, value, lambda: EveryTape(FIRST_TAPE))
            assert len(seen) == 1 << FIRST_TAPE


@pytest.mark.parametrize("tape", range(4))
def test_the_first_server_sees_every_view_once_whatever_the_value(tape: int) -> None:
    for masked in range(16):
        for value in range(16):
            seen = first_sees(masked, value, lambda: EveryTape(SECOND_TAPE), tape)
            assert len(seen) == 1 << SECOND_TAPE


def test_without_masks_views_tell_values_apart() -> None:
    """The two tests above would notice."""
    for sees in (
        lambda value: second_sees(9, value, Zeros),
        lambda value: first_sees(9, value, Zeros, 1),
    ):
        assert len({frozenset(sees(value)) for value in range(16)}) > 1
