"""From folded layers to operations: which value is in a small ring, which in 2^64, and where it passes between them.

Decides: that a linear layer reads 2^64 and gives a small ring, that comparisons read a small ring, that a sum stays
in the small ring if one side is there. Refuses to know: numbers; the wires of a draft have no ring, scale and bound.
"""

from dataclasses import dataclass, field

from torch import Tensor

from predictions import program as steps
from predictions.conversion.graph import (
    Average,
    Convolve,
    Dense,
    Graph,
    Input,
    Maximum,
    Node,
    Normalise,
    Pair,
    Rectify,
    Reshaped,
    Shape,
    Sum,
)


@dataclass(frozen=True)
class Place:
    """A wire whose numbers are not known yet."""

    shape: Shape
    small: bool


@dataclass(frozen=True, eq=False)
class Matrix:
    """A linear layer of floats in the layout of `Weights`, both float64."""

    matrix: Tensor
    bias: Tensor


@dataclass
class Draft:
    """A program without numbers: every shift is zero.

    Args:
        places: the wires to be.
        operations: in order.
        names: of each operation, its layer's name.
        matrices: the floats behind `weights` of linear operations.
        divisors: by which factor an operation multiplies the scale; only sums of windows do.
    """

    places: list[Place] = field(default_factory=list)
    operations: list[steps.Operation] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    divisors: dict[int, int] = field(default_factory=dict)

    def place(self, shape: Shape, *, small: bool) -> int:
        """A new wire."""
        self.places.append(Place(shape, small))
        return len(self.places) - 1

    def append(self, operation: steps.Operation, name: str) -> int:
        """A new operation; gives its target."""
        self.operations.append(operation)
        self.names.append(name)
        return operation.target


def draft(graph: Graph) -> Draft:
    """The operations of a folded graph.

    Args:
        graph: of `fold`; its answer becomes the target of the last operation, in a small ring.
    """
    writer = _Writer(graph)
    for number, node in graph.nodes.items():
        writer.write(number, node)
    writer.small(graph.output)
    return writer.draft


class _Writer:
    """Knows, of each node, its wire in a small ring and its wire in 2^64, as far as they exist."""

    def __init__(self, graph: Graph) -> None:
        self.draft = Draft()
        self._graph = graph
        self._small: dict[int, int] = {}
        self._wide: dict[int, int] = {}

    def small(self, number: int) -> int:
        """The wire of a value in a small ring."""
        if number not in self._small:
            node = self._graph.nodes[number]
            target = self.draft.place(node.shape, small=True)
            self._small[number] = self.draft.append(steps.Reduce(self._wide[number], target), node.name)
        return self._small[number]

    def wide(self, number: int) -> int:
        """The wire of a value in 2^64."""
        if number not in self._wide:
            node = self._graph.nodes[number]
            target = self.draft.place(node.shape, small=False)
            self._wide[number] = self.draft.append(steps.Lift(self._small[number], target), node.name)
        return self._wide[number]

    def write(self, number: int, node: Node) -> None:
        match node.layer:
            case Input():
                self._wide[number] = self.draft.place(node.shape, small=False)
            case Dense() | Convolve():
                self._small[number] = self._linear(node, self.wide(node.sources[0]))
            case Rectify():
                source, target = self.small(node.sources[0]), self.draft.place(node.shape, small=False)
                self._wide[number] = self.draft.append(steps.Relu(source, target), node.name)
            case Normalise(epsilon):
                source, target = self.small(node.sources[0]), self.draft.place(node.shape, small=False)
                self._wide[number] = self.draft.append(steps.LayerNorm(source, target, epsilon), node.name)
            case Maximum(kernel, stride, padding, dilation):
                source, target = self.small(node.sources[0]), self.draft.place(node.shape, small=True)
                pool = steps.MaxPool(source, target, kernel, stride, padding, dilation)
                self._small[number] = self.draft.append(pool, node.name)
            case Average() | Reshaped() | Sum():
                self._local(number, node)

    def _linear(self, node: Node, source: int) -> int:
        target, weights = self.draft.place(node.shape, small=True), len(self.draft.matrices)
        layer = node.layer
        if isinstance(layer, Convolve):
            self.draft.matrices.append(Matrix(layer.kernel.flatten(1), layer.bias))
            window: Pair = (layer.kernel.shape[2], layer.kernel.shape[3])
            operation: steps.Operation = steps.Convolution(
                source, target, weights, 0, window, layer.stride, layer.padding, layer.dilation, layer.groups
            )
        elif isinstance(layer, Dense):
            self.draft.matrices.append(Matrix(layer.matrix, layer.bias))
            operation = steps.Linear(source, target, weights, 0)
        return self.draft.append(operation, node.name)

    def _local(self, number: int, node: Node) -> None:
        """Where its sources are: in a small ring if one of them is only there."""
        small = any(source not in self._wide for source in node.sources)
        sources = [self.small(source) if small else self._wide[source] for source in node.sources]
        target = self.draft.place(node.shape, small=small)
        match node.layer:
            case Average(kernel, stride, padding, divisor):
                operation: steps.Operation = steps.SumPool(sources[0], target, kernel, stride, padding)
                self.draft.divisors[len(self.draft.operations)] = divisor
            case Sum():
                operation = steps.Add(sources[0], sources[1], target)
            case _:
                operation = steps.Reshape(sources[0], target)
        (self._small if small else self._wide)[number] = self.draft.append(operation, node.name)
