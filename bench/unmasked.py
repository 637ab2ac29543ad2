"""Federated averaging in this process through the real encoding, without masks: what rounding alone does to a model.

Decides: what a server round is here. Every client trains with `clients.training`; the weighted updates become
residues (`FixedPoint`, stochastic rounding from a fresh key stream), are packed and summed mod 2^b, and the sum is
decoded; the encoding bound adapts by the summed counters as in `strategies.secure_aggregation`. Beside it stands
the mean of the same updates in float64. Masks cancel in the sum, so leaving them out changes no residue of it;
the counters are summed exactly either way.
Refuses to know: the protocol, Flower, and what is printed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.config import RunConfig
from arithmetic.fixed_point import MAGNITUDE_STEPS, FixedPoint, Reals, next_bound
from arithmetic.packing import add_packed, pack
from arithmetic.residues import zeros
from clients.tasks import DataSource, load_task
from clients.training import TrainingConfig, evaluate, limit_threads, train
from clients.updates import arrays_of, load_arrays, spec_of
from clients.work import weight_of
from secagg.primitives import KeyStream
from strategies.outcome import TrainingMetrics, training_of
from wire.scalars import TRAINING_LOSS, WEIGHT, WEIGHTS_CLAMPED, exceeding_key

Arrays = Mapping[str, NDArray[Any]]
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Update:
    """What one client has to say: local - global, shape (d,), its weight, its mean training loss."""

    tensor: Reals
    weight: int
    loss: float


@dataclass(frozen=True)
class Step:
    """One server round.

    Attributes:
        model: the global model after it.
        error: largest difference of a coordinate of the mean from the mean in float64, >= 0.
        metrics: what a run would print of it; None for plain averaging.
    """

    model: Arrays
    error: float
    metrics: TrainingMetrics | None


class Clients:
    """The cohort of a run configuration with its data, on the CPU, one thread.

    Args:
        config: of the run.
        parts: into how many parts the training images are dealt; the first `config.clients` take part.

    Raises:
        SetupError: the data is not there.
    """

    def __init__(self, config: RunConfig, parts: int) -> None:
        limit_threads(1)
        self.config = config
        self.task = load_task(config.task)
        self._model = self.task.model(config.seed)
        self.spec = spec_of(self._model)
        sources = [DataSource(config.data_path, at, parts) for at in range(config.clients)]
        self._data = [
            self.task.partition_data(source, config.validation_fraction, config.seed).train
            for source in sources
        ]
        self._test = self.task.test_data(sources[0])

    def initial(self) -> Arrays:
        """The model that the first server round starts from."""
        return arrays_of(self.task.model(self.config.seed))

    def updates(self, arrays: Arrays, server_round: int) -> list[Update]:
        """Every client's update of the global model `arrays`; deterministic in the run's seed."""
        config = self.config
        settings = TrainingConfig(
            config.local_epochs, config.batch_size, config.learning_rate, config.momentum, config.proximal_mu,
            config.seed,
        )  # fmt: skip
        found, model = [], self._model
        for client, data in enumerate(self._data):
            load_arrays(model, arrays)
            report = train(self.task, model, data, settings, _CPU, server_round, client)
            tensor = self.spec.flatten_update(arrays_of(model), arrays).tensor
            found.append(Update(tensor, weight_of(report.examples, config.max_examples), report.mean_loss))
        return found

    def accuracy(self, arrays: Arrays) -> float:
        """Of a model on the public test set, 0..1."""
        if self._test is None:
            raise SystemExit(f"{self.config.task} has no public test set here: there is nothing to judge by")
        load_arrays(self._model, arrays)
        found = evaluate(self.task, self._model, self._test, _CPU)
        return found.metric_sums["accuracy"] / found.examples


def course(clients: Clients, bits: int | None) -> Iterator[Step]:
    """Every server round of a run: with residues of `bits` bits, or plain (None)."""
    config, spec, arrays = clients.config, clients.spec, clients.initial()
    bound = config.encoding_bound
    for server_round in range(1, config.rounds + 1):
        updates = clients.updates(arrays, server_round)
        plain = mean = float_mean(updates)
        metrics = None
        if bits is not None:
            codec = FixedPoint(bits, config.clients, bound)
            mean, metrics = encoded_mean(updates, codec, config.max_examples)
            bound = next_bound(bound, metrics.exceeding)
        # A round in which no entry reaches any limit is discarded by SecureAggregation: the model stays.
        if metrics is None or any(metrics.exceeding):
            arrays = spec.apply_mean(arrays, mean, np.zeros(spec.integer_length))
        yield Step(arrays, float(np.abs(mean - plain).max()), metrics)


def float_mean(updates: Sequence[Update]) -> Reals:
    """The weighted mean in float64, shape (d,)."""
    total = sum((update.weight * update.tensor for update in updates), np.zeros_like(updates[0].tensor))
    return total / sum(update.weight for update in updates)


def encoded_mean(
    updates: Sequence[Update], codec: FixedPoint, max_examples: int
) -> tuple[Reals, TrainingMetrics]:
    """The weighted mean by way of packed residues summed mod 2^b, and what the run would print."""
    length = updates[0].tensor.size
    total, exceeding = zeros(length, codec.bits), np.zeros(MAGNITUDE_STEPS, dtype=np.int64)
    for update in updates:
        encoded = codec.encode(update.tensor * (update.weight / max_examples), KeyStream(os.urandom(32)).read)
        add_packed(total, pack(encoded.words, codec.bits), codec.bits)
        exceeding += encoded.exceeding
    sums: dict[str, int | float] = {exceeding_key(at): int(count) for at, count in enumerate(exceeding)}
    sums |= {WEIGHT: sum(update.weight for update in updates), WEIGHTS_CLAMPED: 0}
    sums |= {TRAINING_LOSS: sum(update.weight * update.loss for update in updates)}
    metrics = training_of(sums, len(updates), codec, max_examples)
    return codec.decode(total) * metrics.scale, metrics
