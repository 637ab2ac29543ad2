"""A model in three parts: each of the servers holds one, and no single one tells anything of the weights.

Decides: the matrix W goes as `m = W + l1 + l2 mod 2^64`, known to both online servers, with l1 and l2 out of one seed
each; the helper has both seeds and never m, an online server m and one seed. Biases are split additively between the
online servers. Refuses to know: what the layers do with them, and where the parts are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from arithmetic.errors import ParameterError
from predictions.errors import FrameRejected
from predictions.primitives import KEY_BYTES, Entropy, derive_key
from predictions.program import Convolution, Linear, Program
from predictions.ring import WIDE, Octets, Words, packed_bytes, unpack, volume
from predictions.stream import SeedStream
from predictions.weights import Weights

_PARTIES = (1, 2)
_MODEL = "model"
_TWO = np.uint64(2)


@dataclass(frozen=True)
class HelperModel:
    """What the helper has of a model: two seeds, 64 bytes.

    Args:
        seeds: 32 bytes each, those of the first and the second online server.
        differences: by number of weights, l1 - l2 mod 2^64, shape (outputs, fan in).
    """

    seeds: tuple[bytes, bytes] = field(repr=False)
    differences: tuple[Words, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """The seeds; the masks come out of them."""
        return b"".join(self.seeds)

    @classmethod
    def from_seeds(cls, program: Program, first: bytes, second: bytes) -> "HelperModel":
        """The part that these seeds make."""
        masks = zip(_masks(program, first), _masks(program, second), strict=True)
        return cls((first, second), tuple(one - two for one, two in masks))

    @classmethod
    def from_bytes(cls, program: Program, data: Octets) -> "HelperModel":
        """The part that `to_bytes` wrote.

        Raises:
            FrameRejected: bytes that are no helper's part of a model of this program.
        """
        _check_length(data, 2 * KEY_BYTES)
        return cls.from_seeds(program, bytes(data[:KEY_BYTES]), bytes(data[KEY_BYTES:]))


@dataclass(frozen=True)
class OnlineModel:
    """What an online server has of a model.

    Args:
        party: 1 or 2.
        seed: 32 bytes.
        masked: by number of weights, W + l1 + l2 mod 2^64, shape (outputs, fan in).
        biases: by number of weights, this server's additive share mod 2^64, shape (outputs,).
        masks: by number of weights, this server's share of the masks, out of its seed.
    """

    party: int
    seed: bytes = field(repr=False)
    masked: tuple[Words, ...] = field(repr=False)
    biases: tuple[Words, ...] = field(repr=False)
    masks: tuple[Words, ...] = field(repr=False)

    @cached_property
    def factors(self) -> tuple[tuple[Words, Words], ...]:
        """By number of weights: `W + l1 + l2 - 2 l`, l its own masks, and its share of twice the bias."""
        parts = zip(self.masked, self.masks, self.biases, strict=True)
        return tuple((masked - _TWO * mask, _TWO * bias) for masked, mask, bias in parts)

    def to_bytes(self) -> bytes:
        """A byte for the party, the seed, then matrix and bias of each weights, little-endian."""
        parts = zip(self.masked, self.biases, strict=True)
        arrays = b"".join(masked.tobytes() + bias.tobytes() for masked, bias in parts)
        return bytes([self.party]) + self.seed + arrays

    @classmethod
    def from_bytes(cls, program: Program, data: Octets) -> "OnlineModel":
        """The part that `to_bytes` wrote.

        Raises:
            FrameRejected: bytes that are no online server's part of a model of this program.
        """
        shapes = weight_shapes(program)
        sizes = [packed_bytes(length, WIDE) for shape in shapes for length in (volume(shape), shape[0])]
        _check_length(data, 1 + KEY_BYTES + sum(sizes))
        if data[0] not in _PARTIES:
            raise FrameRejected(
                f"a part of a model is that of server 1 or 2, not {data[0]}; share the model again"
            )
        arrays, start = [], 1 + KEY_BYTES
        for size in sizes:
            arrays.append(unpack(data[start : start + size], WIDE))
            start += size
        seed = bytes(data[1 : 1 + KEY_BYTES])
        masked = tuple(array.reshape(shape) for array, shape in zip(arrays[::2], shapes, strict=True))
        return cls(data[0], seed, masked, tuple(arrays[1::2]), _masks(program, seed))


def split(
    program: Program, weights: Sequence[Weights], entropy: Entropy
) -> tuple[HelperModel, OnlineModel, OnlineModel]:
    """Cut a model into the parts of the helper and of both online servers.

    Args:
        program: which shapes the layers have.
        weights: as numbered by the program's operations.
        entropy: `os.urandom`, except in tests.

    Raises:
        ParameterError: weights that are not of the program's shapes.
    """
    shapes = weight_shapes(program)
    given = [(part.matrix.shape, part.bias.shape) for part in weights]
    if given != [(shape, shape[:1]) for shape in shapes]:
        raise ParameterError(
            f"the program needs matrices {shapes} and a bias for each output, and got {given}"
        )
    helper = HelperModel.from_seeds(program, entropy(KEY_BYTES), entropy(KEY_BYTES))
    first, second = (_masks(program, seed) for seed in helper.seeds)
    masked = tuple(
        part.matrix.astype(np.int64).view(np.uint64) + one + two
        for part, one, two in zip(weights, first, second, strict=True)
    )
    shares = SeedStream(entropy(KEY_BYTES))
    biases = tuple(shares.words(shape[:1], WIDE) for shape in shapes)
    others = tuple(
        part.bias.astype(np.int64).view(np.uint64) - share
        for part, share in zip(weights, biases, strict=True)
    )
    return (
        helper,
        OnlineModel(1, helper.seeds[0], masked, biases, first),
        OnlineModel(2, helper.seeds[1], masked, others, second),
    )


def weight_shapes(program: Program) -> list[tuple[int, int]]:
    """Shape of each matrix, by its number.

    Raises:
        ParameterError: numbers that are not 0, 1, 2... in the order of their use, once each.
    """
    shapes: list[tuple[int, int]] = []
    for operation in program.operations:
        if not isinstance(operation, Linear | Convolution):
            continue
        if operation.weights != len(shapes):
            raise ParameterError(
                "weights are numbered in the order of their use, once each; convert the model again"
            )
        source, target = program.wires[operation.source].shape, program.wires[operation.target].shape
        if isinstance(operation, Linear):
            shapes.append((volume(target), volume(source)))
        else:
            fan_in = source[0] // operation.groups * volume(operation.kernel)
            shapes.append((target[0], fan_in))
    return shapes


def _masks(program: Program, seed: bytes) -> tuple[Words, ...]:
    """One server's share of the masks of all matrices."""
    stream = SeedStream(derive_key(seed, _MODEL))
    return tuple(stream.words(shape, WIDE) for shape in weight_shapes(program))


def _check_length(data: Octets, length: int) -> None:
    if len(data) != length:
        raise FrameRejected(
            f"this part of a model has {len(data)} bytes, and {length} belong to the program; share the model again"
        )
