"""The end of a linear step: a shared product of doubled values becomes a masked value in a small ring.

Decides: shares u1 + u2 = 2 v + r mod 2^64, r the helper's. Each server opens `(u_i >> (shift + 1)) mod 2^bits`; the
sum is `floor(v / 2^shift) + (r >> (shift + 1))`, at most one unit off either way, as two floors and a carry are lost.
There is no large error: what wraps at 2^64 wraps at a multiple of 2^bits. r is uniform, so is the mask that it leaves.
Refuses to know: what was multiplied.
"""

from collections.abc import Generator

import numpy as np

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.ring import Octets, Words, reduced


def prepare(dealer: Dealer, excess: Words, shift: int, bits: int) -> Masks:
    """Deal shares of the mask that `excess`, r mod 2^64, leaves."""
    return dealer.share_words(_cut(excess, shift, bits), bits)


def evaluate(hand: Hand, doubled: Words, shift: int, bits: int) -> Generator[bytes, Octets, Masked]:
    """Open the truncation of `doubled`, this server's u mod 2^64."""
    (opened,) = yield from hand.open_words((_cut(doubled, shift, bits), bits))
    return Masked(opened, hand.shared_words(doubled.shape, bits))


def _cut(words: Words, shift: int, bits: int) -> Words:
    return reduced(words >> np.uint64(shift + 1), bits)
