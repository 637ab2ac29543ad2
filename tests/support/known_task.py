"""A task whose update is known exactly: client i moves coordinate i by one, and weighs 2^i.

The metrics are the model's coordinates, so what the next session says of the model that came in, and the final model,
tell who was counted: over clients S, coordinate i of the mean is 2^i / sum of 2^j over S, and zero for who was not.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from clients.tasks import ClientData, DataSource

CLIENTS = 4
NAMES = ("first", "second", "third", "fourth")


class Coordinates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(CLIENTS))


class Known:
    """With learning-rate 1, momentum 0, one local epoch and one batch a client's update is its unit vector."""

    name = "known"
    metric_names = NAMES

    def model(self, seed: int) -> nn.Module:
        return Coordinates()

    def partition_data(self, source: DataSource, validation_fraction: float, seed: int) -> ClientData:
        direction = torch.eye(CLIENTS)[source.partition_id]
        return ClientData(
            TensorDataset(direction.repeat(2**source.partition_id, 1)), TensorDataset(torch.zeros(1, CLIENTS))
        )

    def test_data(self, source: DataSource) -> None:
        return None

    def loss(self, model: nn.Module, batch: tuple[torch.Tensor]) -> torch.Tensor:
        (at,) = model.parameters()
        return -(at * batch[0]).sum(dim=1).mean()

    def evaluate_batch(self, model: nn.Module, batch: tuple[torch.Tensor]) -> dict[str, float]:
        (at,) = model.parameters()
        return {"loss": 0.0} | {name: len(batch[0]) * float(x) for name, x in zip(NAMES, at, strict=True)}


TASK = Known()
