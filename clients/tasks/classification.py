"""What classification tasks share: partition, seeded model, cross-entropy, accuracy.

Decides everything but the data and the network, so that a new task gives `name`, `network` and
`load` (and, if there is a public test set, `load_test`). Refuses to know any file format.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from arithmetic.errors import ConfigError
from clients.partition import partition_indices, split_validation
from clients.tasks import ClientData, DataSource

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Examples:
    """Inputs (examples, ...) as stored, uint8 to keep a large set small; labels (examples,), whole numbers from 0."""

    inputs: NDArray[Any]
    labels: NDArray[Any]

    def __post_init__(self) -> None:
        """Raise ConfigError for what no network could be given; the line names the first place."""
        for name, array in (("inputs", self.inputs), ("labels", self.labels)):
            if not isinstance(array, np.ndarray):
                raise ConfigError(f"{name} are a {type(array).__name__}; give Examples two numpy arrays")
            if array.dtype.kind not in "biuf":
                raise ConfigError(
                    f"{name} are of type {array.dtype}, not numbers; number the categories, and fill in what is missing"
                )
        if self.labels.shape != self.inputs.shape[:1]:
            raise ConfigError(
                f"inputs are {self.inputs.shape} and labels {self.labels.shape}; give one label for each row of inputs"
            )
        if self.inputs.dtype.kind == "f" and not np.isfinite(self.inputs).all():
            example, *place = (int(at) for at in np.argwhere(~np.isfinite(self.inputs))[0])
            at = f", column {place[0]}" if len(place) == 1 else ""
            raise ConfigError(
                f"input {example}{at}, counted from 0, is NaN or infinite; fill in what is missing, as in "
                "np.where(np.isnan(inputs), FILL, inputs), with constants that all clients share"
            )
        if self.labels.dtype.kind == "f":
            raise ConfigError(
                f"labels are {self.labels.dtype}; give whole numbers from 0, as in labels.astype(np.int64), once none "
                "is missing"
            )
        if self.labels.size and self.labels.min() < 0:
            raise ConfigError(f"a label is {self.labels.min()}; number classes from 0")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's CPU random numbers from `seed` inside, and leave the global stream as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class ClassificationTask:
    """Base of a classification task; a subclass gives `name`, `network` and `load`."""

    name: str = ""
    metric_names: tuple[str, ...] = ("accuracy",)

    def network(self) -> nn.Module:
        """Give a new network: inputs as `prepare` gives them -> logits (batch, classes)."""
        raise NotImplementedError("a classification task defines network(self)")

    def load(self, source: DataSource) -> Examples:
        """Give the whole training pool that `source` names; the same on every client."""
        raise NotImplementedError("a classification task defines load(self, source)")

    def load_test(self, source: DataSource) -> Examples | None:
        """Give the public central test set, disjoint from the pool; None (the default) for none."""
        return None

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Turn stored inputs into the network's float32 inputs; the default only casts."""
        return inputs.astype(np.float32)

    def model(self, seed: int) -> nn.Module:
        """Give the network with weights drawn from `seed`; the global random state is untouched."""
        with seeded(seed):
            return self.network()

    def partition_data(self, source: DataSource, validation_fraction: float, seed: int) -> ClientData:
        """Give this client's part, split into training and validation (`clients.partition`)."""
        pool = self.load(source)
        if not isinstance(pool, Examples):
            raise ConfigError(
                f"load of task {self.name} gives {type(pool).__name__}; return Examples(inputs, labels)"
            )
        if source.data_path and source.num_partitions == 1:
            mine = np.arange(len(pool.labels), dtype=np.int64)  # a SuperNode's own folder: all of it
        else:
            mine = partition_indices(
                pool.labels, source.num_partitions, source.partition, source.dirichlet_alpha, seed
            )[source.partition_id]
        train, held = split_validation(mine, validation_fraction, seed, source.partition_id)
        return ClientData(self._dataset(pool, train), self._dataset(pool, held))

    def test_data(self, source: DataSource) -> Dataset[Any] | None:
        """Give the public central test set, if `load_test` has one."""
        examples = self.load_test(source)
        if examples is None:
            return None
        return self._dataset(examples, np.arange(len(examples.labels), dtype=np.int64))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of the batch, in nats."""
        inputs, labels = batch
        return functional.cross_entropy(model(inputs), labels)

    def evaluate_batch(self, model: nn.Module, batch: Batch) -> dict[str, float]:
        """Sums over the batch: cross-entropy in nats, and the number classified right."""
        inputs, labels = batch
        logits = model(inputs).detach()
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        right = (logits.argmax(dim=1) == labels).sum()
        return {"loss": float(loss), "accuracy": float(right)}

    def _dataset(self, examples: Examples, indices: NDArray[np.int64]) -> TensorDataset:
        inputs = self.prepare(examples.inputs[indices])
        labels = examples.labels[indices].astype(np.int64)
        return TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels))
