"""Fixed public features for private training: root-HOG (Dalal and Triggs 2005; Arandjelovic and Zisserman 2012).

Decides the features and the linear network on them; every constant is public and none comes from data, so they cost no
privacy. A linear network on good fixed features is what little noise leaves most of (Tramer and Boneh, "Differentially
Private Learning Needs Better Features (or Much More Data)", 2021).
Refuses to know labels, clips and noise.
"""

import math
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clients.tasks import DataSource
from clients.tasks.classification import ClassificationTask, Examples

ORIENTATIONS: Final = 8  # signed: light-to-dark and dark-to-light strokes differ
_CHUNK: Final = 4096


def hog_features(images: torch.Tensor, cells: int) -> torch.Tensor:
    """Orientation histograms of image gradients over a grid of cells, square root, mean 0 and variance 1.

    Args:
        images: (examples, side, side), float32 in [0, 1].
        cells: histograms a side; a pixel is shared linearly between the two nearest a direction.

    Returns:
        (examples, 8 * cells * cells) float32; every row has norm sqrt(columns), a black image gives zeros. Beyond the
            border it is black, so an even grey image has edges there.
    """
    return torch.cat([_features(part, cells) for part in torch.split(images, _CHUNK)])


def _features(images: torch.Tensor, cells: int) -> torch.Tensor:
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    strength = torch.hypot(across, down)
    angle = torch.atan2(down, across) * (ORIENTATIONS / (2 * math.pi))  # -4..4 bins
    weights = _pooling(images.shape[-1], cells)
    maps = [weights @ (strength * _near(angle, each)) @ weights.T for each in range(ORIENTATIONS)]
    flat = torch.stack(maps, dim=1).flatten(1).sqrt()
    return nn.functional.layer_norm(flat, flat.shape[1:], eps=1e-8)


def _near(angle: torch.Tensor, orientation: int) -> torch.Tensor:
    """1 at the orientation's own direction, falling to 0 at the next one on either side."""
    half = ORIENTATIONS / 2
    return (1 - (torch.remainder(angle - orientation + half, ORIENTATIONS) - half).abs()).clamp_(min=0)


def _pooling(side: int, cells: int) -> torch.Tensor:
    """Weights (cells, side): a triangle two cells wide over each cell's centre."""
    width = side / cells
    centres = (torch.arange(cells) + 0.5) * width
    return (1 - (torch.arange(side) + 0.5 - centres[:, None]).abs() / width).clamp(min=0)


def linear_head(cells: int) -> nn.Linear:
    """Softmax regression on the features of ten classes, from zero; no bias, the features carry no offset."""
    head = nn.Linear(ORIENTATIONS * cells * cells, 10, bias=False)
    nn.init.zeros_(head.weight)
    return head


class HogTask(ClassificationTask):
    """A linear network on the features of another task's grey images.

    Args:
        images: the task whose images, labels and test set these are; `prepare` gives (examples, 1, side, side).
        cells: of the features.
    """

    def __init__(self, images: ClassificationTask, cells: int) -> None:
        self.name = f"{images.name}_hog"
        self._images, self._cells = images, cells
        self._kept: dict[str, tuple[Examples, Examples]] = {}

    def network(self) -> nn.Module:
        """Input (batch, 8 * cells^2), rows of norm sqrt(8 * cells^2) -> logits (batch, 10)."""
        return linear_head(self._cells)

    def load(self, source: DataSource) -> Examples:
        """Features of the training pool."""
        return self._features("pool", self._images.load(source))

    def load_test(self, source: DataSource) -> Examples | None:
        """Features of the public test set, where there is one."""
        found = self._images.load_test(source)
        return None if found is None else self._features("test", found)

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Features are what the network takes."""
        return inputs

    def _features(self, half: str, found: Examples) -> Examples:
        """Made once a process for the pool at hand: they are the same for every client and server round."""
        kept = self._kept.get(half)
        if kept is None or kept[0] is not found:
            images = torch.from_numpy(self._images.prepare(found.inputs)[:, 0])
            kept = found, Examples(hog_features(images, self._cells).numpy(), found.labels)
            self._kept[half] = kept
        return kept[1]
