"""How many labels are right: the count of a batch, shared between the online servers and opened to nobody here.

Decides: `[d = 0]` for d = label given - label found is `[d >= 0] - [d - 1 >= 0]`, two signs in the ring of numbers;
the bits are shared additively mod 2^32 and summed over the batch by each server alone. The first share of a bit is
uniform, so one server's sum tells nothing. Refuses to know: how labels are found (`predictions.steps.choosing`).
"""

from collections.abc import Generator

import numpy as np

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.ring import Octets, Words, from_plane, reduced
from predictions.steps import comparison
from predictions.steps.choosing import NUMBER_BITS
from predictions.trees import quick

COUNT_BITS = 32


def prepare(dealer: Dealer, found: Masks, given: Masks) -> None:
    """Deal the material of a count; masks (rows,) of labels, mod 2^16."""
    masks = reduced(given.first + given.second - found.first - found.second, NUMBER_BITS)
    hidden = comparison.prepare(dealer, np.tile(masks, 2), NUMBER_BITS, quick(NUMBER_BITS))
    dealer.share_words(from_plane(hidden, 2 * masks.size).astype(np.uint32), COUNT_BITS)


def evaluate(hand: Hand, found: Masked, given: Words) -> Generator[bytes, Octets, int]:
    """This server's share of the count, mod 2^32.

    Args:
        hand: of this server.
        found: the label that the model gives, (rows,) mod 2^16.
        given: masked labels, (rows,) mod 2^16.
    """
    rows = given.size
    apart = reduced(given - found.masked, NUMBER_BITS)
    both = np.concatenate([apart, reduced(apart - apart.dtype.type(1), NUMBER_BITS)])
    plane = yield from comparison.evaluate(hand, both, NUMBER_BITS, quick(NUMBER_BITS))
    opened = from_plane(plane, 2 * rows).astype(np.uint32)
    hidden = hand.shared_words(opened.shape, COUNT_BITS)
    # The bit is opened ^ hidden: hidden, or 1 - hidden.
    bits = hidden - np.uint32(2) * opened * hidden + (opened if hand.first else np.uint32(0))
    return int((bits[:rows].astype(np.int64).sum() - bits[rows:].astype(np.int64).sum()) % (1 << COUNT_BITS))
