"""What each simulated hospital reaches alone, against all together: the table at the end of `scripts/run -c job=ring`.

Decides: that alone means as many passes over a hospital's own patients, with the same training, as it made together
with the others; and that both are judged on the task's public test set.
Refuses to know: the ring. It needs every hospital's data and so a simulation, which has all of it on one machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from app.config import RunConfig
from clients.tasks import DataSource, Task, length_of, load_task
from clients.training import TrainingConfig, evaluate, limit_threads, train
from clients.updates import load_arrays

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Table:
    """A figure of the public test set: each hospital's own model, and the model of all.

    Attributes:
        figure: name of the task's first metric, or `loss`.
        patients: examples that each hospital trains on.
        alone: each hospital's figure, in the order of partitions.
        together: of the final model.
    """

    figure: str
    patients: tuple[int, ...]
    alone: tuple[float, ...]
    together: float

    @property
    def lines(self) -> list[str]:
        """For people."""
        head = f"hospital  examples  {self.figure} alone  together   (on the public test set)"
        rows = [
            f"{number:8}  {count:8}  {own:{len(self.figure) + 6}.4g}  {self.together:8.4g}"
            for number, (count, own) in enumerate(zip(self.patients, self.alone, strict=True), start=1)
        ]
        return [head, *rows]


def table_of(config: RunConfig, model: Path) -> Table | None:
    """The table of a finished run; None for a task without a public test set.

    Args:
        config: of the run.
        model: file of the final model.

    Raises:
        ChorusError: training alone fails, as it may with too little data.
    """
    limit_threads(1)
    task = load_task(config.task)
    found = [_alone(task, config, number) for number in range(config.clients)]
    together = _judged(task, config, load_file(model))
    if together is None:
        return None
    figure, value = together
    patients, alone = zip(*found, strict=True)
    return Table(figure, patients, alone, value)


def _alone(task: Task, config: RunConfig, number: int) -> tuple[int, float]:
    """A hospital's examples, and what its own model reaches."""
    source = DataSource(config.data_path, number, config.clients, config.partition, config.dirichlet_alpha)
    data = task.partition_data(source, config.validation_fraction, config.seed).train
    network = task.model(config.seed)
    training = TrainingConfig(
        config.local_epochs, config.batch_size, config.learning_rate, config.momentum, 0.0, config.seed
    )
    for server_round in range(1, config.rounds + 1):
        train(task, network, data, training, _CPU, server_round, number)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    found = _judged(task, config, state)
    return length_of(data), found[1] if found else float("nan")


def _judged(
    task: Task, config: RunConfig, arrays: Mapping[str, NDArray[np.generic]]
) -> tuple[str, float] | None:
    """The figure's name and its mean over the test set."""
    test = task.test_data(DataSource(data_path=config.data_path))
    if test is None:
        return None
    network = task.model(config.seed)
    load_arrays(network, arrays)
    report = evaluate(task, network, test, _CPU)
    sums = report.metric_sums or {"loss": report.loss_sum}
    figure = next(iter(sums))
    return figure, sums[figure] / report.examples
