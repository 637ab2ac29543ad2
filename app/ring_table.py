"""What each simulated hospital reaches alone, against all together: the table at the end of `scripts/run -c job=ring`.

Decides: that alone means as many passes over a hospital's own patients, with the same training, as it made together
with the others; that both are judged on the task's public test set; and how long it may take: the table of a large
task is of the first hospitals alone.
Refuses to know: the ring. It needs every hospital's data and so a simulation, which has all of it on one machine.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file
from torch import nn
from torch.utils.data import Dataset

from app.config import RunConfig
from clients.tasks import DataSource, Task, length_of, load_task
from clients.training import TrainingConfig, evaluate, limit_threads, train
from clients.updates import load_arrays

LONGEST = 60.0
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Table:
    """A figure of the public test set: each hospital's own model, and the model of all.

    Attributes:
        figure: name of the task's first metric, or `loss`.
        patients: examples that each hospital trains on.
        alone: each hospital's figure, in the order of partitions; the first hospitals' where time ran out.
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


def table_of(config: RunConfig, model: Path, longest: float = LONGEST) -> Table | None:
    """The table of a finished run; None for a task without a public test set, or where no hospital was done in time.

    Args:
        config: of the run.
        model: file of the final model.
        longest: seconds for all of it.

    Raises:
        ChorusError: training alone fails, as it may with too little data.
    """
    limit_threads(1)
    end, task = time.monotonic() + longest, load_task(config.task)
    test = task.test_data(DataSource(data_path=config.data_path))
    if test is None:
        return None
    network = task.model(config.seed)
    load_arrays(network, load_file(model))
    figure, together = _judged(task, network, test)
    found: list[tuple[int, float]] = []
    while len(found) < config.clients and (one := _alone(task, config, len(found), test, end)) is not None:
        found.append(one)
    if not found:
        return None
    patients, alone = zip(*found, strict=True)
    return Table(figure, patients, alone, together)


def _alone(
    task: Task, config: RunConfig, number: int, test: Dataset[Any], end: float
) -> tuple[int, float] | None:
    """A hospital's examples, and what its own model reaches; None where the clock came to `end` before."""
    source = DataSource(config.data_path, number, config.clients, config.partition, config.dirichlet_alpha)
    data = task.partition_data(source, config.validation_fraction, config.seed).train
    network = task.model(config.seed)
    training = TrainingConfig(
        config.local_epochs, config.batch_size, config.learning_rate, config.momentum, 0.0, config.seed
    )
    for server_round in range(1, config.rounds + 1):
        if time.monotonic() > end:
            return None
        train(task, network, data, training, _CPU, server_round, number)
    return length_of(data), _judged(task, network, test)[1]


def _judged(task: Task, network: nn.Module, test: Dataset[Any]) -> tuple[str, float]:
    """The figure's name and its mean over the test set."""
    report = evaluate(task, network, test, _CPU)
    sums = report.metric_sums or {"loss": report.loss_sum}
    figure = next(iter(sums))
    return figure, sums[figure] / report.examples
