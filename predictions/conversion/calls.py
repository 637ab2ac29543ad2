"""What a function or method call of a model's forward says, in terms of the modules of the table.

Decides: which functions there are besides modules. A call with settings is the module of the same settings, so that
both are held to the same limits. Refuses to know: the graph and the tracer.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

Function = Callable[..., Any]

ADD: Final = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
SUBTRACT: Final = frozenset({operator.sub, operator.isub, torch.sub, "sub", "sub_"})
MULTIPLY: Final = frozenset({operator.mul, operator.imul, torch.mul, "mul", "mul_"})
DIVIDE: Final = frozenset({operator.truediv, operator.itruediv, torch.div, "div", "div_"})
ARITHMETIC: Final = ADD | SUBTRACT | MULTIPLY | DIVIDE
WRITES_IN_PLACE: Final = frozenset(
    {operator.iadd, operator.isub, operator.imul, operator.itruediv, "add_", "sub_", "mul_", "div_",
     torch.relu_, functional.relu_, "relu_"}
)  # fmt: skip
READS_SHAPE: Final = frozenset({"size", "dim", "numel", getattr})
RESHAPES: Final[frozenset[object]] = frozenset(
    {torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze,
     "flatten", "reshape", "view", "squeeze", "unsqueeze", "contiguous"}
)  # fmt: skip


def as_module(target: object, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> nn.Module | None:
    """The module that does what a call does to its first argument; None where there is none.

    Args:
        target: function, or name of the method.
        arguments: behind the first one, which is the value.
        named: keyword arguments.
    """
    make = _MODULES.get(target)
    try:
        return None if make is None else make(*arguments, **named)
    except TypeError:  # arguments that only torch's own function knows
        return None


def _relu(inplace: bool = False) -> nn.Module:
    return nn.ReLU(inplace)


def _max_pool(
    kernel_size: Any,  # noqa: ANN401 - numbers and tuples, as torch's own
    stride: Any = None,  # noqa: ANN401
    padding: Any = 0,  # noqa: ANN401
    dilation: Any = 1,  # noqa: ANN401
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nn.Module:
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)


def _dropped(p: float = 0.5, training: bool = False, inplace: bool = False) -> nn.Module | None:
    return None if training else nn.Identity()


_MODULES: Final[dict[object, Callable[..., nn.Module | None]]] = {
    **dict.fromkeys((torch.relu, torch.relu_, functional.relu, functional.relu_, "relu", "relu_"), _relu),
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), _max_pool),
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    functional.adaptive_max_pool2d: nn.AdaptiveMaxPool2d,
    **dict.fromkeys((functional.dropout, functional.dropout2d), _dropped),
}
