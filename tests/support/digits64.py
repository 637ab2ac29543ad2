"""The digits task in double precision: what is left of a difference is not float32 rounding."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from clients.tasks.digits import Digits


class Digits64(Digits):
    def network(self) -> nn.Module:
        return super().network().double()

    def prepare(self, inputs: NDArray[Any]) -> NDArray[Any]:
        return super().prepare(inputs).astype(np.float64)


TASK = Digits64()
