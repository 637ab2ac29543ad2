"""A task of milliseconds whose model has everything a layout must bear.

Ten examples a client, more for later ones, so that no two clients weigh the same; BatchNorm (float and
integer buffers), a frozen, a tied and an empty parameter.
"""

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from clients.tasks import ClientData, DataSource
from clients.tasks.classification import ClassificationTask


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.empty = nn.Parameter(torch.zeros(0, 7))
        self.last = nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.second(self.norm(self.first(inputs))))) * self.frozen[0]


class Tiny(ClassificationTask):
    name = "tiny"

    def network(self) -> nn.Module:
        return Network()

    def partition_data(self, source: DataSource, validation_fraction: float, seed: int) -> ClientData:
        train, held = 10 + 3 * source.partition_id, 4 + source.partition_id
        rng = np.random.default_rng([seed, source.partition_id])
        inputs = rng.normal(size=(train + held, 4)).astype(np.float32)
        labels = (inputs.sum(axis=1) > 0).astype(np.int64)
        whole = torch.from_numpy(inputs), torch.from_numpy(labels)
        return ClientData(
            TensorDataset(*(part[:train] for part in whole)),
            TensorDataset(*(part[train:] for part in whole)),
        )


TASK = Tiny()
