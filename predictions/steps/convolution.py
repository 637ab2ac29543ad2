"""`Convolution`: as `Linear`, with the windows of an image as columns.

Decides: columns are laid out a few lines at a time, as many as stay in the cache. Groups are a batch of products.
Refuses to know: masks; padding is zero in masked values and masks alike, which is a masked zero.
"""

from collections.abc import Generator

import numpy as np

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.program import Convolution
from predictions.ring import WIDE, Octets, Words
from predictions.steps import truncation
from predictions.steps.linear import doubled_share, excess
from predictions.steps.products import product
from predictions.steps.windows import axes, padded, patches

_COLUMNS = 1024


def prepare(dealer: Dealer, difference: Words, masks: Masks, operation: Convolution, bits: int) -> Masks:
    """Deal the material of a convolution.

    Args:
        dealer: of the lot.
        difference: k1 - k2, shape (out channels, in channels / groups * kernel).
        masks: l1 and l2, shape (channels, height, width, rows).
        operation: the windows and the shift.
        bits: of the target's ring.
    """
    crossed = convolved(difference, masks.first - masks.second, operation)
    return truncation.prepare(dealer, excess(dealer, crossed), operation.shift, bits)


def evaluate(
    hand: Hand, factor: Words, bias: Words, source: Masked, operation: Convolution, bits: int
) -> Generator[bytes, Octets, Masked]:
    """The convolution, truncated, mod 2^bits; `factor` and `bias` as for `linear.evaluate`."""
    u = convolved(factor, doubled_share(source), operation)
    u += bias[:, np.newaxis, np.newaxis, np.newaxis]
    u += hand.words(u.shape, WIDE)
    return (yield from truncation.evaluate(hand, u, operation.shift, bits))


def convolved(matrix: Words, images: Words, operation: Convolution) -> Words:
    """The convolution mod 2^64, shape (out channels, height, width, rows)."""
    height, width = axes(operation, images.shape)
    frame, rows, groups = padded(images, height, width), images.shape[-1], operation.groups
    result = np.empty((len(matrix), height.places, width.places, rows), np.uint64)
    lines = max(1, _COLUMNS // (width.places * rows))
    for first in range(0, height.places, lines):
        last = min(height.places, first + lines)
        columns = patches(frame, height, width, first, last)
        if groups == 1:
            part = product(matrix, columns)
        else:
            part = product(
                matrix.reshape(groups, -1, matrix.shape[1]), columns.reshape(groups, matrix.shape[1], -1)
            )
        result[:, first:last] = part.reshape(len(matrix), last - first, width.places, rows)
    return result
