"""Any torch Dataset and any loss: a regression; simulated client n reads DATA/n.csv, a node a file of its own."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset, random_split

from clients.tasks import ClientData
from clients.tasks.classification import seeded


class TorchDataset:
    name, metric_names = "torch_dataset", ("absolute_error",)

    def model(self, seed):
        with seeded(seed):
            return nn.Linear(3, 1)

    def partition_data(self, source, validation_fraction, seed):
        path = Path(source.data_path)  # a folder of all clients' files, or a node's own
        path = path / f"{source.partition_id}.csv" if path.is_dir() else path
        rows = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.float32))
        data = TensorDataset(rows[:, :3], rows[:, 3:])  # or any Dataset with a len()
        parts = [1 - validation_fraction, validation_fraction]
        return ClientData(*random_split(data, parts, torch.Generator().manual_seed(seed)))

    def test_data(self, source):
        """There is no public test set."""

    def loss(self, model, batch):
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    def evaluate_batch(self, model, batch):
        error = model(batch[0]) - batch[1]
        return {"loss": (error**2).sum(), "absolute_error": error.abs().sum()}  # sums, not means


TASK = TorchDataset()
