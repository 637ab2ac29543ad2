"""Waiting for the cohort, with a deadline of our own that names who is missing.

Decides: when to give up. Flower's own sampling waits for ever. Refuses to know: what the nodes will do.
"""

import time
from collections.abc import Iterable

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from strategies.errors import CohortIncomplete, StrategyNotSupported
from strategies.events import Emit, silent
from strategies.link import Link
from strategies.settings import Settings

_LOOK_INTERVAL = 0.2
_MOST_LOOKS = 3
_PATIENCE = 2.0  # seconds after which whoever watches is told that nodes are waited for


def await_cohort(
    grid: Grid, size: int, deadline: float, known: frozenset[int] = frozenset(), emit: Emit = silent
) -> list[int]:
    """The ids of all connected nodes, once there are at least `size`; ascending.

    Args:
        grid: Flower's grid.
        size: nodes to wait for.
        deadline: seconds on the monotonic clock; time in which the SuperLink was away does not count.
        known: nodes seen earlier in the run; whoever of them is away is named.
        emit: receives `link_lost`, `link_back`, and `cohort_waiting` when the number of nodes is another.

    Raises:
        CohortIncomplete: the deadline passed.
        LinkLost: the SuperLink stayed away.
    """
    link, began, told = Link(grid, emit), time.monotonic(), -1
    end = began + deadline
    while True:
        nodes = sorted(link.nodes())
        if len(nodes) >= size:
            return nodes
        if len(nodes) != told and time.monotonic() - began > _PATIENCE:
            told, left = len(nodes), end + link.away - time.monotonic()
            emit("cohort_waiting", connected=told, wanted=size, seconds_left=round(max(left, 0.0)))
        if time.monotonic() >= end + link.away:
            break
        time.sleep(min(_LOOK_INTERVAL, deadline))
    away = ", ".join(map(str, sorted(known - set(nodes)))) or f"{size - len(nodes)} that never connected"
    here = ", ".join(map(str, nodes)) or "none"
    raise CohortIncomplete(
        f"{len(nodes)} of {size} nodes connected in {deadline:g} s (here: {here}; missing: {away}). Start the "
        f"missing nodes or lower `clients`; simulated: --federation-config num-supernodes={size}"
    )


class Attendance:
    """Who takes part: the whole cohort at first; later whoever is there, as long as the session can succeed.

    Attributes:
        known: the first cohort; empty before there was one.
        once_whole: there was one before the run was resumed; the cohort may then begin incomplete.
    """

    def __init__(self, settings: Settings, emit: Emit) -> None:
        self.known: frozenset[int] = frozenset()
        self.once_whole = False
        self._settings = settings
        self._emit = emit

    def nodes(self, grid: Grid) -> list[int]:
        """The nodes of this server round, ascending.

        Raises:
            CohortIncomplete: too few came before the deadline.
        """
        settings, deadline = self._settings, self._settings.cohort_deadline
        least = min(settings.groups * settings.least, settings.cohort)
        if self.known:
            return await_cohort(grid, least, deadline, self.known, self._emit)
        try:
            nodes = await_cohort(grid, settings.cohort, deadline, emit=self._emit)
        except CohortIncomplete:
            if not self.once_whole:
                raise
            nodes = await_cohort(grid, least, 0.0)
        self._emit("cohort_ready", nodes=nodes)
        self.known = frozenset(nodes)
        return nodes


class FixedCohort(Grid):
    """The grid as an inner strategy may see it: the nodes that were awaited, and nothing to send through.

    Flower's sampling asks for the nodes over and over until there are enough; here it is told once more, and then
    that no more will come.
    """

    def __init__(self, grid: Grid, nodes: list[int]) -> None:
        self._grid = grid
        self._nodes = nodes
        self._looks = 0

    def get_node_ids(self) -> Iterable[int]:
        """The nodes awaited.

        Raises:
            CohortIncomplete: asked more often than any sampling that is content with them asks.
        """
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            raise CohortIncomplete(
                f"the inner strategy waits for more than the {len(self._nodes)} nodes that are connected; lower its "
                "min_available_nodes or min_train_nodes"
            )
        return list(self._nodes)

    @property
    def run(self) -> Run:
        """The run of the real grid."""
        return self._grid.run

    def set_run(self, run: Run) -> None:
        """Passed on."""
        self._grid.set_run(run)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Passed on."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Refused: an inner strategy that talks to clients on its own would see single replies."""
        raise StrategyNotSupported(
            "the inner strategy talks to clients on its own; only the mean is to be had"
        )

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Refused, as `push_messages`."""
        raise StrategyNotSupported(
            "the inner strategy talks to clients on its own; only the mean is to be had"
        )

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Refused, as `push_messages`."""
        raise StrategyNotSupported(
            "the inner strategy talks to clients on its own; only the mean is to be had"
        )
