"""SecureAggregation wraps a Flower strategy: the inner one picks the cohort and applies the mean, and
never sees more than that.

Decides: how a session's sum becomes one virtual reply that carries the cohort's weighted mean, and what
happens to the model when a session fails (nothing). Evaluation rides in the same session and judges the
model that came in; after the last server round one evaluation-only session judges the final model.
Refuses to know: the protocol (`session` drives it) and torch.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from arithmetic.errors import ChorusError
from arithmetic.layout import VectorSpec
from privacy.terms import PrivacyMode
from secagg.errors import CohortTooSmall
from secagg.params import SecAggParams
from strategies.cohort import FixedCohort, await_cohort
from strategies.decoding import decoder_of
from strategies.errors import LinkLost, NothingAggregated, StrategyNotSupported
from strategies.events import Emit, silent
from strategies.groups import Groups, Membership, RoundTotal
from strategies.outcome import evaluation_of, finished_fields
from strategies.records import ndarrays_of, one_request, record_of
from strategies.session import SessionReport
from strategies.settings import Settings
from strategies.supported import check_supported
from wire.records import MODEL_KEY, pack_arrays
from wire.rounds import Purpose
from wire.scalars import ScalarLayout
from wire.settings import LAYOUT_DIGEST, PURPOSE, exact_types, layout_digest


class SecureAggregation(Strategy):
    """Secure aggregation around any Flower strategy that needs only the mean.

    Args:
        inner: FedAvg, FedProx, FedAdam, FedAvgM, FedYogi, FedAdagrad, or one the caller vouches for.
        spec: layout of the model's arrays.
        settings: how sessions are run.
        metrics: names of the task's metrics, averaged over evaluation examples.
        emit: receives events; ids and counts only.
        mean_only: the caller vouches that `inner` needs only the mean.

    Raises:
        StrategyNotSupported: `inner` needs single updates.
        ParameterError: the settings cannot work together.
    """

    def __init__(
        self,
        inner: Strategy,
        spec: VectorSpec,
        settings: Settings,
        metrics: tuple[str, ...] = (),
        emit: Emit = silent,
        mean_only: bool = False,
    ) -> None:
        check_supported(inner, mean_only)
        self.inner = inner
        self.spec = spec
        self.settings = settings
        self.metrics = metrics
        self.emit = emit
        self._decoder = decoder_of(settings)
        self.aggregated: list[int] = []
        self._last_failure = ""
        self._groups: Groups | None = None
        self._membership = Membership(settings.groups)
        self._known: frozenset[int] = frozenset()
        self._planned: dict[Purpose, int] = {}
        self._mean: RecordDict | None = None
        self._evaluated: MetricRecord | None = None
        self._central: MetricRecord | None = None
        settings.check_groups()
        self._params(Purpose.EVALUATION, settings.group_size)
        self._decoder.check_params(self._params(Purpose.TRAINING, settings.group_size))
        self._planned.clear()

    def summary(self) -> None:
        """Log the inner strategy's own summary."""
        self.inner.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Run the whole session; the mean waits for `aggregate_train`, so no message is left to send.

        Raises:
            CohortIncomplete: the whole cohort never was there; later absences only fail their server round.
            StrategyNotSupported, LinkLost: the inner strategy treats clients unlike; the SuperLink stayed away.
        """
        self._mean = self._evaluated = None
        try:
            cohort = FixedCohort(grid, self._await(grid))
            asked = list(self.inner.configure_train(server_round, arrays, config, cohort))
            nodes, chosen = one_request(asked, arrays)
            self._train(grid, nodes, arrays, chosen, server_round)
        except (StrategyNotSupported, LinkLost):
            raise
        except ChorusError as error:
            if not self._known:
                raise
            self._failed(server_round, Purpose.TRAINING, error)
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Hand the mean to the inner strategy as one reply; (None, None) keeps the model when the session
        failed.
        """
        if self._mean is None:
            return None, None
        reply = Message(self._mean, 1, MessageType.TRAIN)
        self._mean = None
        arrays, metrics = self.inner.aggregate_train(server_round, [reply])
        if arrays is None:
            return None, metrics
        try:
            model = record_of(self.spec.conform(ndarrays_of(arrays)))
        except ChorusError as error:
            self._failed(server_round, Purpose.TRAINING, error)
            return None, None
        self.aggregated.append(server_round)
        return model, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Evaluation rode in the training session: nothing to send."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Federated metrics of the model that came into this server round."""
        return self._evaluated

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Flower's loop, then one evaluation-only session.

        In the result, `evaluate_metrics_clientapp[r]` judges the model after server round r; 0 is the
        initial model.

        Raises:
            NothingAggregated: every server round failed.
        """
        self.aggregated = []
        config = ConfigRecord() if train_config is None else train_config
        result = super().start(
            grid, initial_arrays, num_rounds, timeout, config, evaluate_config, self._judged(evaluate_fn)
        )
        if not self.aggregated:
            raise NothingAggregated(
                f"none of {num_rounds} server rounds could be aggregated. The last reason: "
                f"{self._last_failure}"
            )
        if self.settings.privacy.mode is not PrivacyMode.NONE:
            return result  # a metric of the clients' data is a release of its own, and none is made
        incoming = result.evaluate_metrics_clientapp
        result.evaluate_metrics_clientapp = {r - 1: found for r, found in incoming.items()}
        final = self.evaluate(grid, result.arrays, config, num_rounds + 1)
        if final is not None:
            result.evaluate_metrics_clientapp[num_rounds] = final
        return result

    def evaluate(
        self, grid: Grid, arrays: ArrayRecord, config: ConfigRecord, server_round: int
    ) -> MetricRecord | None:
        """An evaluation-only session of the whole cohort; None when it failed."""
        purpose = Purpose.EVALUATION
        try:
            nodes = self._await(grid)
            total, params = self._sum(grid, nodes, arrays, config, server_round, purpose)
            named, _ = self._layout(purpose).decode(total.scalars, params.cohort)
            found = evaluation_of(named, self.metrics)
        except ChorusError as error:
            self._failed(server_round, purpose, error)
            return None
        self._finished(server_round, purpose, total, found, {})
        return MetricRecord(dict(found))

    def _train(
        self, grid: Grid, nodes: list[int], arrays: ArrayRecord, config: ConfigRecord, server_round: int
    ) -> None:
        """One training session: keep the mean for `aggregate_train` and the metrics for
        `aggregate_evaluate`.
        """
        purpose = Purpose.TRAINING
        total, params = self._sum(grid, nodes, arrays, config, server_round, purpose)
        named, integers = self._layout(purpose).decode(total.scalars, params.cohort)
        mean = self._decoder.mean(total, named, np.array(integers, dtype=np.float64), params)
        model = self.spec.apply_mean(ndarrays_of(arrays), mean.update, mean.integers)
        weighted_by = str(getattr(self.inner, "weighted_by_key", "num-examples"))
        losses = {} if mean.train_loss is None else {"train_loss": mean.train_loss}
        record = MetricRecord({**losses, weighted_by: mean.weight})
        self._mean = RecordDict({MODEL_KEY: record_of(model), "metrics": record})
        found = evaluation_of(named, self.metrics)
        self._evaluated = MetricRecord(dict(found))
        self._finished(server_round, purpose, total, found, mean.fields)

    def _sum(
        self,
        grid: Grid,
        nodes: list[int],
        arrays: ArrayRecord,
        config: ConfigRecord,
        server_round: int,
        purpose: Purpose,
    ) -> tuple[RoundTotal, SecAggParams]:
        """The exact sum over all groups, and the parameters of each group's session."""
        if self._groups is None or self._groups.grid is not grid:
            self._groups = Groups(grid, self.settings, self.emit)
        members = self._membership.split(nodes)
        largest = max(map(len, members))
        if largest < self.settings.min_cohort:
            raise CohortTooSmall("are in the largest group", largest, self.settings.min_cohort)
        params, layout = self._params(purpose, largest), self._layout(purpose)

        def accept(report: SessionReport) -> None:
            sums, _ = layout.decode([report.unmasked.total.scalars], params.cohort)
            self._decoder.check(purpose, sums, len(report.unmasked.survivors), params)

        agreed = exact_types(config)
        agreed[PURPOSE] = purpose.value
        agreed.update(self._decoder.travelling)
        agreed[LAYOUT_DIGEST] = layout_digest(self.spec, layout)
        model = pack_arrays(ndarrays_of(arrays))
        total = self._groups.run(params, members, model, agreed, server_round, purpose, accept)
        return total, params

    def _await(self, grid: Grid) -> list[int]:
        """The whole cohort at first; later whoever is there, as long as the session can succeed."""
        least = min(self.settings.groups * self.settings.least, self.settings.cohort)
        size = least if self._known else self.settings.cohort
        nodes = await_cohort(grid, size, self.settings.cohort_deadline, self._known, self.emit)
        if not self._known:
            self.emit("cohort_ready", nodes=nodes)
            self._known = frozenset(nodes)
        return nodes

    def _layout(self, purpose: Purpose) -> ScalarLayout:
        adaptive = self.settings.privacy.clipping_quantile > 0
        return ScalarLayout.of(purpose, self.metrics, self.spec.integer_length, adaptive)

    def _params(self, purpose: Purpose, cohort: int) -> SecAggParams:
        tensor = self.spec.tensor_length if purpose is Purpose.TRAINING else 0
        seen = self._planned[purpose] = max(self._planned.get(purpose, 0), cohort)
        # Whoever came back to a group that was filled up meanwhile must not raise the others' threshold for good.
        planned = min(seen, self.settings.group_size)
        return self.settings.params(cohort, tensor, self._layout(purpose).length, planned)

    def _judged(
        self, evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None
    ) -> Callable[[int, ArrayRecord], MetricRecord | None] | None:
        """Remember what the central test set said of the model that goes into the next server round."""
        if evaluate_fn is None:
            return None

        def remembering(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
            try:
                self._central = evaluate_fn(server_round, arrays)
            except ChorusError as error:  # a model that diverged is worth keeping, and worth saying so
                self._central = None
                self.emit(
                    "central_test_failed", server_round=server_round, code=error.code, reason=str(error)
                )
            return self._central

        return remembering

    def _finished(
        self,
        server_round: int,
        purpose: Purpose,
        total: RoundTotal,
        found: Mapping[str, float],
        trained: Mapping[str, int | float],
    ) -> None:
        fields = finished_fields(total, found, trained, self._central)
        self.emit("round_finished", server_round=server_round, purpose=purpose, **fields)

    def _failed(self, server_round: int, purpose: Purpose, error: ChorusError) -> None:
        self._last_failure = error.line
        self.emit(
            "round_failed", server_round=server_round, purpose=purpose, code=error.code, reason=str(error)
        )
