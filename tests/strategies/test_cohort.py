"""The wait for the cohort: who is missing is named when the deadline passes."""

import threading
import time

import pytest

from strategies import cohort
from strategies.cohort import await_cohort
from strategies.errors import CohortIncomplete, LinkLost
from strategies.link import Link
from tests.support.local_grid import LocalGrid
from tests.support.plain_app import app


@pytest.fixture
def grid() -> LocalGrid:
    return LocalGrid(app, 4, {})


def test_a_whole_cohort_is_there_at_once(grid: LocalGrid) -> None:
    started = time.monotonic()
    assert await_cohort(grid, 4, 60.0) == sorted(grid.ids)
    assert time.monotonic() - started < 20


def test_more_nodes_than_awaited_all_take_part(grid: LocalGrid) -> None:
    assert len(await_cohort(grid, 3, 0.1)) == 4


def test_the_late_are_waited_for(grid: LocalGrid) -> None:
    late = grid.ids[3]
    grid.online.discard(late)
    timer = threading.Timer(0.2, grid.online.add, [late])
    timer.start()
    assert late in await_cohort(grid, 4, 10.0)
    timer.join()


def test_the_deadline_holds_and_says_how_many_never_came(grid: LocalGrid) -> None:
    grid.online = set(grid.ids[:2])
    started = time.monotonic()
    with pytest.raises(CohortIncomplete) as caught:
        await_cohort(grid, 4, 0.3)
    assert 0.3 <= time.monotonic() - started < 20
    text = str(caught.value)
    assert "2 of 4 nodes connected in 0.3 s" in text
    assert "2 that never connected" in text
    assert "num-supernodes=4" in text
    assert "\n" not in text
    assert caught.value.code == "QUORUM"


def test_whoever_was_there_before_is_named(grid: LocalGrid) -> None:
    known = frozenset(grid.ids)
    grid.online = set(grid.ids[1:3])
    with pytest.raises(CohortIncomplete, match=f"missing: {grid.ids[0]}, {grid.ids[3]}"):
        await_cohort(grid, 4, 0.05, known)


def test_nobody_at_all(grid: LocalGrid) -> None:
    grid.online = set()
    with pytest.raises(CohortIncomplete, match="here: none"):
        await_cohort(grid, 4, 0.05)


class Slow(Link):
    """Comes back after a while, and answers then as the grid does; or never."""

    seconds = 0.5

    def nodes(self) -> list[int]:
        if self.seconds and not self.away:
            time.sleep(self.seconds)
            self.away += self.seconds + 1.0
        return super().nodes()


def test_the_wait_for_the_cohort_leaves_out_what_the_superlink_was_away(
    grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort, "Link", Slow)
    late = grid.ids[3]
    grid.online.discard(late)
    threading.Timer(0.8, grid.online.add, [late]).start()
    assert late in await_cohort(grid, 4, 0.2)


def test_a_superlink_that_stays_away_ends_the_wait(grid: LocalGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(grid, "get_node_ids", lambda: released.wait(30))
    monkeypatch.setattr(cohort, "Link", lambda *args: Link(*args, 0.3, 0.05))
    with pytest.raises(LinkLost):
        await_cohort(grid, 4, 60.0)
    released.set()
