"""Analytics: one session a question, and nothing of it but the sums over all clients.

Decides: who takes part, that a session which gave no sum is held again where that costs no privacy, and which sums no
honest clients can have sent. Refuses to know: statistics, query files, and what a sum is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from flwr.app import ArrayRecord
from flwr.serverapp import Grid

from arithmetic.errors import ChorusError
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import CohortTooSmall
from secagg.params import SecAggParams
from strategies.chronicle import Chronicle
from strategies.cohort import Attendance
from strategies.course import SessionReport
from strategies.errors import LinkLost
from strategies.events import Emit
from strategies.groups import Groups, Membership, RoundTotal
from strategies.settings import Settings
from wire.inquiry import Inquiry
from wire.noise import plans_of, sum_plan
from wire.questions import Question, Summand
from wire.rounds import ProtocolRound, Purpose

_MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Sums:
    """What one session came to.

    Attributes:
        values: of each sum: exactly, or as a float where it came with noise.
        clients: in the sum.
    """

    values: Mapping[Summand, Fraction | float]
    clients: int


class Analytics:
    """Sessions that sum what is asked of the rows of tables.

    Args:
        grid: Flower's grid.
        settings: how sessions are run; their privacy terms go with every question.
        data_path: folder of the data where a node names none.
        seed: by which a table for all is dealt out to simulated clients.
        emit: receives events; ids and counts of clients only.
        chronicle: what goes on record.
    """

    def __init__(
        self,
        grid: Grid,
        settings: Settings,
        data_path: str,
        seed: int,
        emit: Emit,
        chronicle: Chronicle | None = None,
    ) -> None:
        settings.check_groups()
        self._grid, self._settings, self._emit = grid, settings, emit
        self._data_path, self._seed = data_path, seed
        self._chronicle = chronicle or Chronicle()
        self._groups = Groups(grid, settings, emit, self._chronicle)
        self._membership = Membership(settings.groups)
        self._attendance = Attendance(settings, emit)
        self._largest = settings.group_size
        self.server_round = 0

    @property
    def terms(self) -> PrivacyTerms:
        """What is asked in the way of differential privacy."""
        return self._settings.privacy

    @property
    def private(self) -> bool:
        """Whether sums come with noise."""
        return self._settings.privacy.mode is not PrivacyMode.NONE

    def params(self, question: Question, cohort: int = 0) -> SecAggParams:
        """Of each session; with noise the sums are its tensor part.

        Args:
            question: that is asked.
            cohort: clients of the largest group that are there now; 0: all that are waited for.

        Raises:
            ParameterError: they cannot work together, or leave no room for the noise.
        """
        tensor, scalars = (len(question.sums), 0) if self.private else (0, question.length)
        params = self._settings.params(cohort or self._largest, tensor, scalars, self._largest)
        if self.private:
            plans_of(self._settings.privacy, params, self._settings.max_examples)
        return params

    def ask(self, question: Question) -> Sums:
        """Hold a session; one that gave no sum is held again, unless clients may have been charged for it.

        Raises:
            CohortIncomplete: the clients were not there.
            ChorusError: no session gave a sum; the last reason.
        """
        attempts = 1 if self.private else _MOST_ATTEMPTS
        for attempt in range(attempts):
            nodes = self._attendance.nodes(self._grid)
            self.server_round += 1
            try:
                return self._session(question, nodes)
            except LinkLost:
                raise
            except ChorusError as error:
                self._emit(
                    "round_failed", server_round=self.server_round, purpose=Purpose.ANALYTICS, code=error.code,
                    reason=str(error),
                )  # fmt: skip
                if attempt == attempts - 1:
                    raise
            finally:
                self._chronicle.round_ended(self.server_round, ArrayRecord(), ArrayRecord())
        raise AssertionError("unreachable")

    def _session(self, question: Question, nodes: list[int]) -> Sums:
        settings = self._settings
        members = self._membership.split(nodes)
        largest = max(map(len, members))
        if largest < settings.min_cohort:
            raise CohortTooSmall("are in the largest group", largest, settings.min_cohort)
        params = self.params(question, largest)
        inquiry = Inquiry(question, self._data_path, self._seed, settings.max_examples, settings.privacy)
        counted: list[list[int]] = []

        def accept(report: SessionReport) -> None:
            if not self.private:
                survivors = len(report.unmasked.survivors)
                counted.append(question.decode(report.unmasked.total.scalars, survivors, params.cohort))

        total = self._groups.run(
            params, members, ArrayRecord(), inquiry.to_record(), self.server_round, Purpose.ANALYTICS, accept
        )
        self._tell(question, total)
        if self.private:
            return Sums(self._noisy(question, total, params), total.survivors)
        sums = [sum(column) for column in zip(*counted, strict=True)]
        exact = {each: question.exact(each, found) for each, found in zip(question.sums, sums, strict=True)}
        return Sums(exact, total.survivors)

    def _noisy(self, question: Question, total: RoundTotal, params: SecAggParams) -> dict[Summand, float]:
        """The noisy sums in the units of their columns."""
        plan = sum_plan(self._settings.privacy, params, self._settings.max_examples)
        found = {}
        for summand, value in zip(question.sums, total.tensor.tolist(), strict=True):
            found[summand] = value / plan.scale
            for column in summand.of:
                bounds = question.columns[column]
                found[summand] *= max(abs(bounds.low), abs(bounds.high))
        return found

    def _tell(self, question: Question, total: RoundTotal) -> None:
        self._emit(
            "question_answered", purpose=Purpose.ANALYTICS, server_round=self.server_round,
            sums=len(question.sums), clients=total.survivors,
            keys=total.completed[ProtocolRound.ADVERTISE_KEYS], shares=total.completed[ProtocolRound.SHARE_KEYS],
            masked=total.completed[ProtocolRound.MASKED_INPUT], unmasked=total.completed[ProtocolRound.UNMASKING],
            bytes_up=total.bytes_up, bytes_down=total.bytes_down, seconds=round(total.seconds, 3),
        )  # fmt: skip
