"""Maxima, labels and counts: exact, and of equals the first."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.program import MaxPool
from predictions.ring import word
from predictions.steps import choosing, counting
from predictions.stream import SeedStream
from tests.support.masked_run import Party, drive

SEEDS = bytes(32), b"\x01" * 32
Integers = npt.NDArray[np.int64]


def _shared(values: Integers, bits: int, seed: int = 0) -> tuple[Masks, Masked, Masked]:
    """A wire as the helper and both servers know it."""
    rng, kind = np.random.default_rng(seed), word(bits)
    one, two = (rng.integers(0, 1 << bits, values.shape) for _ in range(2))
    first, second = one.astype(kind), two.astype(kind)
    masked = ((values + one + two) % (1 << bits)).astype(kind)
    return Masks(first, second), Masked(masked, first), Masked(masked, second)


def _run(
    deal: Callable[[Dealer], Masks], evaluate: Callable[[Hand, int], Party[Masked]], bits: int
) -> Integers:
    """The value of a wire that a step makes."""
    dealer = Dealer(*map(SeedStream, SEEDS), 1 << 22)
    masks = deal(dealer)
    hands = Hand(1, SeedStream(SEEDS[0]), b""), Hand(2, SeedStream(SEEDS[1]), dealer.corrections())
    one, two, _ = drive(*(evaluate(hand, server) for server, hand in enumerate(hands)))
    assert hands[0].finish() == hands[1].finish()
    assert (one.masked == two.masked).all()
    assert (one.share == masks.first).all()
    assert (two.share == masks.second).all()
    left = (one.masked - one.share - two.share).astype(np.uint64) << np.uint64(64 - bits)
    return left.view(np.int64) >> np.int64(64 - bits)


@pytest.mark.parametrize("bits", [8, 16, 24, 36])
def test_relu_is_exact_at_every_sign(bits: int) -> None:
    half = 1 << (bits - 1)
    values = np.concatenate(
        [
            np.arange(-100, 100),
            np.array([-half, half - 1]),
            np.random.default_rng(0).integers(-half, half, 800),
        ]
    )
    masks, *servers = _shared(values, bits)
    found = _run(
        lambda dealer: choosing.prepare_relu(dealer, masks, bits),
        lambda hand, server: choosing.relu(hand, servers[server], bits),
        64,
    )
    assert (found == np.maximum(values, 0)).all()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((2, 2), (2, 2), (0, 0), (1, 1)),
        ((3, 3), (2, 2), (1, 1), (1, 1)),
        ((3, 2), (1, 3), (1, 1), (2, 1)),
        ((1, 5), (1, 1), (0, 2), (1, 2)),
    ],
)
@pytest.mark.parametrize("bits", [12, 24, 32])
def test_the_largest_of_each_window_is_that_of_torch(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    bits: int,
) -> None:
    quarter = 1 << (bits - 2)
    images = np.random.default_rng(bits).integers(-quarter, quarter, (3, 8, 10, 5))
    operation = MaxPool(0, 1, kernel, stride, padding, dilation)
    masks, *servers = _shared(images, bits)
    found = _run(
        lambda dealer: choosing.prepare_max_pool(dealer, masks, operation, bits),
        lambda hand, server: choosing.max_pool(hand, servers[server], operation, bits),
        bits,
    )
    rows_first = torch.from_numpy(np.moveaxis(images, -1, 0).astype(np.float64))
    expected = torch.nn.functional.max_pool2d(rows_first, kernel, stride, padding, dilation)
    assert (np.moveaxis(found, -1, 0) == expected.numpy()).all()


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 8, 11])
def test_of_equal_logits_the_lowest_number_wins(classes: int) -> None:
    logits = np.random.default_rng(classes).integers(-2, 2, (classes, 200))
    masks, *servers = _shared(logits, 24)
    found = _run(
        lambda dealer: choosing.prepare_label(dealer, masks, 24),
        lambda hand, server: choosing.label(hand, servers[server], 24),
        choosing.NUMBER_BITS,
    )
    assert (found == logits.argmax(axis=0)).all()


def test_counts_are_of_equal_numbers_alone() -> None:
    rng = np.random.default_rng(0)
    found, given = rng.integers(0, 10, 500), rng.integers(-1, 10, 500)
    given[:5] = found[:5] + np.array([1, -1, 300, -300, 0])
    (masks, *servers), (labels, *held) = _shared(found, 16), _shared(given, 16, 1)
    dealer = Dealer(*map(SeedStream, SEEDS), 1 << 20)
    counting.prepare(dealer, masks, labels)
    hands = Hand(1, SeedStream(SEEDS[0]), b""), Hand(2, SeedStream(SEEDS[1]), dealer.corrections())
    one, two, _ = drive(
        *(
            counting.evaluate(hand, server, given.masked)
            for hand, server, given in zip(hands, servers, held, strict=True)
        )
    )
    assert (one + two) % 2**counting.COUNT_BITS == (found == given).sum()
    assert hands[0].finish() == hands[1].finish()
    assert min(one, two) > 500
