"""A linear classifier without buffers, so that every mode of differential privacy can train it.

Twelve examples at the first client and three more at each later one: what follows the count of examples differs.
"""

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from clients.tasks import ClientData, DataSource
from clients.tasks.classification import ClassificationTask

INPUTS, CLASSES = 6, 3


class Linear(ClassificationTask):
    name = "linear"

    def network(self) -> nn.Module:
        return nn.Linear(INPUTS, CLASSES)

    def partition_data(self, source: DataSource, validation_fraction: float, seed: int) -> ClientData:
        train, held = 12 + 3 * source.partition_id, 4
        rng = np.random.default_rng([seed, source.partition_id])
        inputs = torch.from_numpy(rng.normal(size=(train + held, INPUTS)).astype(np.float32))
        labels = inputs[:, :CLASSES].argmax(dim=1)
        return ClientData(
            TensorDataset(inputs[:train], labels[:train]), TensorDataset(inputs[train:], labels[train:])
        )


TASK = Linear()
