"""One server round over ten thousand clients in groups: exact sum, wall time, the server's own memory.

Decides: the sizes, and that a wrong sum ends the run. The server's side is `strategies.groups`, unchanged.
Refuses to know: how clients answer (`bench.population`).
"""

import os
import time
from collections.abc import Iterator

import numpy as np
from flwr.app import ConfigRecord

from bench.population import PopulationGrid, contribution
from bench.report import Row
from bench.separate import peak_megabytes
from strategies.groups import Groups, Membership, RoundTotal
from strategies.settings import Deadlines, Settings
from wire.records import config_digest, model_digest, pack_arrays
from wire.rounds import Purpose

DROP = 0.05
GROUP = 100
AT_ONCE = 4


def groups(quick: bool) -> Iterator[Row]:
    """10 % of the clients first, then all: the server's peak must not follow their number."""
    sizes, length = ((80, 160), 1_000) if quick else ((1_000, 10_000), 100_000)
    for clients in sizes:
        yield from _server_round(clients, 40 if quick else GROUP, length)


def _server_round(clients: int, group: int, length: int) -> Iterator[Row]:
    """One server round of all groups, 5 % of those asked dropping at every protocol round."""
    model = pack_arrays({"weights": np.zeros(length, dtype=np.float32)})
    config = ConfigRecord({"bench": "groups"})
    settings = Settings(
        clients, groups=clients // group, groups_at_once=AT_ONCE,
        deadlines=Deadlines(training=600.0, protocol_round=600.0, poll_interval=0.05),
    )  # fmt: skip
    params = settings.params(settings.group_size, length, 8)
    digests = model_digest(model), config_digest(config)
    grid = PopulationGrid(clients, DROP, digests, workers=os.cpu_count() or 1)
    failed: list[int] = []

    def emit(event: str, **fields: object) -> None:
        if event == "group_failed":
            failed.append(int(str(fields["group"])) - 1)

    held = Groups(grid, settings, emit)
    members = Membership(settings.groups).split(grid.ids)
    try:
        started, processor = time.perf_counter(), time.process_time()
        total = held.run(params, members, model, config, 1, Purpose.TRAINING, lambda report: None)
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
    finally:
        grid.close()
    _check(total, grid.summed.difference(*(members[at] for at in failed)), length)
    what = f"n={clients} in groups of {group}, d={length}, {DROP:.0%} dropping at every protocol round"
    note = f"the exact sum of {total.survivors} clients in {len(total.scalars)} of {len(members)} groups"
    yield Row(f"server round, {what}", seconds, None, "s", note)
    yield Row(f"server's processor time, {what}", processor, None, "s")
    yield Row(
        f"server's peak, {what}",
        peak_megabytes(),
        None,
        "MB",
        "its whole process; the dropped answer with an error at once",
    )


def _check(total: RoundTotal, summed: set[int], length: int) -> None:
    expected = np.zeros(length, dtype=np.int64)
    for node in summed:
        expected += contribution(node, length)
    numbers = sum(int(scalars[0]) for scalars in total.scalars)
    exact = np.array_equal(total.tensor, expected) and numbers == sum(summed)
    if not exact or total.survivors != len(summed):
        raise SystemExit("the sum is wrong: no figure of this run may be believed")
