"""Continuous Gaussian noise for `local` mode, from a cipher stream.

Decides how noise is drawn: AES-CTR under a key from the operating system, then the transform of Box and Muller
(1958), the radius in double precision. torch's own generators are not used: on a CPU they keep only 32 bits of any
seed, few enough to try. Refuses to know what is protected, by how much, and any seed: no option takes one.

The values are floating point and NOT hardened against precision attacks (Mironov 2012, "On significance of the
least significant bits for differential privacy"); the integer modes are. No draw is beyond 8.6 standard deviations.
"""

import math
import os
from typing import Final

import numpy as np
import torch

from secagg.primitives import KeyStream

_PAIRS: Final = 1 << 16  # at a time, so that the doubles stay in cache


class GaussianNoise:
    """A stream of independent normal values; a forked process takes a new key before it draws."""

    def __init__(self) -> None:
        self._rekey()

    def __repr__(self) -> str:
        return "GaussianNoise(<secret>)"

    def draw(self, count: int, scale: float) -> torch.Tensor:
        """Give `count` values of mean 0 and standard deviation `scale`, float32, shape (count,), on the CPU."""
        if os.getpid() != self._process:
            self._rekey()
        values = torch.empty(count + count % 2)
        for part in torch.split(values, 2 * _PAIRS):
            left, right = part.chunk(2)
            radius, angle = self._radius(len(left)).mul_(scale).float(), self._angle(len(left))
            torch.mul(radius, angle.cos(), out=left)
            torch.mul(radius, angle.sin_(), out=right)
        return values[:count]

    def _rekey(self) -> None:
        self._process, self._stream = os.getpid(), KeyStream(os.urandom(32))

    def _radius(self, count: int) -> torch.Tensor:
        """sqrt(-2 ln u), u a multiple of 2^-53 in (0, 1]."""
        words = np.frombuffer(self._stream.read(8 * count), dtype="<u8") >> np.uint64(11)
        uniform = torch.from_numpy((words + np.uint64(1)).astype(np.float64)).mul_(2.0**-53)
        return uniform.log_().mul_(-2.0).sqrt_()

    def _angle(self, count: int) -> torch.Tensor:
        """Uniform in [-pi, pi)."""
        words = np.frombuffer(self._stream.read(4 * count), dtype="<i4")
        return torch.from_numpy(words.astype(np.float32)).mul_(math.pi / 2**31)
