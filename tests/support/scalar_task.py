"""A model with a 0-d parameter that takes nearly all of every example's gradient."""

import torch
from torch import nn

from tests.support.linear_task import CLASSES, INPUTS, Linear


class Tempered(nn.Module):
    """Logits under a learned temperature, far too large."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.factor = nn.Linear(INPUTS, CLASSES), nn.Parameter(torch.tensor(1e-3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(inputs) * (1e6 * self.factor)


class Scalar(Linear):
    name = "scalar"

    def network(self) -> nn.Module:
        return Tempered()


TASK = Scalar()
