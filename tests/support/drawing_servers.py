"""Three servers on loopback with a model that tells drawings apart: lines across, lines down, and corners."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import nn

from predictions import owner
from predictions.conversion import convert
from predictions.credentials import FIRST, HELPER, OWNER, SECOND
from predictions.limits import Limits
from predictions.program import Program
from predictions.weights import Weights
from tests.support.three_servers import PATIENCE, Stage, credentials

SIDE = 14


@lru_cache(maxsize=1)
def drawing_model() -> tuple[Program, tuple[Weights, ...]]:
    """Pictures (1, 14, 14) in [-0.5, 2]; class 0 has its ink in the middle rows, 1 in the middle columns."""
    weights = torch.zeros(4, SIDE, SIDE)
    middle = slice(SIDE // 2 - 2, SIDE // 2 + 2)
    weights[0, middle], weights[1, :, middle], weights[2, :3, :3] = 0.3, 0.3, 0.3
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 4), nn.ReLU(), nn.Linear(4, 4))
    with torch.no_grad():
        network[1].weight.copy_(weights.reshape(4, -1))
        network[1].bias.fill_(0.5)
        network[3].weight.copy_(torch.eye(4))
        network[3].bias.zero_()
    program, found = convert(network, (1, SIDE, SIDE), -0.5, 2.0)
    return program, tuple(found)


@contextmanager
def drawing_servers(limits: Limits | None = None) -> Iterator[Stage]:
    """Servers that hold it."""
    stage = Stage(limits=limits or Limits())
    try:
        for party in (HELPER, SECOND, FIRST):
            stage.start(party)
        stage.prepared = owner.prepare_sharing(*drawing_model(), stage.limits)
        owner.Owner(stage.addresses, credentials()[OWNER], PATIENCE).share(stage.prepared)
        yield stage
    finally:
        for party in list(stage.servers):
            stage.stop(party)
