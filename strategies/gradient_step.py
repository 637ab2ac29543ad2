"""An inner strategy that takes the cohort's mean gradient, and not a model: the base of whatever an owner does with it.

Decides: that clients are then asked for gradients, and that what reaches the strategy is the mean itself and never its
sum with the model, which would round it.
Refuses to know: how a gradient becomes a step (`step`, of a subclass), and how the mean came about.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Strategy
from numpy.typing import NDArray

from strategies.records import ndarrays_of, record_of
from wire.settings import Job

Arrays = Mapping[str, NDArray[Any]]


class GradientStep(FedAvg, ABC):
    """FedSGD: each server round is one step along the cohort's weighted mean gradient."""

    _model: Arrays | None = None

    @abstractmethod
    def step(self, model: Arrays, gradient: Arrays) -> Arrays:
        """The next model.

        Args:
            model: as it went to the clients; it is not changed.
            gradient: the exact weighted mean of the clients' gradients at `model`, of the same names and shapes.

        Raises:
            RangeError: the next model would not be finite; nothing is remembered of it.
        """

    @abstractmethod
    def state(self) -> Mapping[str, Arrays]:
        """What is remembered from step to step: kind -> name -> array."""

    @abstractmethod
    def put_state(self, state: Mapping[str, Arrays]) -> None:
        """The inverse of `state`, on a strategy made with the same arguments.

        Raises:
            StrategyNotSupported: it is another strategy's.
        """

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As FedAvg; the model is kept for the step."""
        self._model = ndarrays_of(arrays)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """One step along the gradient that the only reply carries; (None, None) where there is none."""
        gradient, metrics = super().aggregate_train(server_round, replies)
        if gradient is None or self._model is None:
            return None, metrics
        return record_of(self.step(self._model, ndarrays_of(gradient))), metrics


def job_of(inner: Strategy) -> Job:
    """What clients are asked for."""
    return Job.GRADIENTS if isinstance(inner, GradientStep) else Job.TRAIN


def origin_of(inner: Strategy, model: Arrays) -> Arrays:
    """What the mean is added to before `inner` gets it: the model, or nothing where it takes a gradient."""
    if job_of(inner) is Job.TRAIN:
        return model
    return {name: np.zeros_like(array) for name, array in model.items()}
