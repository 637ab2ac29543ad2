"""The digits task: 1,797 grey images of 8 x 8 handwritten digits, embedded in scikit-learn.

Decides the public test set (359 images, stratified, the same in every run whatever its seed), the
scaling and the network. Refuses any file or network access; `data-path` means nothing to it.
Data: E. Alpaydin, C. Kaynak, UCI Optical Recognition of Handwritten Digits (CC BY 4.0).
"""

import gzip
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from clients.tasks import DataSource
from clients.tasks.classification import ClassificationTask, Examples

TEST_FRACTION: Final = 0.2
FILE: Final = Path("datasets", "data", "digits.csv.gz")  # inside the package sklearn
TEST_SEED: Final = 1797  # fixed: the test set must not move with the run's seed


class Digits(ClassificationTask):
    """Ten classes; a small convolutional network without BatchNorm (10,026 parameters)."""

    name = "digits"

    def network(self) -> nn.Module:
        """Input (batch, 1, 8, 8) in [0, 1]; two convolutions with GroupNorm, one linear layer.

        Smooth activations: two runs that differ by a rounding error stay as close as that, so that a secure run
        can be compared with a plain one weight by weight.
        """
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.GroupNorm(4, 16),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GroupNorm(4, 32),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(512, 10),
        )

    def load(self, source: DataSource) -> Examples:
        """Give the 1,438 images outside the test set."""
        return _split()[0]

    def load_test(self, source: DataSource) -> Examples:
        """Give the 359 held-out images."""
        return _split()[1]

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Grey levels 0..16 to [0, 1], shape (examples, 1, 8, 8)."""
        return (inputs.astype(np.float32) / np.float32(16.0)).reshape(-1, 1, 8, 8)


@lru_cache(maxsize=1)
def _split() -> tuple[Examples, Examples]:
    images, labels = _table()
    rng = np.random.default_rng(TEST_SEED)
    held = np.zeros(len(labels), dtype=np.bool_)
    for label in range(10):
        members = rng.permutation(np.flatnonzero(labels == label))
        held[members[: round(TEST_FRACTION * len(members))]] = True
    return Examples(images[~held], labels[~held]), Examples(images[held], labels[held])


def _table() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (1797, 8, 8) and labels: scikit-learn's own file, as importing it costs every client process a second."""
    package = importlib.util.find_spec("sklearn")
    for place in package.submodule_search_locations or () if package else ():
        if (file := Path(place) / FILE).is_file():
            with gzip.open(file, "rt") as text:
                rows = np.loadtxt(text, dtype=np.uint8, delimiter=",")
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # a version that keeps it elsewhere, and knows where

    bunch = load_digits()
    return bunch.images.astype(np.uint8), bunch.target.astype(np.int64)


TASK = Digits()
