"""The network between torch and the program: a graph of the few layers that fixed point is made of, still in floats.

Decides: those layers, and that a graph is a dictionary of nodes in an order in which every source is ready, rewritten
node by node. Refuses to know: where a layer came from but for its name, and rings, scales and wires.

Shapes are of one example, without the batch.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Input:
    """The values of the asker."""


@dataclass(frozen=True, eq=False)
class Dense:
    """`matrix @ x + bias`; matrix (outputs, inputs)."""

    matrix: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class Convolve:
    """A convolution with zero padding; kernel (out channels, in channels / groups, height, width)."""

    kernel: Tensor
    bias: Tensor
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


@dataclass(frozen=True, eq=False)
class Diagonal:
    """`factor * x + offset`, number by number; both of the shape of x."""

    factor: Tensor
    offset: Tensor


@dataclass(frozen=True)
class Rectify:
    """`max(x, 0)`."""


@dataclass(frozen=True)
class Maximum:
    """The largest of each window."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


@dataclass(frozen=True)
class Average:
    """The sum of each window over one divisor."""

    kernel: Pair
    stride: Pair
    padding: Pair
    divisor: int


@dataclass(frozen=True)
class Sum:
    """Left plus right."""


@dataclass(frozen=True)
class Reshaped:
    """The same numbers, row-major, in another shape."""


@dataclass(frozen=True)
class Centre:
    """x minus its mean over the whole example."""


@dataclass(frozen=True)
class Normalise:
    """`x / sqrt(mean(x^2) + epsilon)` over the whole example; x is centred."""

    epsilon: float


Layer = (
    Input | Dense | Convolve | Diagonal | Rectify | Maximum | Average | Sum | Reshaped | Centre | Normalise
)


@dataclass(frozen=True)
class Node:
    """A layer in its place.

    Args:
        layer: what it does.
        sources: the nodes it reads.
        shape: of what it gives.
        name: what its owner calls it, for messages.
    """

    layer: Layer
    sources: tuple[int, ...]
    shape: Shape
    name: str


class Graph:
    """Nodes by number; `output` is the one whose value is the answer."""

    def __init__(self, input_shape: Shape) -> None:
        self.nodes: dict[int, Node] = {0: Node(Input(), (), input_shape, "input")}
        self.output = 0
        self._next = 0

    def add(self, layer: Layer, sources: tuple[int, ...], shape: Shape, name: str) -> int:
        """Append a node; gives its number."""
        number = self._fresh()
        self.nodes[number] = Node(layer, sources, shape, name)
        return number

    def users(self, number: int) -> list[int]:
        """Who reads a node; the answer is one more reader, of number -1."""
        found = [user for user, node in self.nodes.items() for source in node.sources if source == number]
        return found + [-1] * (number == self.output)

    def only_user(self, number: int) -> int | None:
        """The one who reads a node, if it is one and not the answer."""
        users = self.users(number)
        return users[0] if len(users) == 1 and users[0] >= 0 else None

    def change(self, number: int, layer: Layer) -> None:
        """Another layer in the same place."""
        self.nodes[number] = replace(self.nodes[number], layer=layer)

    def insert_between(self, source: int, user: int, layer: Layer) -> None:
        """A new node of the same shape that only this user reads."""
        node, fresh = self.nodes[user], self._fresh()
        self._insert_before(user, {fresh: replace(self.nodes[source], layer=layer, sources=(source,))})
        sources = tuple(fresh if each == source else each for each in node.sources)
        self.nodes[user] = replace(node, sources=sources)

    def expand(self, number: int, *steps: tuple[Layer, Shape]) -> None:
        """Several layers, each with the shape it gives, in the place of one; the last keeps its number."""
        node = self.nodes[number]
        sources, before = node.sources, {}
        for layer, shape in steps[:-1]:
            fresh = self._fresh()
            before[fresh] = Node(layer, sources, shape, node.name)
            sources = (fresh,)
        self._insert_before(number, before)
        layer, shape = steps[-1]
        self.nodes[number] = Node(layer, sources, shape, node.name)

    def prune(self) -> None:
        """Take out what the answer does not depend on, but for the input."""
        needed, open_ends = {0}, [self.output]
        while open_ends:
            number = open_ends.pop()
            needed.add(number)
            open_ends += [source for source in self.nodes[number].sources if source not in needed]
        self.nodes = {number: node for number, node in self.nodes.items() if number in needed}

    def remove(self, number: int) -> None:
        """Take out a node of one source; its readers read that source."""
        (source,) = self.nodes[number].sources
        del self.nodes[number]
        for each, node in self.nodes.items():
            if number in node.sources:
                sources = tuple(source if at == number else at for at in node.sources)
                self.nodes[each] = replace(node, sources=sources)
        if self.output == number:
            self.output = source

    def _fresh(self) -> int:
        self._next += 1
        return self._next

    def _insert_before(self, number: int, fresh: dict[int, Node]) -> None:
        ordered: dict[int, Node] = {}
        for each, node in self.nodes.items():
            if each == number:
                ordered |= fresh
            ordered[each] = node
        self.nodes = ordered


def diagonal(factor: Tensor, offset: Tensor, shape: Shape) -> Diagonal:
    """Factor and offset as they broadcast to a shape."""
    return Diagonal(torch.broadcast_to(factor, shape), torch.broadcast_to(offset, shape))
