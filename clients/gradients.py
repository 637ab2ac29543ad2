"""Job gradients: the gradient of one batch's mean loss at the incoming model, and nothing trained.

Decides: which examples are the batch of a server round, from public numbers alone, so that whoever has the data finds
the same: in each epoch every example once, in an order drawn from seed, epoch and partition, `batch-size` at a time;
server round r is the r-th batch, whether or not those before it gave a sum. The last batch of an epoch is smaller
where batch-size does not divide the examples, and weighs less.
Refuses to know: masks and encodings, and what the model's owner does with the mean.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from arithmetic.errors import ParameterError, RangeError
from arithmetic.layout import Kind, VectorSpec
from clients.tasks import Task, length_of
from clients.training import TrainingConfig, gather, own_random_stream, own_stream, to_device, typed_errors


@dataclass(frozen=True)
class BatchGradient:
    """Gradient of the mean loss over `examples` examples, float64 (d,), and that loss."""

    values: NDArray[np.float64]
    examples: int
    mean_loss: float


def batch_gradient(
    task: Task,
    model: nn.Module,
    dataset: Dataset[Any],
    config: TrainingConfig,
    spec: VectorSpec,
    device: torch.device,
    server_round: int,
    partition_id: int,
) -> BatchGradient:
    """The gradient of one server round's batch, at the weights that `model` holds; they stay as they are.

    Raises:
        RangeError: no examples, or a loss or gradient that is not finite.
        ParameterError: a model with sums in it that are no gradients (`check_trained`).
        SetupError: the device ran out of memory.
    """
    check_trained(model, spec)
    examples = length_of(dataset)
    if not examples:
        raise RangeError("this client has no training examples, so it abstains; check data-path")
    indices = batch_of(examples, config.batch_size, config.seed, server_round, partition_id)
    with own_random_stream(own_stream(config.seed, server_round, partition_id), device), typed_errors():
        model.to(device).train()
        loss = task.loss(model, to_device(gather(dataset, indices), device))
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
    value = float(loss.detach())
    if not math.isfinite(value):
        raise RangeError(f"the loss of the batch is {value}, so nothing is sent; lower server-learning-rate")
    return BatchGradient(_flat(model, spec), len(indices), value)


def batch_of(examples: int, batch_size: int, seed: int, server_round: int, partition_id: int) -> torch.Tensor:
    """Indices of one server round's batch, int64.

    Args:
        examples: that the client trains on, >= 1.
        batch_size: >= 1.
        seed: of the run.
        server_round: from 1.
        partition_id: of the client.
    """
    epoch, at = divmod(server_round - 1, -(-examples // batch_size))
    label = f"chorus/gradients/{seed}/{epoch}/{partition_id}".encode()
    order = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(label).digest()[:8], "big") >> 1)
    return torch.randperm(examples, generator=order)[at * batch_size : (at + 1) * batch_size]


def check_trained(model: nn.Module, spec: VectorSpec) -> None:
    """Refuse a model with sums in it that are no gradients, such as running statistics.

    Raises:
        ParameterError: the summed entries are not exactly the trained parameters.
    """
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    summed = {entry.name for entry in spec.entries if entry.kind in (Kind.FLOAT, Kind.INTEGER)}
    if trained != summed:
        raise ParameterError(
            f"job = gradients sums gradients of trained parameters, and {', '.join(sorted(trained ^ summed))} is "
            "something else; use a model without running statistics (GroupNorm in place of BatchNorm)"
        )


def _flat(model: nn.Module, spec: VectorSpec) -> NDArray[np.float64]:
    """The gradients in the layout's order; of a parameter that the loss does not see, zeros."""
    weights = dict(model.named_parameters())
    parts = [np.zeros(0)]
    for entry in spec.entries:
        if entry.kind is Kind.FLOAT:
            gradient = weights[entry.name].grad
            parts.append(np.zeros(entry.size) if gradient is None else _real(gradient))
    flat = np.concatenate(parts)
    if not np.isfinite(flat).all():
        raise RangeError("the gradient is not finite, so nothing is sent; lower server-learning-rate")
    return flat


def _real(gradient: torch.Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = gradient.detach().to("cpu").double().numpy()
    return values.reshape(-1)
