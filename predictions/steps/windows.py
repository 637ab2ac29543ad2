"""Windows of images: which elements a kernel sees at each place.

Decides: images are (channels, height, width, rows), rows last, and windows are laid out so that whole runs of rows,
and of neighbouring places, are copied at once. Refuses to know: what is summed, multiplied or compared in a window.
"""

from dataclasses import dataclass

import numpy as np

from predictions.program import Convolution, MaxPool, SumPool
from predictions.ring import Words


@dataclass(frozen=True)
class Axis:
    """Windows along one axis.

    Args:
        size: elements of the axis.
        kernel: elements of a window.
        stride: from one window to the next, `dilation`: from one element of a window to the next.
        padding: elements that are missing before the first and after the last.
    """

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def places(self) -> int:
        """How many windows there are."""
        return (self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def elements(self, tap: int) -> slice | list[int]:
        """Which element is the `tap`-th of each window.

        Where that one is missing it is the nearest of the same window, for which it can stand when only the largest
        is looked for.
        """
        if not self.padding:
            start = tap * self.dilation
            return slice(start, start + self.stride * (self.places - 1) + 1, self.stride)
        return [self._within(place * self.stride - self.padding, tap) for place in range(self.places)]

    def _within(self, start: int, tap: int) -> int:
        first = max(0, -(start // self.dilation))
        last = min(self.kernel - 1, (self.size - 1 - start) // self.dilation)
        return start + min(max(tap, first), last) * self.dilation


def axes(operation: Convolution | MaxPool | SumPool, shape: tuple[int, ...]) -> tuple[Axis, Axis]:
    """The two axes of an operation on images of `shape`, (channels, height, width)."""
    dilation = (1, 1) if isinstance(operation, SumPool) else operation.dilation
    height, width = (
        Axis(shape[1 + i], operation.kernel[i], operation.stride[i], operation.padding[i], dilation[i])
        for i in (0, 1)
    )
    return height, width


def padded(images: Words, height: Axis, width: Axis) -> Words:
    """The images with zeros around them."""
    if not height.padding and not width.padding:
        return np.ascontiguousarray(images)
    channels, rows = images.shape[0], images.shape[-1]
    frame = np.zeros(
        (channels, height.size + 2 * height.padding, width.size + 2 * width.padding, rows), images.dtype
    )
    frame[:, height.padding : height.padding + height.size, width.padding : width.padding + width.size] = (
        images
    )
    return frame


def patches(frame: Words, height: Axis, width: Axis, first: int, last: int) -> Words:
    """Columns for a product: windows in lines `first` to `last` of places.

    Args:
        frame: of `padded`.
        height: the axis of lines.
        width: the axis within a line.
        first: first line of places.
        last: the line after the last.

    Returns:
        Shape (channels * kernel, lines * places of the width * rows).
    """
    channels, rows = frame.shape[0], frame.shape[-1]
    by_channel, by_line, by_place, by_row = frame.strides
    shape = (channels, height.kernel, width.kernel, last - first, width.places, rows)
    strides = (
        by_channel,
        by_line * height.dilation,
        by_place * width.dilation,
        by_line * height.stride,
        by_place * width.stride,
        by_row,
    )
    view = np.lib.stride_tricks.as_strided(frame[:, first * height.stride :], shape, strides)
    return view.reshape(channels * height.kernel * width.kernel, -1)
