"""Private predictions in one process: the three servers driven against each other, and small networks."""

import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from predictions import reference
from predictions.asking import MaskedAnswer, mask_input, sub_seed, unmask
from predictions.model_shares import split, weight_shapes
from predictions.online import Lot, evaluate
from predictions.preparation import prepare
from predictions.program import (
    Add,
    Answer,
    Convolution,
    Lift,
    Linear,
    MaxPool,
    Operation,
    Program,
    Reduce,
    Relu,
    Reshape,
    SumPool,
    Wire,
)
from predictions.ring import Octets
from predictions.weights import Weights

Integers = npt.NDArray[np.int64]
Result = TypeVar("Result")
Party = Generator[bytes, Octets, Result]

ONE = 2**8


def drive(
    first: Party[Result], second: Party[Result]
) -> tuple[Result, Result, tuple[list[bytes], list[bytes]]]:
    """Hand each party the other's messages until both are done; results, and messages of each."""
    said: tuple[list[bytes], list[bytes]] = ([next(first)], [next(second)])
    while True:
        replies, done = [], []
        for party, other in ((first, said[1]), (second, said[0])):
            try:
                replies.append(party.send(other[-1]))
            except StopIteration as stop:
                done.append(stop.value)
        if done:
            return done[0], done[1], said
        for mine, reply in zip(said, replies, strict=True):
            mine.append(reply)


@dataclass(frozen=True)
class Told:
    """A query as everybody saw it."""

    found: Integers
    answers: tuple[MaskedAnswer, MaskedAnswer]
    corrections: memoryview
    masked: bytes
    messages: tuple[list[bytes], list[bytes]]


def predict(
    program: Program,
    weights: tuple[Weights, ...],
    inputs: Integers,
    answer: Answer = Answer.LOGITS,
    labels: Integers | None = None,
) -> Told:
    """One query, with a model shared and a lot prepared for it alone."""
    helper, *parts = split(program, weights, os.urandom)
    seeds = os.urandom(32), os.urandom(32)
    corrections = prepare(program, helper, len(inputs), answer, *seeds)
    masked = mask_input(program, inputs, sub_seed(seeds[0]), sub_seed(seeds[1]), labels)
    lots = (Lot(len(inputs), seeds[0], b""), Lot(len(inputs), seeds[1], corrections))
    first, second, said = drive(
        *(evaluate(program, part, lot, masked, answer) for part, lot in zip(parts, lots, strict=True))
    )
    found = unmask(program, len(inputs), answer, first, second)
    return Told(found, (first, second), corrections, masked, said)


def random_weights(program: Program, rng: np.random.Generator) -> tuple[Weights, ...]:
    """Weights that keep every wire of the networks below within its ring."""
    return tuple(
        Weights(
            rng.integers(-ONE, ONE, shape) // max(1, int(np.sqrt(shape[1]) / 2)),
            rng.integers(-(ONE**2), ONE**2, shape[:1]),
        )
        for shape in weight_shapes(program)
    )


def random_inputs(program: Program, rows: int, rng: np.random.Generator) -> Integers:
    """Inputs between -1 and 1."""
    return rng.integers(-ONE, ONE, (rows, *program.wires[0].shape), endpoint=True)


def plain(program: Program, weights: tuple[Weights, ...], inputs: Integers) -> Integers:
    """The same in the clear."""
    return reference.evaluate(program, weights, inputs)


def network(*steps: tuple[Operation, tuple[int, ...], int]) -> Program:
    """A program out of operations, each with the shape and bits of its target; the first target is the input's.

    The first step's operation is ignored: it stands for the input.
    """
    wires = tuple(Wire(shape, bits, ONE, 2.0 ** (bits - 3)) for _, shape, bits in steps)
    return Program(wires, tuple(operation for operation, _, _ in steps[1:]), -1.0, 1.0)


INPUT = Reshape(0, 0)


def dense(bits: int = 24) -> Program:
    """Two layers."""
    return network(
        (INPUT, (9,), 64),
        (Linear(0, 1, 0, 8), (7,), bits),
        (Relu(1, 2), (7,), 64),
        (Linear(2, 3, 1, 8), (5,), bits),
    )


def everything(bits: int = 28) -> Program:
    """Every operation but normalisation, with strides, paddings, dilations, groups and a branch."""
    return network(
        (INPUT, (2, 9, 8), 64),
        (Convolution(0, 1, 0, 8, (3, 2), (1, 1), (1, 1), (1, 2), 1), (4, 9, 8), bits),
        (MaxPool(1, 2, (3, 2), (2, 2), (1, 1), (1, 1)), (4, 5, 5), bits),
        (Relu(2, 3), (4, 5, 5), 64),
        (Convolution(3, 4, 1, 8, (3, 3), (1, 1), (1, 1), (1, 1), 2), (4, 5, 5), bits),
        (Add(2, 4, 5), (4, 5, 5), bits),
        (SumPool(5, 6, (2, 2), (1, 2), (1, 0)), (4, 6, 2), bits),
        (Lift(6, 7), (4, 6, 2), 64),
        (Reduce(7, 8), (4, 6, 2), bits),
        (Reshape(7, 9), (48,), 64),
        (Reshape(8, 10), (48,), bits),
        (Relu(10, 11), (48,), 64),
        (Add(9, 11, 12), (48,), 64),
        (Linear(12, 13, 2, 10), (5,), bits),
    )
