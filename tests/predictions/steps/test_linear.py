"""Linear steps: exact up to a unit, and blind."""

from collections import Counter

import numpy as np
import pytest
import torch

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.program import Convolution
from predictions.ring import Words
from predictions.steps import linear, truncation
from predictions.steps.convolution import convolved
from predictions.steps.products import product
from predictions.stream import SeedStream, Stream
from tests.support.masked_run import drive
from tests.support.tapes import Zeros, views

SEEDS = bytes(32), b"\x01" * 32


def test_products_wrap_alike_with_one_column_and_with_many() -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 1 << 64, shape, dtype=np.uint64) for shape in ((3, 4, 5), (3, 5, 6)))
    expected = [
        [
            [sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) % (1 << 64) for column in y.T]
            for row in x
        ]
        for x, y in zip(left, right, strict=True)
    ]
    assert product(left, right).tolist() == expected
    assert product(left, right[:, :, :1]).tolist() == [[row[:1] for row in part] for part in expected]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [
        ((3, 3), (1, 1), (0, 0), (1, 1), 1),
        ((5, 2), (2, 1), (2, 1), (1, 2), 1),
        ((1, 3), (3, 2), (0, 1), (1, 1), 2),
        ((2, 2), (1, 1), (1, 0), (3, 1), 6),
        ((1, 1), (1, 1), (0, 0), (1, 1), 1),
    ],
)
@pytest.mark.parametrize("rows", [1, 3, 200])
def test_convolutions_are_those_of_torch(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    rows: int,
) -> None:
    rng = np.random.default_rng(rows)
    images = rng.integers(-(2**20), 2**20, (rows, 6, 9, 8))
    matrix = rng.integers(-(2**20), 2**20, (12, 6 // groups * kernel[0] * kernel[1]))
    operation = Convolution(0, 1, 0, 0, kernel, stride, padding, dilation, groups)
    ours = convolved(matrix.view(np.uint64), np.moveaxis(images, 0, -1).view(np.uint64), operation)
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(images).double(),
        torch.from_numpy(matrix.reshape(12, -1, *kernel)).double(),
        None,
        stride,
        padding,
        dilation,
        groups,
    )
    assert (np.moveaxis(ours.view(np.int64), -1, 0) == theirs.numpy()).all()


@pytest.mark.parametrize(("shift", "bits"), [(0, 8), (3, 8), (20, 40), (23, 40), (16, 24), (31, 32)])
def test_truncation_is_one_unit_off_at_most_for_any_masks(shift: int, bits: int) -> None:
    rng = np.random.default_rng(shift)
    half = 1 << min(bits + shift - 1, 61)
    value = rng.integers(-half, half, 20_000)
    value[:4] = -half, half - 1, 0, -1
    shares = rng.integers(0, 1 << 64, 20_000, dtype=np.uint64)
    shares[:2000] = np.arange(2000, dtype=np.uint64) - np.uint64(1000)
    excess = rng.integers(0, 1 << 64, 20_000, dtype=np.uint64)
    dealer = Dealer(*map(SeedStream, SEEDS), 1 << 20)
    masks = truncation.prepare(dealer, excess, shift, bits)
    other = np.uint64(2) * value.view(np.uint64) + excess - shares
    hands = Hand(1, SeedStream(SEEDS[0]), b""), Hand(2, SeedStream(SEEDS[1]), dealer.corrections())
    one, two, _ = drive(
        *(truncation.evaluate(hand, u, shift, bits) for hand, u in zip(hands, (shares, other), strict=True))
    )
    assert (one.share == masks.first).all()
    assert (two.share == masks.second).all()
    found = (one.masked - one.share - two.share).astype(np.int64)
    off = (found - (value >> shift)) % (1 << bits)
    off[off >= 1 << (bits - 1)] -= 1 << bits
    # With no shift the bit that is dropped is that of doubling, which carries nothing.
    assert set(np.unique(off)) == ({-1, 0, 1} if shift else {-1, 0})


class _TopBits:
    """Words that run through all values of their four top bits; what is below is arbitrary and stays."""

    def words(self, shape: tuple[int, ...], bits: int) -> Words:
        if bits < 64:
            return Zeros().words(shape, bits)
        return np.broadcast_to(
            (np.arange(16, dtype=np.uint64) << np.uint64(60)) + np.uint64(123456789), shape
        )

    def planes(self, shape: tuple[int, ...]) -> Words:
        raise NotImplementedError


def _seen(by: int, weight: int, value: int, masking: Stream) -> Counter[tuple[int, ...]]:
    """What server `by` sees of the other's message, over all of the other's masks of the product."""
    mine, theirs = (np.uint64(a) for a in (3 << 60, 11 << 55))
    source = np.full((1, 16), value, np.uint64) + mine + theirs
    factor = np.array([[weight]], np.uint64) - np.uint64(2) * theirs
    hand = Hand(3 - by, masking, b"")
    party = linear.evaluate(
        hand, factor, np.zeros(1, np.uint64), Masked(source, np.full((1, 16), theirs)), shift=59, bits=4
    )
    return views([np.frombuffer(next(party), np.uint8)])


@pytest.mark.parametrize("by", [1, 2])
def test_what_a_product_opens_is_uniform_whatever_weight_and_value(by: int) -> None:
    for weight in range(4):
        for value in range(4):
            assert set(_seen(by, weight, value, _TopBits()).values()) == {1}


@pytest.mark.parametrize("by", [1, 2])
def test_without_masks_views_tell_values_apart(by: int) -> None:
    seen = {frozenset(_seen(by, 1 << 30, value << 30, Zeros())) for value in range(4)}
    assert len(seen) > 1


def test_the_dealer_deals_the_second_share_under_the_first() -> None:
    """What the helper sends is uniform: the same truth gives every correction as the first's stream varies."""
    corrections = set()
    for seed in range(40):
        dealer = Dealer(SeedStream(bytes([seed]) * 32), SeedStream(SEEDS[1]), 64)
        masks = linear.prepare(
            dealer, np.ones((1, 1), np.uint64), Masks(*2 * [np.zeros((1, 1), np.uint64)]), 0, 8
        )
        assert dealer.corrections()[0] == masks.second[0, 0]
        corrections.add(bytes(dealer.corrections()))
    assert len(corrections) > 20
