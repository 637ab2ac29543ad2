"""What is told of each server round, and what the central test set said of the model that goes into the next one.

Decides: that a model which cannot be judged is said to be so and costs the run nothing. Refuses to know: the test set,
and where events go.
"""

from collections.abc import Mapping

from flwr.app import ArrayRecord, MetricRecord

from arithmetic.errors import ChorusError
from strategies.errors import NothingAggregated
from strategies.events import Emit
from strategies.groups import RoundTotal
from strategies.numbering import Judge
from strategies.outcome import finished_fields
from wire.rounds import Purpose


class Reports:
    """Tells of server rounds.

    Attributes:
        central: the last verdict of the central test set; None where there was none.
    """

    def __init__(self, emit: Emit) -> None:
        self.central: MetricRecord | None = None
        self._last_failure = ""
        self._emit = emit

    def watching(self, judge: Judge | None) -> Judge | None:
        """`judge`, with its verdicts remembered."""
        return None if judge is None else lambda at, arrays: self._judged(judge, at, arrays)

    def _judged(self, judge: Judge, server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        try:
            self.central = judge(server_round, arrays)
        except ChorusError as error:  # a model that diverged is worth keeping, and worth saying so
            self.central = None
            self._emit("central_test_failed", server_round=server_round, code=error.code, reason=str(error))
        return self.central

    def finished(
        self,
        server_round: int,
        purpose: Purpose,
        total: RoundTotal,
        found: Mapping[str, float],
        trained: Mapping[str, int | float],
    ) -> None:
        """A session's sum was decoded."""
        fields = finished_fields(total, found, trained, self.central)
        self._emit("round_finished", server_round=server_round, purpose=purpose, **fields)

    def nothing_aggregated(self, rounds: int) -> NothingAggregated:
        """The error of a run in which every server round failed."""
        return NothingAggregated(
            f"none of {rounds} server rounds could be aggregated. The last reason: {self._last_failure}"
        )

    def failed(self, server_round: int, purpose: Purpose, error: ChorusError) -> None:
        """There is no sum, or no model from it."""
        self._last_failure = error.line
        self._emit(
            "round_failed", server_round=server_round, purpose=purpose, code=error.code, reason=str(error)
        )
