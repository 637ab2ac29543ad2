"""One server round over several sessions side by side: who is in which group, and the sum of the groups' sums.

Decides: a client's group, once for all. (Were the groups dealt anew each server round or run, a number that a client
repeats, such as its count of examples, would follow from a few sums by linear algebra.) A group whose session fails, or
whose counters are false, costs its own clients the server round and nobody else.
Refuses to know: what is summed, and how a session goes (`session` drives each).
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid

from arithmetic.errors import ChorusError
from arithmetic.residues import Words, to_signed
from secagg.errors import CohortTooSmall
from secagg.params import SecAggParams
from secagg.primitives import digest
from strategies.chronicle import Chronicle
from strategies.course import SessionReport
from strategies.errors import LinkLost
from strategies.events import Emit
from strategies.session import SessionDriver
from strategies.settings import Settings
from wire.rounds import Purpose, Trip


@dataclass
class RoundTotal:
    """The sums of the groups that gave one, added up as they come: one vector is held, however many groups there are.

    Attributes:
        tensor: exact signed sum of the tensor parts, shape (d,).
        scalars: scalar part of each group's sum; their moduli leave room for one group, so they are added decoded.
        survivors: clients in the sum.
        completed: protocol round -> clients that completed it, over the groups in the sum.
        bytes_up: payload bytes received from the groups in the sum; `bytes_down` sent to them.
        seconds: wall time of the server round.
    """

    tensor: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    scalars: list[Words] = field(default_factory=list)
    survivors: int = 0
    completed: Counter[Trip] = field(default_factory=Counter)
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0

    def add(self, report: SessionReport, modulus_bits: int) -> None:
        """Take one group's sum."""
        total = report.unmasked.total
        signed = to_signed(total.tensor, modulus_bits)
        if self.scalars:
            self.tensor += signed
        else:
            self.tensor = signed
        self.scalars.append(total.scalars)
        self.survivors += len(report.unmasked.survivors)
        self.completed.update(report.completed)
        self.bytes_up, self.bytes_down = self.bytes_up + report.bytes_up, self.bytes_down + report.bytes_down


class Membership:
    """Which client is in which group, for as long as the object lives.

    The first cohort is cut by the order of a digest of the node ids: the same nodes fall into the same groups in every
    run. Whoever comes later joins the smallest group of those that are here.
    """

    def __init__(self, groups: int) -> None:
        self._group_of: dict[int, int] = {}
        self._groups = groups

    @property
    def group_of(self) -> dict[int, int]:
        """Node id -> group, of all that were ever seen."""
        return dict(self._group_of)

    def restore(self, group_of: Mapping[int, int]) -> None:
        """Put back what `group_of` gave, so that whoever comes again is where it was."""
        self._group_of = dict(group_of)

    def split(self, nodes: Iterable[int]) -> list[list[int]]:
        """The nodes of each group, ascending."""
        here = list(nodes)
        sizes = Counter(self._group_of[node] for node in here if node in self._group_of)
        for node in sorted((node for node in here if node not in self._group_of), key=_order):
            group = min(range(self._groups), key=lambda at: sizes[at])
            self._group_of[node] = group
            sizes[group] += 1
        members: list[list[int]] = [[] for _ in range(self._groups)]
        for node in sorted(here):
            members[self._group_of[node]].append(node)
        return members


def _order(node: int) -> bytes:
    return digest("group order", node.to_bytes(16, "big", signed=True))


class Groups:
    """The sessions of a run's groups, side by side.

    Args:
        grid: Flower's grid.
        settings: how many groups, how many of them at once, and the deadlines of each session.
        emit: receives events; every event of a session says of which group it is, from 1.
        chronicle: puts sessions on record; None: nothing does.
    """

    def __init__(
        self, grid: Grid, settings: Settings, emit: Emit, chronicle: Chronicle | None = None
    ) -> None:
        self.grid = grid
        cores = os.cpu_count() or 1
        self._at_once = min(settings.groups_at_once or 4 * cores, settings.groups)
        self._emit = _one_at_a_time(emit)
        self._stopped = threading.Event()
        workers = max(1, cores // self._at_once)
        self._drivers = [
            SessionDriver(
                grid,
                settings.deadlines,
                partial(self._emit, group=number),
                workers,
                settings.roster,
                chronicle or Chronicle(),
                stopped=self._stopped,
            )
            for number in range(1, settings.groups + 1)
        ]

    def run(
        self,
        params: SecAggParams,
        members: Sequence[Sequence[int]],
        model: ArrayRecord,
        config: ConfigRecord,
        server_round: int,
        purpose: Purpose,
        accept: Callable[[SessionReport], None],
    ) -> RoundTotal:
        """A session of every group, `groups_at_once` of them side by side.

        Args:
            params: of each session.
            members: the nodes of each group, from `Membership.split`.
            model: the packed global model.
            config: the training configuration, the same for every client.
            server_round: from 1.
            purpose: what is summed.
            accept: judges one group's sum before it joins the others'; raises a ChorusError to refuse it.

        Raises:
            ChorusError: no group gave a sum; one of the reasons.
            LinkLost: the SuperLink stayed away, whatever other groups gave.
        """
        started, total, adding = time.monotonic(), RoundTotal(), threading.Lock()

        def hold(group: int) -> ChorusError | None:
            driver, nodes = self._drivers[group], members[group]
            try:
                if len(nodes) < params.min_survivors:
                    raise CohortTooSmall("are connected", len(nodes), params.min_survivors)
                report = driver.run(params, nodes, model, config, server_round, purpose)
                accept(report)
            except LinkLost:
                raise  # no group can go on
            except ChorusError as error:
                return error
            with adding:
                total.add(report, params.modulus_bits)
            return None

        failures = self._held(hold)
        for group, error in failures.items() if len(members) > 1 else ():
            self._emit(
                "group_failed", server_round=server_round, purpose=purpose, group=group + 1, code=error.code,
                reason=str(error),
            )  # fmt: skip
        if len(failures) == len(members):
            raise next(iter(failures.values()))
        total.seconds = time.monotonic() - started
        return total

    def _held(self, hold: Callable[[int], ChorusError | None]) -> Mapping[int, ChorusError]:
        """Every group's session; which of them failed, and why."""
        groups = range(len(self._drivers))
        outcomes = [hold(group) for group in groups] if self._at_once == 1 else self._side_by_side(hold)
        return {group: error for group, error in zip(groups, outcomes, strict=True) if error is not None}

    def _side_by_side(self, hold: Callable[[int], ChorusError | None]) -> list[ChorusError | None]:
        """What is no failure of a group (an interrupt, a lost grid) ends them all at once, and the run."""
        self._stopped.clear()
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="group") as pool:
            try:
                held = [pool.submit(hold, group) for group in range(len(self._drivers))]
                for future in wait(held, return_when=FIRST_EXCEPTION).done:
                    future.result()
                return [future.result() for future in held]
            finally:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)


def _one_at_a_time(emit: Emit) -> Emit:
    """Events come from several threads; a run directory takes them one by one."""
    telling = threading.Lock()

    def tell(event: str, **fields: object) -> None:
        with telling:
            emit(event, **fields)

    return tell
