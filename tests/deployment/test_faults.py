"""The table of faults: a part of it played on a real deployment, and the written one kept equal to the one in code.

The whole of it: `python -m tests.deployment.faults`.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.plain.launched import ROOT
from tests.deployment.cells import NODES, ROUNDS, THRESHOLD, Cell, Killed, cells, table
from tests.deployment.faults import known_tree, play, settings, strike
from tests.deployment.stack import Stack, running
from tests.deployment.verdict import judge, whose


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with known_tree() as folder:
        yield folder


def test_the_written_table_is_the_one_that_is_played() -> None:
    written = (ROOT / "docs" / "faults.md").read_text().splitlines()
    start = written.index(table()[0])
    assert written[start : start + len(table())] == table()
    assert written[start + len(table())] == ""


def test_every_process_is_killed_in_every_protocol_round() -> None:
    assert {(cell.killed, cell.protocol_round) for cell in cells()} == set(itertools.product(Killed, ROUNDS))


def test_no_other_sum_passes_for_the_exact_one() -> None:
    for size in range(1, NODES + 1):
        for clients in itertools.combinations(range(NODES), size):
            total = sum(2**client for client in clients)
            mean = [2**client / total if client in clients else 0.0 for client in range(NODES)]
            assert whose(mean) == (set(clients) if size >= THRESHOLD else None)
            assert whose([2 * entry for entry in mean]) is None
            assert whose([mean[0] + 1e-4, *mean[1:]]) is None
    assert whose([0.0] * NODES) is None


@pytest.mark.deployment
@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("rounds", [("r2",), ("r1", "r2")], ids="-".join)
def test_a_superlink_killed_and_back_in_15_s_loses_no_round(
    rounds: tuple[str, ...], tree: Path, tmp_path: Path
) -> None:
    """Killed in r2, or in r1 of the same session as well: everybody is in the exact sum."""
    with running(Stack(tmp_path, NODES)) as stack:
        run = stack.submit(tree, settings(1))
        for protocol_round in rounds:
            last = Cell(Killed.SUPER_LINK, protocol_round, again=True)
            strike(last, stack, run)
        found = judge(last, stack, run, time.monotonic())
        assert not found.wrong, (found, run.events)
        trips = run.find("protocol_round", server_round=1)
        assert [trip["answered"] for trip in trips] == [NODES] * len(ROUNDS), trips


@pytest.mark.deployment
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["SuperExec-of-the-server@r0", pytest.param("ClientApp@r2", marks=pytest.mark.nightly)]
)
def test_a_cell_comes_as_the_table_predicts(name: str, tree: Path) -> None:
    (cell,) = (cell for cell in cells() if cell.name == name)
    found = play(cell, tree)
    assert not found.wrong, found
