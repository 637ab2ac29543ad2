"""A model in three parts: each of the servers holds one, and no single one tells anything of the weights.

Decides: the matrix W goes as `m = W + l1 + l2 mod 2^64`, known to both online servers, with l1 and l2 out of one seed
each; the helper has both seeds and never m, an online server m and one seed. Biases are split additively between the
online servers. Refuses to know: what the layers do with them, and where the parts are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from predictions.primitives import Entropy
from predictions.program import Program
from predictions.weights import Weights

Words = npt.NDArray[np.uint64]


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
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, program: Program, data: bytes) -> "HelperModel":
        """The part that `to_bytes` wrote.

        Raises:
            FrameRejected: bytes that are no helper's part of a model of this program.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class OnlineModel:
    """What an online server has of a model.

    Args:
        party: 1 or 2.
        seed: 32 bytes.
        masked: by number of weights, W + l1 + l2 mod 2^64, shape (outputs, fan in).
        biases: by number of weights, this server's additive share mod 2^64, shape (outputs,).
    """

    party: int
    seed: bytes = field(repr=False)
    masked: tuple[Words, ...] = field(repr=False)
    biases: tuple[Words, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """A byte for the party, the seed, then matrix and bias of each weights, little-endian."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, program: Program, data: bytes) -> "OnlineModel":
        """The part that `to_bytes` wrote.

        Raises:
            FrameRejected: bytes that are no online server's part of a model of this program.
        """
        raise NotImplementedError


def split(
    program: Program, weights: Sequence[Weights], entropy: Entropy
) -> tuple[HelperModel, OnlineModel, OnlineModel]:
    """Cut a model into the parts of the helper and of both online servers.

    Args:
        weights: as numbered by the program's operations.
        entropy: `os.urandom`, except in tests.

    Raises:
        ParameterError: weights that are not of the program's shapes.
    """
    raise NotImplementedError
