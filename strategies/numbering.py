"""Flower's loop, for a run that goes on: it counts from 1, and the strategy hears the true number.

Decides: that every number in a result is the run's own. Refuses to know: what a server round does.
"""

from collections.abc import Callable, Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

Judge = Callable[[int, ArrayRecord], MetricRecord | None]


class Numbered(Strategy):
    """`strategy` after `done` server rounds, as Flower's loop sees it."""

    def __init__(self, strategy: Strategy, done: int) -> None:
        self._strategy = strategy
        self._done = done

    def summary(self) -> None:
        """Passed on."""
        self._strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Passed on with the true number."""
        return self._strategy.configure_train(self._done + server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Passed on with the true number."""
        return self._strategy.aggregate_train(self._done + server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Passed on with the true number."""
        return self._strategy.configure_evaluate(self._done + server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Passed on with the true number."""
        return self._strategy.aggregate_evaluate(self._done + server_round, replies)

    def go_on(
        self,
        grid: Grid,
        arrays: ArrayRecord,
        num_rounds: int,
        timeout: float,
        train_config: ConfigRecord,
        evaluate_config: ConfigRecord | None,
        judge: Judge | None,
    ) -> Result:
        """Flower's loop from round `done + 1` to `num_rounds`; the model is `arrays` where no round changed it."""
        numbered = None if judge is None else lambda at, model: judge(self._done + at, model)
        left = num_rounds - self._done
        result = self.start(grid, arrays, left, timeout, train_config, evaluate_config, numbered)
        return Result(
            result.arrays or arrays,
            self._true(result.train_metrics_clientapp),
            self._true(result.evaluate_metrics_clientapp),
            self._true(result.evaluate_metrics_serverapp),
        )

    def _true(self, metrics: dict[int, MetricRecord]) -> dict[int, MetricRecord]:
        return {self._done + at: found for at, found in metrics.items()}
