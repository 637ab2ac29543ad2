"""From a module of torch to a graph: torch.fx follows the forward, one example batch tells the shapes.

Decides: that every step of the forward is a module or a call of the table, or is refused by its name. Refuses to know:
what becomes of the layers.
"""

import copy
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from predictions.conversion import calls
from predictions.conversion.graph import Diagonal, Graph, Layer, Reshaped, Shape, Sum, diagonal
from predictions.conversion.layers import build
from predictions.conversion.refusals import Refused, unsupported
from predictions.errors import UnsupportedModel

ROWS: Final = 3  # of the batch that tells shapes: a number that no forward has written into it


def evaluation_copy(module: nn.Module) -> nn.Module:
    """A copy in eval mode and float64; the owner's module stays as it is.

    Raises:
        UnsupportedModel: it has weights that are not finite, or cannot be copied.
    """
    try:
        twin = copy.deepcopy(module).cpu().double().eval()
    except Exception as error:
        raise UnsupportedModel(
            f"the model cannot be copied ({_said(error)}); give a plain nn.Module"
        ) from error
    for name, values in twin.state_dict().items():
        if nn.parameter.is_lazy(values):
            raise UnsupportedModel(f"{name!r} has no shape yet; run the model once, then train it")
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            raise UnsupportedModel(f"{name!r} holds numbers that are not finite; train the model anew")
    return twin


def trace(module: nn.Module, input_shape: Shape) -> Graph:
    """The graph of a module's forward.

    Args:
        module: of `evaluation_copy`.
        input_shape: of one example.

    Raises:
        UnsupportedModel: control flow that depends on values, a layer outside the table, other inputs or outputs.
    """
    tracer = fx.Tracer()
    if tracer.is_leaf_module(module, ""):  # a layer by itself: fx would look into it
        module = nn.Sequential(module)
    try:
        traced = fx.GraphModule(module, tracer.trace(module))
    except Exception as error:
        raise UnsupportedModel(
            f"the forward of {type(module).__name__} cannot be traced ({_said(error)}); write it without control flow "
            "that depends on values, or as nn.Sequential"
        ) from error
    values = _values(traced, input_shape)
    return _Reader(traced, values, input_shape).read()


class _Recorder(fx.Interpreter):
    """Runs the forward once and keeps what every step gave."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.shapes: dict[fx.Node, object] = {}

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - as of fx
        value = super().run_node(n)
        self.shapes[n] = value
        return value


def _values(traced: fx.GraphModule, input_shape: Shape) -> dict[fx.Node, object]:
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise UnsupportedModel(f"the model takes {len(inputs)} inputs; let its forward take one tensor")
    recorder = _Recorder(traced)
    try:
        with torch.no_grad():
            recorder.run(torch.zeros(ROWS, *input_shape, dtype=torch.float64))
    except Exception as error:
        raise UnsupportedModel(
            f"the model does not take examples of shape {input_shape} ({_said(error)}); name the shape of one example"
        ) from error
    return recorder.shapes


class _Reader:
    """Walks the steps in order and appends what each becomes."""

    def __init__(self, traced: fx.GraphModule, values: dict[fx.Node, object], input_shape: Shape) -> None:
        self._traced = traced
        self._values = values
        self._graph = Graph(input_shape)
        self._numbers: dict[fx.Node, int] = {}

    def read(self) -> Graph:
        for node in self._traced.graph.nodes:
            if node.op == "output":
                self._finish(node)
            elif node.op == "placeholder":
                self._numbers[node] = 0
            elif any(source in self._numbers for source in node.all_input_nodes):
                self._step(node)
        return self._graph

    def _step(self, node: fx.Node) -> None:
        name, kind = str(node.target) if node.op == "call_module" else node.name, self._kind(node)
        if not isinstance(self._values[node], Tensor):
            if node.target not in calls.READS_SHAPE:
                raise unsupported(
                    name, kind, "takes a number out of a value; let the forward only compute tensors"
                )
            return
        try:
            self._numbers[node] = self._convert(node, name, kind)
        except Refused as error:
            raise unsupported(name, kind, str(error)) from None

    def _convert(self, node: fx.Node, name: str, kind: str) -> int:
        self._check_in_place(node)
        if node.target in calls.ARITHMETIC and len(node.args) == 2 and not node.kwargs:
            return self._arithmetic(node, name)
        source = node.args[0] if node.args else None
        if (
            not isinstance(source, fx.Node)
            or source not in self._numbers
            or node.all_input_nodes.count(source) != 1
        ):
            raise unsupported(name, kind)
        shape = self._shape(node)
        if node.op != "call_module" and node.target in calls.RESHAPES:
            return self._append((Reshaped(),), (source,), shape, name)
        layers = self._layers(node, source, shape)
        if layers is None:
            raise unsupported(name, kind)
        return self._append(layers, (source,), shape, name)

    def _layers(self, node: fx.Node, source: fx.Node, shape: Shape) -> tuple[Layer, ...] | None:
        """What a module, or a call that is like one, becomes."""
        if node.op == "call_module":
            module: nn.Module | None = self._traced.get_submodule(str(node.target))
            rest, named = node.args[1:], node.kwargs
            if rest or named:
                return None
        else:
            settings: Any = fx.node.map_arg((node.args[1:], node.kwargs), self._value)
            module = calls.as_module(node.target, *settings)
        return None if module is None else build(module, self._shape(source), shape)

    def _arithmetic(self, node: fx.Node, name: str) -> int:
        left, right = node.args
        both = [side for side in (left, right) if isinstance(side, fx.Node) and side in self._numbers]
        shape = self._shape(node)
        if len(both) == 2:
            if node.target not in calls.ADD:
                raise Refused("joins two layers; only their sum can be computed")
            if self._shape(both[0]) != self._shape(both[1]):
                raise Refused("adds two layers of different shapes; bring them to one shape first")
            return self._append((Sum(),), (both[0], both[1]), shape, name)
        if shape != self._shape(both[0]):
            raise Refused("stretches its value to another shape; let the constant be the smaller one")
        layer = self._with_constant(node, right if both[0] is left else left, both[0] is left, shape)
        return self._append((layer,), (both[0],), shape, name)

    def _with_constant(self, node: fx.Node, other: object, value_first: bool, shape: Shape) -> Diagonal:
        raw = self._values[other] if isinstance(other, fx.Node) else other
        constant = torch.as_tensor(raw, dtype=torch.float64).detach()
        if constant.ndim > len(shape):
            constant = constant.squeeze(0)  # of a batch of one; another batch does not broadcast below
        if constant.ndim > len(shape) or not bool(torch.isfinite(constant).all()):
            raise Refused(
                "has a constant that is not finite, or one for each row of the batch; use one for all rows"
            )
        one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        if node.target in calls.ADD:
            return diagonal(one, constant, shape)
        if node.target in calls.SUBTRACT:
            return diagonal(one, -constant, shape) if value_first else diagonal(-one, constant, shape)
        if node.target in calls.MULTIPLY:
            return diagonal(constant, zero, shape)
        if not value_first or bool((constant == 0).any()):
            raise Refused("divides by a value, or by zero; divide by a constant")
        return diagonal(1 / constant, zero, shape)

    def _value(self, node: fx.Node) -> Any:  # noqa: ANN401 - what the forward made of shapes
        return self._values[node]

    def _append(
        self, layers: tuple[Layer, ...], sources: tuple[fx.Node, ...], shape: Shape, name: str
    ) -> int:
        numbers = tuple(self._numbers[source] for source in sources)
        for layer in layers:
            numbers = (self._graph.add(layer, numbers, shape, name),)
        return numbers[0]

    def _shape(self, node: fx.Node) -> Shape:
        value = self._values[node]
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        if len(shape) < 2 or shape[0] != ROWS or 0 in shape:
            raise Refused("mixes the examples of a batch; keep the batch as the first axis")
        return shape[1:]

    def _check_in_place(self, node: fx.Node) -> None:
        """A value that is overwritten must have no other reader, not even under another shape."""
        module = self._traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        settled = getattr(module, "inplace", False) or node.kwargs.get("inplace", False)
        if not settled and node.target not in calls.WRITES_IN_PLACE:
            return
        source = node.args[0] if node.args else None
        while isinstance(source, fx.Node) and source in self._numbers:
            if sum(isinstance(self._values.get(user), Tensor) for user in source.users) > 1:
                raise Refused("overwrites a value that is read elsewhere; set inplace=False")
            if source.op not in ("call_function", "call_method") or source.target not in calls.RESHAPES:
                return
            source = source.args[0]

    def _kind(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return type(self._traced.get_submodule(str(node.target))).__name__
        target: str | Callable[..., Any] = node.target
        return target if isinstance(target, str) else str(getattr(target, "__name__", node.name))

    def _finish(self, node: fx.Node) -> None:
        (answer,) = node.args
        if not isinstance(answer, fx.Node) or answer not in self._numbers:
            raise UnsupportedModel(
                "the model gives something else than one tensor of its input; return the logits"
            )
        self._graph.output = self._numbers[answer]
        shape = self._graph.nodes[self._graph.output].shape
        if len(shape) != 1:
            raise UnsupportedModel(f"the model gives answers of shape {shape}; let it give one row of logits")


def _said(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first:.200}"
