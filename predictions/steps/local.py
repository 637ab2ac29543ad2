"""Operations that each server does alone: they are linear, so shares of masks go the way of masked values.

Decides: `Add`, `Reduce`, `Reshape` and `SumPool` on one array of words, whatever it holds. Refuses to know: what it is.
"""

import numpy as np

from predictions.program import Add, Reduce, Reshape, SumPool, Wire
from predictions.ring import Words, reduced
from predictions.steps.windows import axes, padded

Local = Add | Reduce | Reshape | SumPool


def apply(operation: Local, sources: list[Words], target: Wire) -> Words:
    """The array of the target's wire.

    Args:
        operation: which.
        sources: those of the operation's sources, shape (*shape of the wire, rows).
        target: the wire that comes out.
    """
    match operation:
        case Add():
            left, right = sources
            return reduced(left + right, target.bits)
        case Reduce():
            return reduced(sources[0], target.bits)
        case Reshape():
            return sources[0].reshape(*target.shape, sources[0].shape[-1])
        case SumPool():
            return reduced(_window_sums(sources[0], operation), target.bits)


def _window_sums(images: Words, operation: SumPool) -> Words:
    height, width = axes(operation, images.shape)
    frame = padded(images, height, width)
    total = np.zeros((images.shape[0], height.places, width.places, images.shape[-1]), images.dtype)
    for line in range(height.kernel):
        for place in range(width.kernel):
            total += frame[
                :,
                line : line + height.stride * (height.places - 1) + 1 : height.stride,
                place : place + width.stride * (width.places - 1) + 1 : width.stride,
            ]
    return total


def sources_of(operation: Local) -> tuple[int, ...]:
    """Numbers of the wires that it reads."""
    return (operation.left, operation.right) if isinstance(operation, Add) else (operation.source,)
