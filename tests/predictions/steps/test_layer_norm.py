"""Layer normalisation on masked values: right wherever the plan says so, never above its bound."""

import os
from collections.abc import Generator

import numpy as np
import pytest

from arithmetic.residues import to_signed
from predictions.errors import PredictionRange
from predictions.material import Dealer, Hand, Masked
from predictions.normalising import Integers, Normalising, normalising, plain
from predictions.program import LayerNorm, Wire
from predictions.ring import WIDE, Words, reduced
from predictions.steps import layer_norm, multiplication, truncation
from predictions.stream import SeedStream
from tests.support.masked_run import drive

BITS = 28
EPSILON = 1e-5
SEEDS = bytes(32), b"\x01" * 32


def _plan(count: int, bound: float = 900.0, scale: float = 2.0**14) -> Normalising:
    source = Wire((count,), BITS, scale, bound)
    return normalising(LayerNorm(0, 1, EPSILON), source, Wire((count,), WIDE, 2.0**15, count**0.5 * 1.01))


def _centred(rng: np.random.Generator, deviations: Integers | Words, count: int) -> Integers:
    values = rng.normal(size=(len(deviations), count))
    values -= values.mean(1, keepdims=True)
    found: Integers = np.rint(values / values.std(1, keepdims=True) * deviations[:, np.newaxis]).astype(
        np.int64
    )
    return found


def _masked(plan: Normalising, values: Integers) -> Integers:
    """What both servers find, unmasked, (rows, count)."""
    dealer = Dealer(*map(SeedStream, SEEDS), 1 << 24)
    masks = dealer.words(values.T.shape, BITS)
    outcome = layer_norm.prepare(dealer, masks, BITS, plan)
    hands = Hand(1, SeedStream(SEEDS[0]), b""), Hand(2, SeedStream(SEEDS[1]), dealer.corrections())
    shares = [hand.words(values.T.shape, BITS) for hand in hands]
    hidden = reduced(values.T.astype(np.uint64).astype(shares[0].dtype) + shares[0] + shares[1], BITS)
    one, two, _ = drive(
        *(
            layer_norm.evaluate(hand, Masked(hidden, share), BITS, plan)
            for hand, share in zip(hands, shares, strict=True)
        )
    )
    assert (one.masked == two.masked).all()
    assert (one.share == outcome.first).all()
    assert (two.share == outcome.second).all()
    for hand in hands:
        hand.finish()
    return to_signed(one.masked - one.share - two.share, WIDE).reshape(values.T.shape).T


class _Recording(Hand):
    """A hand that keeps what was opened before it, and what it was told."""

    def __init__(self, party: int, seed: bytes, corrections: bytes) -> None:
        super().__init__(party, SeedStream(seed), corrections)
        self.seen: list[bytes] = []

    def open_words(self, *parts: tuple[Words, int]) -> Generator[bytes, bytes, list[Words]]:
        opened = yield from super().open_words(*parts)
        self.seen += [words.tobytes() for words in opened]
        return opened


def _seen(plan: Normalising, values: Integers) -> list[bytes]:
    """Everything that one server is told: the other's messages, and what both opened."""
    seeds = os.urandom(32), os.urandom(32)
    dealer = Dealer(*map(SeedStream, seeds), 1 << 26)
    layer_norm.prepare(dealer, dealer.words(values.T.shape, BITS), BITS, plan)
    hands = _Recording(1, seeds[0], b""), _Recording(2, seeds[1], dealer.corrections())
    shares = [hand.words(values.T.shape, BITS) for hand in hands]
    hidden = reduced(values.T.astype(np.uint64).astype(shares[0].dtype) + shares[0] + shares[1], BITS)
    _, _, said = drive(
        *(
            layer_norm.evaluate(hand, Masked(hidden, share), BITS, plan)
            for hand, share in zip(hands, shares, strict=True)
        )
    )
    return [*said[0], *said[1], *hands[0].seen]


def _told_apart(plan: Normalising) -> float:
    """Largest two-sample chi-square of bytes, in deviations, for zeros against large values."""
    worst = 0.0
    small = np.zeros((3000, 2), np.int64)
    large = np.full((3000, 2), 2**23) * np.array([[1, -1]])
    for one, other in zip(_seen(plan, small), _seen(plan, large), strict=True):
        counts = np.array(
            [np.bincount(np.frombuffer(seen, np.uint8), minlength=256) for seen in (one, other)]
        )
        counts = counts[:, counts.sum(0) > 0].astype(float)
        free = counts.shape[1] - 1
        chi = ((counts[0] - counts[1]) ** 2 / counts.sum(0)).sum()
        worst = max(worst, (chi - free) / (2 * free) ** 0.5)
    return float(worst)


def _barely_masked(hand: Hand, share: Words, shift: int, bits: int) -> Generator[bytes, bytes, Masked]:
    """A truncation that forgets its own randomness."""
    hand.words(share.shape, WIDE)
    return (yield from truncation.evaluate(hand, share, shift - 1, bits))


def test_what_a_server_sees_for_zeros_and_for_large_values_looks_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = _plan(2)
    assert _told_apart(plan) < 8
    monkeypatch.setattr(multiplication, "truncated", _barely_masked)
    assert _told_apart(plan) > 100


def _exact(values: Integers) -> np.ndarray:
    scaled = values / 2.0**14
    return scaled / np.sqrt(np.square(scaled).mean(1, keepdims=True) + EPSILON) * 2.0**15


@pytest.mark.parametrize("count", [2, 7, 64])
def test_values_are_divided_by_their_deviation_whatever_its_size(count: int) -> None:
    plan = _plan(count)
    smallest, largest = np.log2(plan.smallest_deviation), np.log2(900 * 2.0**14 / count**0.5)
    deviations = 2.0 ** np.linspace(smallest, largest, 200)
    values = _centred(np.random.default_rng(count), deviations, count)
    exact = _exact(values)
    for found in (_masked(plan, values), plain(plan, values)):
        # A unit or two of truncation, and the relative error of the plan.
        assert (np.abs(found - exact) <= 3 + np.abs(exact) * 2.0**-10).all()
    large = deviations > 2.0**6 * plan.smallest_deviation
    assert (np.abs(_masked(plan, values) - exact)[large] <= 3 + np.abs(exact[large]) * 2.0**-14).all()


def test_nothing_leaves_its_bound_however_small_the_values() -> None:
    plan = _plan(16)
    rng = np.random.default_rng(3)
    values = np.concatenate(
        [np.zeros((1, 16), np.int64), rng.integers(-3, 4, (20, 16)), _centred(rng, 2.0 ** np.arange(12), 16)]
    )
    spike = np.zeros((8, 16), np.int64)
    spike[:, 0] = 2 ** np.arange(0, 24, 3)
    values = np.concatenate([values, spike])
    for found in (_masked(plan, values), plain(plan, values)):
        assert (np.abs(found) <= np.abs(_exact(values)) * (1 + 2.0**-13) + 3).all()
        assert (np.abs(found) <= 4 * 2.0**15 * 1.001).all()


def test_all_leading_bits_and_both_ends_of_the_table_are_met() -> None:
    plan = _plan(4)
    edges = 2.0 ** np.arange(np.log2(plan.smallest_deviation) + 6, 22)
    deviations = np.concatenate([edges * (1 + offset) for offset in (-1e-4, 0.0, 1e-4)])
    values = np.array([[1, -1, 1, -1]]) * np.rint(deviations).astype(np.int64)[:, np.newaxis]
    found = _masked(plan, values)
    assert (np.abs(np.abs(found) - 2.0**15) <= 8).all()


def test_values_too_large_to_be_squared_are_refused() -> None:
    with pytest.raises(PredictionRange, match="LayerNorm of 64"):
        _plan(64, bound=2.0**15)
