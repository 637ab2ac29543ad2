"""The diabetes task: disease progression of 442 patients a year on, embedded in scikit-learn.

Decides: the public test set (50 patients, the same in every run whatever its seed), the scaling, the linear model of 11
numbers, and what a biased split is: patients dealt by their quintile of progression. Refuses any file or network
access; `data-path` means nothing to it.
Data: B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least Angle Regression", Annals of Statistics 2004.
"""

import gzip
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import TensorDataset

from clients.partition import partition_indices, split_validation
from clients.tasks import ClientData, DataSource

Reals = NDArray[np.float64]
Batch = tuple[torch.Tensor, torch.Tensor]

TEST_PATIENTS: Final = 50
TEST_SEED: Final = 442  # fixed: the test set must not move with the run's seed
QUINTILES: Final = 5
# Public constants, as a study's protocol would name them: no statistic of anybody's patients travels for scaling.
CENTRES: Final = (50.0, 1.5, 26.0, 95.0, 190.0, 115.0, 50.0, 4.0, 4.6, 90.0)
SCALES: Final = (13.0, 0.5, 4.5, 14.0, 35.0, 30.0, 13.0, 1.3, 0.5, 11.5)
TARGET_CENTRE, TARGET_SCALE = 150.0, 75.0
_FOLDER = Path("datasets", "data")  # inside the package sklearn


class Diabetes:
    """Linear regression on ten baseline variables; the loss is in scaled units, `mse` in those of the target."""

    name = "diabetes"
    metric_names = ("mse",)

    def model(self, seed: int) -> nn.Module:
        """Ten weights and an intercept, all zero: the problem is convex, so a seed decides nothing."""
        network = nn.Linear(len(CENTRES), 1)
        nn.init.zeros_(network.weight)
        nn.init.zeros_(network.bias)
        return network

    def partition_data(self, source: DataSource, validation_fraction: float, seed: int) -> ClientData:
        """This hospital's patients; `dirichlet` deals them by quintile of the target, unevenly."""
        inputs, targets = _split()[0]
        quintile = np.searchsorted(np.quantile(targets, np.arange(1, QUINTILES) / QUINTILES), targets)
        mine = partition_indices(
            quintile.astype(np.int64), source.num_partitions, source.partition, source.dirichlet_alpha, seed
        )[source.partition_id]
        train, held = split_validation(mine, validation_fraction, seed, source.partition_id)
        return ClientData(_dataset(inputs[train], targets[train]), _dataset(inputs[held], targets[held]))

    def test_data(self, source: DataSource) -> TensorDataset:
        """The 50 held-out patients."""
        return _dataset(*_split()[1])

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Mean squared error, scaled."""
        inputs, targets = batch
        return nn.functional.mse_loss(model(inputs), targets)

    def evaluate_batch(self, model: nn.Module, batch: Batch) -> dict[str, float]:
        """Sums of squared errors: scaled, and in units of the target."""
        inputs, targets = batch
        squared = float(((model(inputs).detach() - targets) ** 2).sum())
        return {"loss": squared, "mse": squared * TARGET_SCALE**2}


def _dataset(inputs: Reals, targets: Reals) -> TensorDataset:
    features = (inputs - np.array(CENTRES)) / np.array(SCALES)
    labels = (targets[:, None] - TARGET_CENTRE) / TARGET_SCALE
    return TensorDataset(
        torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels.astype(np.float32))
    )


@lru_cache(maxsize=1)
def _split() -> tuple[tuple[Reals, Reals], tuple[Reals, Reals]]:
    """Everybody's patients, and the test set."""
    inputs, targets = _table()
    held = np.zeros(len(targets), dtype=np.bool_)
    held[np.random.default_rng(TEST_SEED).permutation(len(targets))[:TEST_PATIENTS]] = True
    return (inputs[~held], targets[~held]), (inputs[held], targets[held])


def _table() -> tuple[Reals, Reals]:
    """Variables (442, 10) as measured, and targets (442,); from scikit-learn's files, as `clients.tasks.digits`."""
    package = importlib.util.find_spec("sklearn")
    for place in package.submodule_search_locations or () if package else ():
        files = [Path(place) / _FOLDER / f"diabetes_{part}.csv.gz" for part in ("data_raw", "target")]
        if all(file.is_file() for file in files):
            inputs, targets = map(_read, files)
            return inputs, targets
    from sklearn.datasets import load_diabetes  # a version that keeps them elsewhere, and knows where

    bunch = load_diabetes(scaled=False)
    return bunch.data, bunch.target


def _read(path: Path) -> Reals:
    with gzip.open(path, "rt") as text:
        return np.loadtxt(text, dtype=np.float64)


TASK = Diabetes()
