"""`Relu`, `MaxPool` and the label of the largest logit: what is made of signs.

Decides: `max(a, b) = b + [a - b >= 0] (a - b)`, in a tournament of neighbours, so that of equals the first wins; what
goes with the winner, its number, is chosen by the same bit. Refuses to know: how signs come about.
"""

from collections.abc import Generator

import numpy as np

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.program import MaxPool
from predictions.ring import Octets, Words, from_plane, reduced, volume, word
from predictions.steps import comparison, injection
from predictions.steps.windows import axes
from predictions.trees import tree_of

NUMBER_BITS = 16


def prepare_relu(dealer: Dealer, masks: Masks, bits: int) -> Masks:
    """Deal the material of `max(x, 0)`, from 2^bits to 2^64."""
    shape = masks.first.shape
    flat = reduced(masks.first + masks.second, bits).reshape(-1)
    hidden = comparison.prepare(dealer, flat, bits, tree_of(bits, flat.size))
    chosen = injection.prepare_wide_product(dealer, flat, from_plane(hidden, flat.size), bits)
    return Masks(chosen.first.reshape(shape), chosen.second.reshape(shape))


def relu(hand: Hand, source: Masked, bits: int) -> Generator[bytes, Octets, Masked]:
    """`max(x, 0)` mod 2^64."""
    shape, flat = source.masked.shape, source.masked.reshape(-1)
    plane = yield from comparison.evaluate(hand, flat, bits, tree_of(bits, flat.size))
    chosen = yield from injection.wide_product(hand, from_plane(plane, flat.size), flat, bits)
    return Masked(chosen.masked.reshape(shape), chosen.share.reshape(shape))


def prepare_max_pool(dealer: Dealer, masks: Masks, operation: MaxPool, bits: int) -> Masks:
    """Deal the material of the largest of each window."""
    (largest,) = prepare_tournament(
        dealer, [(Masks(_taps(masks.first, operation), _taps(masks.second, operation)), bits)]
    )
    return largest


def max_pool(hand: Hand, source: Masked, operation: MaxPool, bits: int) -> Generator[bytes, Octets, Masked]:
    """The largest of each window, mod 2^bits."""
    taps = Masked(_taps(source.masked, operation), _taps(source.share, operation))
    (largest,) = yield from tournament(hand, [(taps, bits)])
    return largest


def prepare_label(dealer: Dealer, masks: Masks, bits: int) -> Masks:
    """Deal the material of the number of the largest logit; masks (classes, rows)."""
    nothing = np.zeros(masks.first.shape, word(NUMBER_BITS))
    return prepare_tournament(dealer, [(masks, bits), (Masks(nothing, nothing), NUMBER_BITS)])[1]


def label(hand: Hand, logits: Masked, bits: int) -> Generator[bytes, Octets, Masked]:
    """The number of the largest logit mod 2^16, the lowest of equals; a known number is masked by zero."""
    classes, rows = logits.masked.shape
    numbers = np.repeat(np.arange(classes, dtype=word(NUMBER_BITS))[:, np.newaxis], rows, axis=1)
    followers = Masked(numbers, np.zeros_like(numbers))
    return (yield from tournament(hand, [(logits, bits), (followers, NUMBER_BITS)]))[1]


def prepare_tournament(dealer: Dealer, players: list[tuple[Masks, int]]) -> list[Masks]:
    """Deal the material of `tournament`."""
    while len(players[0][0].first) > 1:
        shape = players[0][0].first[1::2].shape
        hidden = None
        winners = []
        for masks, bits in players:
            first, second = (_differences(share) for share in (masks.first, masks.second))
            flat = reduced(first + second, bits).reshape(-1)
            if hidden is None:
                plane = comparison.prepare(dealer, flat, bits, tree_of(bits, flat.size))
                hidden = from_plane(plane, flat.size)
            fresh = injection.prepare_product(dealer, flat, hidden, bits)
            winners.append(
                (
                    Masks(
                        _onward(masks.first, fresh.first.reshape(shape), bits),
                        _onward(masks.second, fresh.second.reshape(shape), bits),
                    ),
                    bits,
                )
            )
        players = winners
    return [Masks(masks.first[0], masks.second[0]) for masks, _ in players]


def tournament(hand: Hand, players: list[tuple[Masked, int]]) -> Generator[bytes, Octets, list[Masked]]:
    """What is left when neighbours have met until one is left.

    Args:
        hand: of this server.
        players: values along the first axis, with the bits of their ring; those of the first decide, the others
            follow.
    """
    while len(players[0][0].masked) > 1:
        values, bits = players[0]
        shape = values.masked[1::2].shape
        flat = reduced(_differences(values.masked), bits).reshape(-1)
        plane = yield from comparison.evaluate(hand, flat, bits, tree_of(bits, flat.size))
        chosen = from_plane(plane, volume(shape))
        shares = [
            injection.product(hand, chosen, _flat_differences(values, bits), bits) for values, bits in players
        ]
        opened = yield from hand.open_words(
            *((mine, bits) for (mine, _), (_, bits) in zip(shares, players, strict=True))
        )
        players = [
            (
                Masked(
                    _onward(values.masked, masked.reshape(shape), bits),
                    _onward(values.share, share.reshape(shape), bits),
                ),
                bits,
            )
            for (values, bits), masked, (_, share) in zip(players, opened, shares, strict=True)
        ]
    return [Masked(values.masked[0], values.share[0]) for values, _ in players]


def _flat_differences(values: Masked, bits: int) -> Masked:
    return Masked(
        reduced(_differences(values.masked), bits).reshape(-1), _differences(values.share).reshape(-1)
    )


def _differences(values: Words) -> Words:
    """First less second, of each pair of neighbours."""
    return values[0 : len(values) - 1 : 2] - values[1::2]


def _onward(values: Words, products: Words, bits: int) -> Words:
    """Winners, and whoever had no neighbour."""
    winners = reduced(values[1::2] + products, bits)
    return np.concatenate([winners, values[-1:]]) if len(values) % 2 else winners


def _taps(images: Words, operation: MaxPool) -> Words:
    """The elements of each window along a new first axis."""
    height, width = axes(operation, images.shape)
    lines = [images[:, height.elements(tap)] for tap in range(height.kernel)]
    return np.stack([line[:, :, width.elements(tap)] for line in lines for tap in range(width.kernel)])
