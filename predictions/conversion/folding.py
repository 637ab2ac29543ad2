"""Rewrites a graph until every layer is one that a program has: what is linear goes into the linear layers beside it.

Decides: where factors, offsets and means go, that a ReLU moves behind a max pooling, and which layers cost a step of
their own because no neighbour takes them. Refuses to know: integers. Every rewrite keeps the function, in exact
arithmetic.
"""

import math
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from predictions.conversion.graph import (
    Average,
    Centre,
    Convolve,
    Dense,
    Diagonal,
    Graph,
    Maximum,
    Rectify,
    Reshaped,
    Shape,
    Sum,
)

_POINT: Final = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}


def fold(graph: Graph) -> None:
    """Bring a graph into the layers of a program: no Centre and no Diagonal is left.

    Args:
        graph: as traced; changed in place.
    """
    graph.prune()
    for number in _of_kind(graph, Centre):
        _fold_centre(graph, number)
    for number in _of_kind(graph, Diagonal):
        if _does_nothing(graph, number) or _fold_upward(graph, number):
            graph.remove(number)
    for number in reversed(_of_kind(graph, Diagonal)):
        if _fold_downward(graph, number):
            graph.remove(number)
    while any(_swap(graph, number) for number in _of_kind(graph, Maximum)):
        pass
    _align_sums(graph)
    for number in _of_kind(graph, Diagonal):
        _write_out(graph, number)


def _of_kind(graph: Graph, kind: type) -> list[int]:
    return [number for number, node in graph.nodes.items() if isinstance(node.layer, kind)]


def _fold_centre(graph: Graph, number: int) -> None:
    """Into the Dense layer before it; else it becomes one itself."""
    shape = graph.nodes[number].shape
    (above,) = graph.nodes[number].sources
    while graph.only_user(above) is not None and isinstance(graph.nodes[above].layer, Reshaped):
        (above,) = graph.nodes[above].sources
    layer = graph.nodes[above].layer
    if graph.only_user(above) is not None and isinstance(layer, Dense):
        graph.change(above, Dense(layer.matrix - layer.matrix.mean(0), layer.bias - layer.bias.mean()))
        graph.remove(number)
        return
    size = math.prod(shape)
    matrix = torch.eye(size, dtype=torch.float64) - 1 / size
    centring = Dense(matrix, torch.zeros(size, dtype=torch.float64))
    if len(shape) == 1:
        graph.change(number, centring)
    else:
        graph.expand(number, (Reshaped(), (size,)), (centring, (size,)), (Reshaped(), shape))


def _does_nothing(graph: Graph, number: int) -> bool:
    layer = graph.nodes[number].layer
    return isinstance(layer, Diagonal) and bool((layer.factor == 1).all() and (layer.offset == 0).all())


def _fold_upward(graph: Graph, number: int) -> bool:
    """Into the linear layer before it, past reshapes and averages; says whether one took it."""
    layer = graph.nodes[number].layer
    (above,) = graph.nodes[number].sources
    while graph.only_user(above) is not None and isinstance(layer, Diagonal):
        node = graph.nodes[above]
        match node.layer:
            case Dense(matrix, bias):
                graph.change(above, Dense(layer.factor[:, None] * matrix, layer.factor * bias + layer.offset))
                return True
            case Diagonal(factor, offset):
                graph.change(above, Diagonal(layer.factor * factor, layer.factor * offset + layer.offset))
                return True
            case Convolve() if _a_channel(layer):
                graph.change(above, _scaled_outputs(node.layer, layer.factor[:, 0, 0], layer.offset[:, 0, 0]))
                return True
            case Reshaped() | Average(padding=(0, 0)):
                (above,) = node.sources
                moved = _moved(layer, node.layer, graph.nodes[above].shape)
            case _:
                return False
        if moved is None:
            return False
        layer = moved
    return False


def _fold_downward(graph: Graph, number: int) -> bool:
    """Into the linear layer behind it, past reshapes and averages; says whether one took it."""
    layer, at = graph.nodes[number].layer, graph.only_user(number)
    while at is not None and isinstance(layer, Diagonal):
        node = graph.nodes[at]
        match node.layer:
            case Dense(matrix, bias):
                graph.change(at, Dense(matrix * layer.factor, bias + matrix @ layer.offset))
                return True
            case Convolve() if _takes(node.layer, layer):
                graph.change(at, _scaled_inputs(node.layer, layer.factor[:, 0, 0], layer.offset[:, 0, 0]))
                return True
            case Reshaped() | Average(padding=(0, 0)):
                moved = _moved(layer, node.layer, node.shape)
            case _:
                return False
        if moved is None:
            return False
        layer, at = moved, graph.only_user(at)
    return False


def _moved(layer: Diagonal, across: Reshaped | Average, shape: Shape) -> Diagonal | None:
    """The same factors and offsets on the other side of a layer; none if an average would mix them."""
    if isinstance(across, Reshaped):
        return Diagonal(layer.factor.reshape(shape), layer.offset.reshape(shape))
    if not _a_channel(layer) or across.divisor != math.prod(across.kernel):
        return None
    return Diagonal(layer.factor[:, :1, :1].expand(shape), layer.offset[:, :1, :1].expand(shape))


def _a_channel(layer: Diagonal) -> bool:
    """Whether all numbers of a channel share factor and offset."""
    return all(
        each.ndim == 3 and bool((each == each[:, :1, :1]).all()) for each in (layer.factor, layer.offset)
    )


def _takes(convolution: Convolve, layer: Diagonal) -> bool:
    """Zero padding has no offset, so an offset before it would be wrong at the border."""
    return _a_channel(layer) and (convolution.padding == (0, 0) or bool((layer.offset == 0).all()))


def _scaled_outputs(layer: Convolve, factor: Tensor, offset: Tensor) -> Convolve:
    kernel = layer.kernel * factor[:, None, None, None]
    return replace(layer, kernel=kernel, bias=layer.bias * factor + offset)


def _scaled_inputs(layer: Convolve, factor: Tensor, offset: Tensor) -> Convolve:
    each = layer.kernel.shape[0] // layer.groups
    factors, offsets = (
        values.reshape(layer.groups, -1).repeat_interleave(each, 0)[:, :, None, None]
        for values in (factor, offset)
    )
    bias = layer.bias + (layer.kernel * offsets).sum((1, 2, 3))
    return replace(layer, kernel=layer.kernel * factors, bias=bias)


def _swap(graph: Graph, number: int) -> bool:
    """A ReLU before a max pooling moves behind it, where there are fewer values; the two commute."""
    pooling = graph.nodes[number]
    (source,) = pooling.sources
    rectify = graph.nodes[source]
    if not isinstance(rectify.layer, Rectify) or graph.only_user(source) is None:
        return False
    graph.nodes[source] = replace(rectify, layer=pooling.layer, shape=pooling.shape, name=pooling.name)
    graph.nodes[number] = replace(pooling, layer=rectify.layer, name=rectify.name)
    return True


def _align_sums(graph: Graph) -> None:
    """Averages are sums of another scale: where only one side of a sum has it, a diagonal of ones takes it back."""
    divisors: dict[int, int] = {}
    for number, node in list(graph.nodes.items()):
        found = {divisors[source] for source in node.sources}
        if len(found) > 1:
            for source in set(node.sources):
                if divisors[source] != 1:
                    ones = torch.ones(node.shape, dtype=torch.float64)
                    graph.insert_between(source, number, Diagonal(ones, torch.zeros_like(ones)))
            found = {1}
        keeps = isinstance(node.layer, Rectify | Maximum | Reshaped | Sum | Average)
        divisors[number] = found.pop() if keeps else 1
        if isinstance(node.layer, Average):
            divisors[number] *= node.layer.divisor


def _write_out(graph: Graph, number: int) -> None:
    """A diagonal that no neighbour took is a convolution of single points, each channel by itself."""
    node = graph.nodes[number]
    layer = node.layer
    if not isinstance(layer, Diagonal):
        return
    if _a_channel(layer):
        factor, offset = layer.factor[:, 0, 0], layer.offset[:, 0, 0]
    else:
        factor, offset = layer.factor.reshape(-1), layer.offset.reshape(-1)
    size = len(factor)
    points = Convolve(factor.reshape(size, 1, 1, 1), offset, groups=size, **_POINT)
    if _a_channel(layer):
        graph.change(number, points)
    else:
        graph.expand(number, (Reshaped(), (size, 1, 1)), (points, (size, 1, 1)), (Reshaped(), node.shape))
