"""Products of masked bits and values, within a ring and out of it."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from predictions.material import Dealer, Hand, Masked
from predictions.ring import Words, word
from predictions.steps import injection
from predictions.stream import SeedStream, Stream
from tests.support.masked_run import Party, drive
from tests.support.tapes import EveryTape, OneTape, Zeros, views

SEEDS = bytes(32), b"\x01" * 32
BITS = 3
# Each server draws a mask of a product; the first draws its shares of d and l d as well.
SECOND_TAPE, FIRST_TAPE = BITS, 3 * BITS


def _small(hand: Hand, chosen: Words, value: Masked, bits: int) -> Party[Masked]:
    mine, mask = injection.product(hand, chosen, value, bits)
    (opened,) = yield from hand.open_words((mine, bits))
    return Masked(opened, mask)


def _unmasked(results: tuple[Masked, Masked]) -> Words:
    assert (results[0].masked == results[1].masked).all()
    return results[0].masked - results[0].share - results[1].share


def test_products_within_a_ring_are_exact_for_all_values_masks_and_bits() -> None:
    bits = 4
    masked, masks, chosen, hidden = (
        axis.reshape(-1)
        for axis in np.meshgrid(*2 * [np.arange(16, dtype=np.uint8)], *2 * [np.arange(2, dtype=np.uint8)])
    )
    dealer = Dealer(*map(SeedStream, SEEDS), 1 << 20)
    injection.prepare_product(dealer, masks, hidden, bits)
    hands = Hand(1, SeedStream(SEEDS[0]), b""), Hand(2, SeedStream(SEEDS[1]), dealer.corrections())
    first = np.arange(masks.size, dtype=np.uint8) * 7 % 16
    values = Masked(masked, first), Masked(masked, (masks - first) % 16)
    one, two, _ = drive(
        *(_small(hand, chosen, value, bits) for hand, value in zip(hands, values, strict=True))
    )
    assert (_unmasked((one, two)) % 16 == (masked - masks) * (chosen ^ hidden) % 16).all()


@pytest.mark.parametrize("bits", [4, 8, 12, 24, 32, 40])
def test_values_that_are_chosen_leave_their_ring_exactly(bits: int) -> None:
    rng = np.random.default_rng(bits)
    if bits == 4:
        value, masks = (axis.reshape(-1) for axis in np.meshgrid(np.arange(8), np.arange(16)))
    else:
        value, masks = rng.integers(0, 1 << (bits - 1), 999), rng.integers(0, 1 << bits, 999)
    value = np.concatenate([value, value])
    masks = np.concatenate([masks, masks])
    masked = ((value + masks) % (1 << bits)).astype(word(bits))
    masks = masks.astype(word(bits))
    hidden = rng.integers(0, 2, value.size, dtype=np.uint8)
    bit = np.repeat(np.array([0, 1], np.uint8), value.size // 2)
    dealer = Dealer(*map(SeedStream, SEEDS), 1 << 20)
    injection.prepare_wide_product(dealer, masks, hidden, bits)
    injection.prepare_lift(dealer, masks, bits)
    hands = Hand(1, SeedStream(SEEDS[0]), b""), Hand(2, SeedStream(SEEDS[1]), dealer.corrections())
    one, two, _ = drive(*(injection.wide_product(hand, bit ^ hidden, masked, bits) for hand in hands))
    assert (_unmasked((one, two)).view(np.int64) == value * bit).all()
    one, two, _ = drive(*(injection.lift(hand, masked, bits) for hand in hands))
    small = value < 1 << (bits - 2)
    assert (_unmasked((one, two)).view(np.int64) == value)[small].all()


@pytest.mark.parametrize("bits", [4, 12, 32, 40])
def test_values_of_either_sign_are_lifted_exactly(bits: int) -> None:
    quarter = 1 << (bits - 2)
    value = np.random.default_rng(bits).integers(-quarter, quarter, 999)
    value[:3] = -quarter, 0, quarter - 1
    masks = np.random.default_rng(1).integers(0, 1 << bits, 999)
    masked = ((value + masks) % (1 << bits)).astype(word(bits))
    dealer = Dealer(*map(SeedStream, SEEDS), 1 << 20)
    injection.prepare_lift(dealer, masks.astype(word(bits)), bits)
    hands = Hand(1, SeedStream(SEEDS[0]), b""), Hand(2, SeedStream(SEEDS[1]), dealer.corrections())
    one, two, _ = drive(*(injection.lift(hand, masked, bits) for hand in hands))
    assert (_unmasked((one, two)).view(np.int64) == value).all()


def _sees(
    second_sees: bool,
    value: int,
    bit: int,
    first: Callable[[], Stream],
    second: Callable[[], Stream],
    runs: int,
) -> Counter[tuple[int, ...]]:
    """Views over all runs of what is sent, and of corrections; 5 is the masked value and 1 the masked bit."""
    dealer = Dealer(first(), second(), 1 << 20)
    masks = np.full(runs, (5 - value) % (1 << BITS), np.uint8)
    injection.prepare_product(dealer, masks, np.full(runs, 1 ^ bit, np.uint8), BITS)
    hands = Hand(1, first(), b""), Hand(2, second(), dealer.corrections())
    public, chosen = np.full(runs, 5, np.uint8), np.ones(runs, np.uint8)
    shares = (2, (5 - value - 2) % (1 << BITS)) if not second_sees else ((5 - value - 2) % (1 << BITS), 2)
    values = (Masked(public, np.full(runs, share, np.uint8)) for share in shares)
    _, _, said = drive(*(_small(hand, chosen, held, BITS) for hand, held in zip(hands, values, strict=True)))
    seen = said[0] if second_sees else said[1]
    parts = [np.frombuffer(data, np.uint8).reshape(-1, runs) for data in seen]
    if second_sees:
        parts.append(np.frombuffer(dealer.corrections(), np.uint8).reshape(-1, runs))
    return views([column for part in parts for column in part])


def test_each_server_sees_every_view_once_whatever_the_value_and_the_bit() -> None:
    for value in range(1 << BITS):
        for bit in (0, 1):
            of_second = _sees(
                True, value, bit, lambda: EveryTape(FIRST_TAPE), lambda: OneTape(3), 1 << FIRST_TAPE
            )
            of_first = _sees(
                False, value, bit, lambda: OneTape(4), lambda: EveryTape(SECOND_TAPE), 1 << SECOND_TAPE
            )
            assert len(of_second) == 1 << FIRST_TAPE
            assert len(of_first) == 1 << SECOND_TAPE


def test_without_masks_views_tell_values_apart() -> None:
    of_second = [_sees(True, value, 1, Zeros, lambda: OneTape(3), 8) for value in range(8)]
    of_first = [_sees(False, value, 1, lambda: OneTape(4), Zeros, 8) for value in range(8)]
    assert len(set(map(frozenset, of_second))) > 1
    assert len(set(map(frozenset, of_first))) > 1
