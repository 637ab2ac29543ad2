"""SecureAggregation wraps a Flower strategy: the inner one picks the cohort and applies the mean, and
never sees more than that.

Decides: how a session's sum becomes one virtual reply that carries the cohort's weighted mean, and what
happens to the model when a session fails (nothing). Evaluation rides in the same session and judges the
model that came in; after the last server round one evaluation-only session judges the final model.
Refuses to know: the protocol (`session` drives it) and torch.
"""

from collections.abc import Iterable

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from arithmetic.errors import ChorusError
from arithmetic.layout import VectorSpec
from privacy.terms import PrivacyMode
from secagg.errors import CohortTooSmall
from secagg.params import SecAggParams
from strategies.chronicle import Chronicle
from strategies.cohort import Attendance, FixedCohort
from strategies.course import SessionReport
from strategies.decoding import decoder_of
from strategies.errors import LinkLost, StrategyNotSupported
from strategies.events import Emit, silent
from strategies.gradient_step import job_of, origin_of
from strategies.groups import Groups, Membership, RoundTotal
from strategies.numbering import Judge, Numbered
from strategies.outcome import evaluation_of
from strategies.records import ndarrays_of, one_request, record_of
from strategies.reports import Reports
from strategies.settings import Settings
from strategies.snapshot import Keep, Snapshot, check_kept, put_state, state_of
from strategies.stopping import Stopping
from strategies.supported import check_supported
from wire.records import MODEL_KEY, pack_arrays
from wire.rounds import Purpose
from wire.scalars import ScalarLayout
from wire.settings import agreed_record, layout_digest


class SecureAggregation(Strategy):
    """Secure aggregation around any Flower strategy that needs only the mean.

    Args:
        inner: FedAvg, FedProx, FedAdam, FedAvgM, FedYogi, FedAdagrad, or one the caller vouches for.
        spec: layout of the model's arrays.
        settings: how sessions are run.
        metrics: names of the task's metrics, averaged over evaluation examples.
        emit: receives events; ids and counts only.
        mean_only: the caller vouches that `inner` needs only the mean.
        keep: receives a snapshot before the first server round and after each; `chronicle` what is on record.
        stopping: when the run ends early; by default never.

    Raises:
        StrategyNotSupported: `inner` needs single updates, or snapshots are kept and its state is not known.
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
        keep: Keep | None = None,
        chronicle: Chronicle | None = None,
        stopping: Stopping | None = None,
    ) -> None:
        check_supported(inner, mean_only)
        if keep is not None:
            check_kept(inner)
        self.inner, self.spec, self.settings, self.metrics = inner, spec, settings, metrics
        self._stopping = stopping or Stopping()
        self.emit = emit = self._stopping.listening(emit)
        self.keep, self.chronicle = keep, chronicle or Chronicle()
        self._decoder = decoder_of(settings)
        self.aggregated: list[int] = []
        self._done = self.asked = 0
        self._model: ArrayRecord | None = None
        self._groups: Groups | None = None
        self._membership = Membership(settings.groups)
        self._attendance = Attendance(settings, emit)
        self._planned: dict[Purpose, int] = {}
        self._mean: RecordDict | None = None
        self._evaluated: MetricRecord | None = None
        self._reports = Reports(emit)
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
            Stopped: the run ends before this server round.
            CohortIncomplete: the whole cohort never was there; later absences only fail their server round.
            StrategyNotSupported, LinkLost: the inner strategy treats clients unlike; the SuperLink stayed away.
        """
        self._stopping.check(server_round, self.asked + 1)
        self._mean = self._evaluated = None
        self._model, self.asked = arrays, self.asked + 1
        try:
            cohort = FixedCohort(grid, self._attendance.nodes(grid))
            asked = list(self.inner.configure_train(server_round, arrays, config, cohort))
            nodes, chosen = one_request(asked, arrays)
            self._train(grid, nodes, arrays, chosen, server_round)
        except (StrategyNotSupported, LinkLost):
            raise
        except ChorusError as error:
            if not self._attendance.known:
                raise
            self._reports.failed(server_round, Purpose.TRAINING, error)
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Hand the mean to the inner strategy as one reply; (None, None) keeps the model when the session
        failed. What came of it is kept.
        """
        arrays, metrics = self._applied(server_round)
        before = self._model
        if arrays is not None:
            self._model = arrays
        self.chronicle.round_ended(server_round, before, self._model)
        self._snapshot(server_round)
        return arrays, metrics

    def _applied(self, server_round: int) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The inner strategy's new model; None where there is none."""
        if self._mean is None:
            return None, None
        reply = Message(self._mean, 1, MessageType.TRAIN)
        self._mean = None
        try:
            arrays, metrics = self.inner.aggregate_train(server_round, [reply])
            if arrays is None:
                return None, metrics
            model = record_of(self.spec.conform(ndarrays_of(arrays)))
        except ChorusError as error:
            self._reports.failed(server_round, Purpose.TRAINING, error)
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
        evaluate_fn: Judge | None = None,
    ) -> Result:
        """Flower's loop, then one evaluation-only session; after `restore` it goes on where the snapshot was taken.

        In the result, `evaluate_metrics_clientapp[r]` judges the model after server round r; 0 is the
        initial model.

        Raises:
            NothingAggregated: every server round failed.
        """
        done, self._done, self._model = self._done, 0, initial_arrays
        self.aggregated = self.aggregated if done else []
        self._snapshot(done)
        config = ConfigRecord() if train_config is None else train_config
        result = Numbered(self, done).go_on(
            grid, initial_arrays, num_rounds, timeout, config, evaluate_config,
            self._reports.watching(evaluate_fn),
        )  # fmt: skip
        last = self._stopping.last_of(num_rounds)
        if not self.aggregated:
            raise self._reports.nothing_aggregated(num_rounds)
        if self.settings.privacy.mode is not PrivacyMode.NONE:
            return result  # a metric of the clients' data is a release of its own, and none is made
        incoming = result.evaluate_metrics_clientapp
        result.evaluate_metrics_clientapp = {r - 1: found for r, found in incoming.items()}
        final = self.evaluate(grid, result.arrays, config, last + 1)
        result.evaluate_metrics_clientapp |= {} if final is None else {last: final}
        return result

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot: the next `start`, which is given its model, begins after its server round.

        Raises:
            StrategyNotSupported: it was taken around another inner strategy.
        """
        put_state(self.inner, snapshot.inner)
        self._decoder.adapt_to(snapshot.adapted)
        self._membership.restore(snapshot.group_of)
        self._attendance.once_whole = bool(snapshot.planned)
        self._planned = dict(snapshot.planned)
        self._done, self.aggregated = snapshot.server_round, list(snapshot.aggregated)
        # The server round that the run died in may have been charged to its clients.
        self.asked = snapshot.asked + 1

    def _snapshot(self, server_round: int) -> None:
        if self.keep is not None and self._model is not None:
            self.keep(Snapshot(
                server_round, ndarrays_of(self._model), state_of(self.inner), self._decoder.adapted,
                tuple(self.aggregated), dict(self._planned), self._membership.group_of, self.asked,
            ))  # fmt: skip

    def evaluate(
        self, grid: Grid, arrays: ArrayRecord, config: ConfigRecord, server_round: int
    ) -> MetricRecord | None:
        """An evaluation-only session of the whole cohort; None when it failed."""
        purpose = Purpose.EVALUATION
        try:
            nodes = self._attendance.nodes(grid)
            total, params = self._sum(grid, nodes, arrays, config, server_round, purpose)
            named, _ = self._layout(purpose).decode(total.scalars, params.cohort)
            found = evaluation_of(named, self.metrics)
        except ChorusError as error:
            self._reports.failed(server_round, purpose, error)
            return None
        finally:
            self.chronicle.round_ended(server_round, arrays, arrays)
        self._reports.finished(server_round, purpose, total, found, {})
        return MetricRecord(dict(found))

    def _train(
        self, grid: Grid, nodes: list[int], arrays: ArrayRecord, config: ConfigRecord, server_round: int
    ) -> None:
        """One training session: keep the mean for `aggregate_train`, metrics for `aggregate_evaluate`."""
        purpose = Purpose.TRAINING
        total, params = self._sum(grid, nodes, arrays, config, server_round, purpose)
        named, integers = self._layout(purpose).decode(total.scalars, params.cohort)
        mean = self._decoder.mean(total, named, np.array(integers, dtype=np.float64), params)
        model = self.spec.apply_mean(origin_of(self.inner, ndarrays_of(arrays)), mean.update, mean.integers)
        weighted_by = str(getattr(self.inner, "weighted_by_key", "num-examples"))
        losses = {} if mean.train_loss is None else {"train_loss": mean.train_loss}
        record = MetricRecord({**losses, weighted_by: mean.weight})
        self._mean = RecordDict({MODEL_KEY: record_of(model), "metrics": record})
        found = evaluation_of(named, self.metrics)
        self._evaluated = MetricRecord(dict(found))
        self._reports.finished(server_round, purpose, total, found, mean.fields)

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
            self._groups = Groups(grid, self.settings, self.emit, self.chronicle)
        members = self._membership.split(nodes)
        largest = max(map(len, members))
        if largest < self.settings.min_cohort:
            raise CohortTooSmall("are in the largest group", largest, self.settings.min_cohort)
        params, layout = self._params(purpose, largest), self._layout(purpose)

        def accept(report: SessionReport) -> None:
            sums, _ = layout.decode([report.unmasked.total.scalars], params.cohort)
            self._decoder.check(purpose, sums, len(report.unmasked.survivors), params)

        digest, travelling = layout_digest(self.spec, layout), self._decoder.travelling
        agreed = agreed_record(config, purpose, job_of(self.inner), digest, travelling)
        model = pack_arrays(ndarrays_of(arrays))
        total = self._groups.run(params, members, model, agreed, server_round, purpose, accept)
        return total, params

    def _layout(self, purpose: Purpose) -> ScalarLayout:
        adaptive = self.settings.privacy.clipping_quantile > 0
        return ScalarLayout.of(purpose, self.metrics, self.spec.integer_length, adaptive)

    def _params(self, purpose: Purpose, cohort: int) -> SecAggParams:
        tensor = self.spec.tensor_length if purpose is Purpose.TRAINING else 0
        seen = self._planned[purpose] = max(self._planned.get(purpose, 0), cohort)
        # Whoever came back to a group that was filled up meanwhile must not raise the others' threshold for good.
        planned = min(seen, self.settings.group_size)
        return self.settings.params(cohort, tensor, self._layout(purpose).length, planned)
