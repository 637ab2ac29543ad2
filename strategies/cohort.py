"""Waiting for the cohort, with a deadline of our own that names who is missing.

Decides: when to give up. Flower's own sampling waits for ever. Refuses to know: what the nodes will do.
"""

import time

from flwr.serverapp import Grid

from strategies.errors import CohortIncomplete

_LOOK_INTERVAL = 0.2


def await_cohort(grid: Grid, size: int, deadline: float, known: frozenset[int] = frozenset()) -> list[int]:
    """The ids of all connected nodes, once there are at least `size`; ascending.

    Args:
        grid: Flower's grid.
        size: nodes to wait for.
        deadline: seconds on the monotonic clock.
        known: nodes seen earlier in the run; whoever of them is away is named.

    Raises:
        CohortIncomplete: the deadline passed.
    """
    end = time.monotonic() + deadline
    while True:
        nodes = sorted(grid.get_node_ids())
        if len(nodes) >= size:
            return nodes
        if time.monotonic() >= end:
            break
        time.sleep(min(_LOOK_INTERVAL, deadline))
    away = ", ".join(map(str, sorted(known - set(nodes)))) or f"{size - len(nodes)} that never connected"
    here = ", ".join(map(str, nodes)) or "none"
    raise CohortIncomplete(
        f"{len(nodes)} of {size} nodes connected in {deadline:g} s (here: {here}; missing: {away}). Start the "
        f"missing nodes or lower `clients`; simulated: --federation-config num-supernodes={size}"
    )
