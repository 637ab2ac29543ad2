"""`Linear`: one product a server, of a masked matrix and masked values.

Decides: with m = x + l and M = W + k, l = l1 + l2 and k = k1 + k2, each online server computes
`(M - 2 ki)(m - 2 li)`; both together are 2 W x + 2 (k1 - k2)(l1 - l2). The helper computes the latter, one product
too, and nobody sends anything but the truncated result. Each adds randomness of its own before, so that what it
opens is uniform to the other. Refuses to know: windows (`predictions.steps.convolution`).
"""

from collections.abc import Generator

import numpy as np

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.ring import WIDE, Octets, Words
from predictions.steps import truncation
from predictions.steps.products import product

_TWO = np.uint64(2)


def prepare(dealer: Dealer, difference: Words, masks: Masks, shift: int, bits: int) -> Masks:
    """Deal the material of `W x + b`.

    Args:
        dealer: of the lot.
        difference: k1 - k2, shape (outputs, inputs).
        masks: l1 and l2, any shape with rows last and `inputs` elements a row.
        shift: bits to drop.
        bits: of the target's ring.
    """
    rows = masks.first.shape[-1]
    columns = (masks.first - masks.second).reshape(-1, rows)
    return truncation.prepare(dealer, excess(dealer, product(difference, columns)), shift, bits)


def evaluate(
    hand: Hand, factor: Words, bias: Words, source: Masked, shift: int, bits: int
) -> Generator[bytes, Octets, Masked]:
    """`floor((W x + b) / 2^shift)` mod 2^bits.

    Args:
        hand: of this server.
        factor: M - 2 ki, shape (outputs, inputs).
        bias: this server's share, doubled, shape (outputs,).
        source: x mod 2^64, any shape with rows last.
        shift: bits to drop.
        bits: of the target's ring.
    """
    columns = doubled_share(source).reshape(-1, source.masked.shape[-1])
    u = product(factor, columns) + bias[:, np.newaxis]
    return (yield from truncation.evaluate(hand, u + hand.words(u.shape, WIDE), shift, bits))


def doubled_share(source: Masked) -> Words:
    """What this server multiplies: m - 2 li mod 2^64."""
    return source.masked - _TWO * source.share


def excess(dealer: Dealer, crossed: Words) -> Words:
    """What is in the servers' sum besides twice the product."""
    own = dealer.words(crossed.shape, WIDE)
    return own.first + own.second + _TWO * crossed
