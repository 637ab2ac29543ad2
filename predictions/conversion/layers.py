"""The table of modules that can be converted, and what each becomes.

Decides: which modules of torch there are, under which settings, and that every other setting is refused in words.
Refuses to know: tracing, scales and rings. A module is looked up by its exact type: a subclass may compute anything.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from predictions.conversion.graph import (
    Average,
    Centre,
    Convolve,
    Dense,
    Diagonal,
    Layer,
    Maximum,
    Normalise,
    Pair,
    Rectify,
    Reshaped,
    Shape,
    diagonal,
)
from predictions.conversion.refusals import Refused

MOST_NORMALISED: Final = (
    4096  # values under one LayerNorm: its centring may need a square matrix of that side
)

Builder = Callable[[Any, Shape, Shape], tuple[Layer, ...]]


@dataclass(frozen=True)
class Supported:
    """One line of the table for people.

    Args:
        layers: what can be used.
        limits: under which settings.
        cost: what it becomes.
    """

    layers: str
    limits: str
    cost: str


SUPPORTED: Final = (
    Supported("Linear", "on a flat example (features,)", "one product and one exchange"),
    Supported(
        "Conv2d",
        "any stride, padding (numbers, 'valid', 'same'), dilation and groups; padding_mode 'zeros'",
        "one product and one exchange",
    ),
    Supported("ReLU, functional and in place too", "everywhere", "three exchanges, four in large batches"),
    Supported(
        "MaxPool2d, AdaptiveMaxPool2d",
        "no ceil_mode, no indices; adaptive where input divides by output",
        "as many exchanges as a ReLU for each doubling of the window; a ReLU before it moves behind it",
    ),
    Supported(
        "AvgPool2d, AdaptiveAvgPool2d",
        "no ceil_mode; count_include_pad where padded; adaptive where input divides by output",
        "local: a sum, whose scale the next layer takes in",
    ),
    Supported(
        "BatchNorm1d, BatchNorm2d",
        "as in eval mode, with running statistics; one-dimensional on a flat example",
        "nothing beside a Linear or Conv2d, which takes it in; else one product and one exchange",
    ),
    Supported(
        "LayerNorm",
        f"over the whole example, of at most {MOST_NORMALISED} values",
        "fourteen exchanges; its centring goes into a Linear before it, its factors are as those of a BatchNorm",
    ),
    Supported("Flatten, view, reshape, squeeze, unsqueeze", "batch stays the first axis", "local"),
    Supported("Dropout, Dropout1d, Dropout2d, AlphaDropout, Identity", "as in eval mode", "nothing"),
    Supported("x + y of two layers", "same shape", "local; one exchange where a linear layer follows"),
    Supported("+, -, *, / with a constant", "a number or a buffer that broadcasts", "as BatchNorm"),
)


def build(module: nn.Module, given: Shape, gives: Shape) -> tuple[Layer, ...] | None:
    """The layers, one after the other, that a module becomes; none for one that does nothing.

    Args:
        module: of eval mode, in float64.
        given: shape of its input, one example.
        gives: shape of its output.

    Returns:
        None: the module is not in the table.

    Raises:
        Refused: it is, but not with these settings.
    """
    builder = _BUILDERS.get(type(module))
    return None if builder is None else builder(module, given, gives)


def _linear(module: nn.Linear, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    if len(given) != 1:
        raise Refused(f"is used on examples of shape {given}; put nn.Flatten() before it")
    return (Dense(module.weight.detach(), _bias(module.bias, gives[0])),)


def _convolution(module: nn.Conv2d, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    if module.padding_mode != "zeros":
        raise Refused(f"pads by {module.padding_mode!r}; use padding_mode='zeros'")
    _of_images(given)
    kernel, dilation = module.weight.detach(), _pair(module.dilation)
    if module.padding == "same":
        kernel, padding, dilation = _same(kernel, dilation)
    else:
        padding = (0, 0) if isinstance(module.padding, str) else _pair(module.padding)
    bias = _bias(module.bias, gives[0])
    return (Convolve(kernel, bias, _pair(module.stride), padding, dilation, module.groups),)


def _same(kernel: Tensor, dilation: Pair) -> tuple[Tensor, Pair, Pair]:
    """Kernel, padding and dilation of padding 'same'; torch pads an odd total more at the end.

    There, the kernel is written out with its holes and one leading zero, so that equal padding does the same.
    """
    padding, dilated = [0, 0], list(dilation)
    for axis in (0, 1):
        total = dilation[axis] * (kernel.shape[2 + axis] - 1)
        if total % 2:
            kernel = _with_leading_zero(kernel, 2 + axis, dilation[axis])
            dilated[axis] = 1
        padding[axis] = (total + 1) // 2
    return kernel, (padding[0], padding[1]), (dilated[0], dilated[1])


def _with_leading_zero(kernel: Tensor, axis: int, dilation: int) -> Tensor:
    shape = list(kernel.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 2
    written = kernel.new_zeros(shape)
    places = torch.arange(kernel.shape[axis]) * dilation + 1
    return written.index_copy(axis, places, kernel)


def _rectify(module: nn.ReLU, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    return (Rectify(),)


def _nothing(module: nn.Module, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    return ()


def _reshaped(module: nn.Module, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    return (Reshaped(),)


def _max_pool(module: nn.MaxPool2d, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    _of_images(given)
    if module.ceil_mode or module.return_indices:
        raise Refused("has ceil_mode or return_indices; leave both False")
    kernel, stride = _pair(module.kernel_size), _pair(module.stride or module.kernel_size)
    return (Maximum(kernel, stride, _pair(module.padding), _pair(module.dilation)),)


def _average_pool(module: nn.AvgPool2d, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    _of_images(given)
    padding = _pair(module.padding)
    if module.ceil_mode:
        raise Refused("has ceil_mode; leave it False")
    if padding != (0, 0) and not module.count_include_pad and not module.divisor_override:
        raise Refused("divides by another number at the border; use count_include_pad=True, or no padding")
    kernel, stride = _pair(module.kernel_size), _pair(module.stride or module.kernel_size)
    if module.divisor_override is not None and module.divisor_override < 1:
        raise Refused("has a divisor_override below one; use a positive one")
    return (Average(kernel, stride, padding, module.divisor_override or math.prod(kernel)),)


def _adaptive_average(module: nn.AdaptiveAvgPool2d, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    kernel = _even_windows(given, gives)
    return (Average(kernel, kernel, (0, 0), math.prod(kernel)),)


def _adaptive_maximum(module: nn.AdaptiveMaxPool2d, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    if module.return_indices:
        raise Refused("has return_indices; leave it False")
    kernel = _even_windows(given, gives)
    return (Maximum(kernel, kernel, (0, 0), (1, 1)),)


def _even_windows(given: Shape, gives: Shape) -> Pair:
    """The window when every output sees as many inputs."""
    _of_images(given)
    (height, width), (rows, columns) = given[1:], gives[1:]
    if height % rows or width % columns:
        raise Refused(
            f"maps {height} x {width} to {rows} x {columns} in uneven windows; let the one divide the other"
        )
    return height // rows, width // columns


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    if not module.track_running_stats:
        raise Refused("has no running statistics; train with track_running_stats=True")
    if len(given) not in (1, 3):
        raise Refused(
            f"is used on examples of shape {given}; put it on (features,) or (channels, height, width)"
        )
    running: Callable[[str], Tensor] = module.get_buffer
    factor = 1 / torch.sqrt(running("running_var") + module.eps)
    if module.affine:
        factor = factor * module.weight.detach()
    offset = -running("running_mean") * factor
    if module.affine:
        offset = offset + module.bias.detach()
    axes = (-1,) + (1,) * (len(given) - 1)
    return (diagonal(factor.reshape(axes), offset.reshape(axes), given),)


def _layer_norm(module: nn.LayerNorm, given: Shape, gives: Shape) -> tuple[Layer, ...]:
    if tuple(module.normalized_shape) != given:
        raise Refused(f"normalises part of an example of shape {given}; let it normalise all of it")
    if not 2 <= math.prod(given) <= MOST_NORMALISED:
        raise Refused(
            f"normalises {math.prod(given)} values; 2 to {MOST_NORMALISED} can be, so put it after a smaller layer"
        )
    core: tuple[Layer, ...] = (Centre(), Normalise(module.eps))
    affine = dict(module.named_parameters())
    if "weight" not in affine:
        return core
    offset = affine["bias"].detach() if "bias" in affine else torch.zeros(given, dtype=torch.float64)
    return (*core, Diagonal(affine["weight"].detach(), offset))


def _bias(bias: Tensor | None, outputs: int) -> Tensor:
    return torch.zeros(outputs, dtype=torch.float64) if bias is None else bias.detach()


def _pair(value: int | tuple[int, ...]) -> Pair:
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[-1]))


def _of_images(given: Shape) -> None:
    if len(given) != 3:
        raise Refused(f"is used on examples of shape {given}; give it (channels, height, width)")


_BUILDERS: Final[dict[type[nn.Module], Builder]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.ReLU: _rectify,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _adaptive_average,
    nn.AdaptiveMaxPool2d: _adaptive_maximum,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.Flatten: _reshaped,
    nn.Unflatten: _reshaped,
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity), _nothing),
}
