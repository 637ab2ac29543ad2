"""What the three servers compute: a list of operations on wires, public to all of them.

A wire carries, for each example of a batch, a tensor of integers: `round(value * scale)` modulo 2^bits. Linear
operations and products live in 2^64 and truncate their results into a small ring 2^bits, where signs are cheap;
`Relu`, `Lift` and `LayerNorm` bring a wire back to 2^64. This module decides the operations, their integer meaning
and the limits a program must keep; it refuses to know weights, masks, parties and torch.

The shape of the network is public; weights, inputs and answers are not. `bound` of a wire is proven by the
conversion for every input within the declared range: no program of proven bounds can wrap.
"""

from dataclasses import dataclass
from enum import StrEnum

WIDE = 64


class Answer(StrEnum):
    """What the asker, and nobody else, learns."""

    LOGITS = "logits"
    LABEL = "label"
    COUNT = (
        "count"  # how many examples of a secret test set were labelled right; labels are secret-shared too
    )


@dataclass(frozen=True)
class Wire:
    """A value of the program.

    Args:
        shape: of one example, e.g. (16, 12, 12) or (100,).
        bits: the ring is 2^bits; 64, or 8 to 40 in steps of 4.
        scale: integers are `round(value * scale)`; not always a power of two (average pooling only sums).
        bound: no |value| is larger, whatever the input within its range.
    """

    shape: tuple[int, ...]
    bits: int
    scale: float
    bound: float


@dataclass(frozen=True)
class Linear:
    """`target = floor((matrix @ source + bias) / 2^shift)`, at most two units off; source in 2^64.

    `weights` names the entry of `Weights`: matrix (outputs, inputs) and bias (outputs,).
    """

    source: int
    target: int
    weights: int
    shift: int


@dataclass(frozen=True)
class Convolution:
    """As `Linear`, over windows: matrix (out channels, in channels / groups * kernel height * kernel width)."""

    source: int
    target: int
    weights: int
    shift: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


@dataclass(frozen=True)
class Relu:
    """`target = max(source, 0)`, exact; from a small ring to 2^64."""

    source: int
    target: int


@dataclass(frozen=True)
class Lift:
    """The same value in 2^64; source in a small ring, with one bit of headroom: |integer| < 2^(bits - 2)."""

    source: int
    target: int


@dataclass(frozen=True)
class Reduce:
    """The same value in the small ring of the target; local."""

    source: int
    target: int


@dataclass(frozen=True)
class MaxPool:
    """The largest of each window, exact; within one small ring, with one bit of headroom for differences.

    Padding never wins: a padded place stands for the smallest value, so windows just leave it out.
    """

    source: int
    target: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


@dataclass(frozen=True)
class SumPool:
    """The sum of each window (zero padding); local. Averages are sums whose scale is that of the wire."""

    source: int
    target: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class Add:
    """`target = left + right`; same ring, same scale; local."""

    left: int
    right: int
    target: int


@dataclass(frozen=True)
class Reshape:
    """The same numbers under the target's shape (row-major within one example); local."""

    source: int
    target: int


@dataclass(frozen=True)
class LayerNorm:
    """`target = source / sqrt(mean(source^2) + epsilon)` over the whole example; source is centred already.

    The centring and the affine part are linear: the conversion folds them into the neighbours.
    Source in a small ring, target in 2^64.
    """

    source: int
    target: int
    epsilon: float


Operation = Linear | Convolution | Relu | Lift | Reduce | MaxPool | SumPool | Add | Reshape | LayerNorm


@dataclass(frozen=True)
class Program:
    """A network as its servers see it.

    Args:
        wires: by number; wire 0 is the input, in 2^64; the last operation's target is the logits' wire, of shape
            (classes,), in a small ring.
        operations: in an order in which every source is ready.
        low: smallest value of an input, after the owner's preprocessing; `high`: the largest.
    """

    wires: tuple[Wire, ...]
    operations: tuple[Operation, ...]
    low: float
    high: float
