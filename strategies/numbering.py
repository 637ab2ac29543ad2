"""Flower's loop, for a run that goes on or ends early: it counts from 1, and the strategy hears the true number.

Decides: that every number in a result is the run's own, and that what was had before an early end is its result.
Refuses to know: what a server round does, and why a run ends early (`strategies.stopping`).
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from strategies.stopping import Stopped

Judge = Callable[[int, ArrayRecord], MetricRecord | None]


class Numbered(Strategy):
    """`strategy` after `done` server rounds, as Flower's loop sees it."""

    def __init__(self, strategy: Strategy, done: int) -> None:
        self._strategy = strategy
        self._done = done
        self._result = Result()

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
        """Passed on with the true number; what came of it is kept."""
        arrays, metrics = self._strategy.aggregate_train(self._done + server_round, replies)
        if arrays is not None:
            self._result.arrays = arrays
        if metrics is not None:
            self._result.train_metrics_clientapp[self._done + server_round] = metrics
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Passed on with the true number."""
        return self._strategy.configure_evaluate(self._done + server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Passed on with the true number; what came of it is kept."""
        metrics = self._strategy.aggregate_evaluate(self._done + server_round, replies)
        if metrics is not None:
            self._result.evaluate_metrics_clientapp[self._done + server_round] = metrics
        return metrics

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
        """Flower's loop from round `done + 1` to `num_rounds`, or until `Stopped` leaves it; the model is `arrays`
        where no round changed it.
        """
        self._result = Result(arrays)
        numbered = None if judge is None else lambda at, model: self._judged(judge, self._done + at, model)
        left = num_rounds - self._done
        with suppress(Stopped):
            self.start(grid, arrays, left, timeout, train_config, evaluate_config, numbered)
        return self._result

    def _judged(self, judge: Judge, server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        found = judge(server_round, arrays)
        if found is not None:
            self._result.evaluate_metrics_serverapp[server_round] = found
        return found
