"""Softmax regression on another task's images: one linear layer on their pixels.

Decides the layer, and that it starts from zero: the loss is convex, so nothing is gained by chance.
Refuses to know the images.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from clients.tasks import DataSource
from clients.tasks.classification import ClassificationTask, Examples


class SoftmaxTask(ClassificationTask):
    """Ten classes; (pixels + 1) * 10 parameters.

    Args:
        images: the task whose images, labels and test set these are.
        pixels: of one image.
    """

    def __init__(self, images: ClassificationTask, pixels: int) -> None:
        self.name = f"{images.name}_softmax"
        self._images, self._pixels = images, pixels

    def network(self) -> nn.Module:
        """Input (batch, 1, side, side) in [0, 1] -> logits (batch, 10)."""
        layer = nn.Linear(self._pixels, 10)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return nn.Sequential(nn.Flatten(), layer)

    def load(self, source: DataSource) -> Examples:
        """The training pool of the images' own task."""
        return self._images.load(source)

    def load_test(self, source: DataSource) -> Examples | None:
        """Its public test set."""
        return self._images.load_test(source)

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """As the images' own task has them."""
        return self._images.prepare(inputs)
