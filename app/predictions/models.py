"""The model of a run, and the examples of its task: what an owner shares and a client asks about.

Decides: that the range of inputs is that of the task's test set, which is public, and that examples beyond it are the
asker's to refuse. Refuses to know: conversion and servers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import nn
from torch.utils.data import DataLoader

from app.run_directory import RunDirectory
from arithmetic.errors import ConfigError
from clients.tasks import DataSource, length_of, load_task
from clients.updates import load_arrays

_BATCH = 4096


@dataclass(frozen=True, eq=False)
class Examples:
    """A task's test set, prepared as its network wants it.

    Args:
        inputs: float32 (examples, *shape).
        labels: int64 (examples,).
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """What a run left.

    Args:
        name: of the run.
        task: whose it is.
        network: with the trained weights.
        test: the task's public test set.
    """

    name: str
    task: str
    network: nn.Module
    test: Examples

    @classmethod
    def load(cls, run: Path, data_path: str = "") -> "TrainedModel":
        """The final model of a run directory.

        Args:
            run: such as runs/<id>.
            data_path: where the task's data is; "" for where the run had it.

        Raises:
            ConfigError: no run, no model in it, or a task whose answers are no classes.
            SetupError: the data is not there.
        """
        directory = RunDirectory(run.absolute())
        config = directory.recorded()
        if not directory.model.is_file():
            raise ConfigError(f"run {run} has no model.safetensors; name one that finished")
        network = load_task(config.task).model(config.seed)
        try:
            load_arrays(network, load_file(directory.model))
        except (SafetensorError, OSError):
            raise ConfigError(f"{directory.model} cannot be read; name another run") from None
        return cls(
            directory.id, config.task, network.eval(), examples_of(config.task, data_path or config.data_path)
        )

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest number of the test set."""
        return float(self.test.inputs.min()), float(self.test.inputs.max())


def examples_of(task: str, data_path: str = "") -> Examples:
    """The public test set of a task.

    Raises:
        ConfigError: it has none, or its labels are no class numbers.
        SetupError: the data is not there.
    """
    data = load_task(task).test_data(DataSource(data_path=data_path))
    if data is None or not length_of(data):
        raise ConfigError(f"task {task} has no test set; name one that has, or give --inputs")
    batches: list[Any] = list(DataLoader(data, batch_size=_BATCH))
    try:
        inputs, labels = (np.concatenate([batch[place].numpy() for batch in batches]) for place in (0, 1))
    except (AttributeError, IndexError, TypeError, ValueError):
        inputs = labels = np.empty(0)
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise ConfigError(f"task {task} does not sort into classes; private predictions answer with a class")
    return Examples(inputs.astype(np.float32), labels)
