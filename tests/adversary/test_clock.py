"""Row 84 of the bad inputs: a clock that jumps by a day, either way, changes nothing: deadlines are monotonic."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.simulated_roster import lay_identities
from tests.support.run import Trial

DAY = 86_400.0
JUMPS = {
    "forward": [0.0, DAY],
    "back": [DAY, 0.0],
    "to and fro": [0.0, DAY, -DAY],
    "back to 1970": [0.0, -2e9],
}


def jumping(offsets: list[float]) -> Callable[[], float]:
    """A wall clock that jumps at every look."""
    honest, at = time.time, itertools.cycle(offsets)
    return lambda: honest() + next(at)


@pytest.mark.parametrize("offsets", JUMPS.values(), ids=list(JUMPS))
@pytest.mark.parametrize("active", [False, True], ids=["curious", "active"])
def test_the_session_completes(
    offsets: list[float], active: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roster = {"run-dir": str(tmp_path), **lay_identities(tmp_path, 5)} if active else {}
    trial = Trial({"rounds": 2, "round-deadline": 5.0} | roster)
    monkeypatch.setattr(time, "time", jumping(offsets))
    trial.start()
    trips = trial.trips(1) + trial.trips(2)
    assert len(trips) == 2 * (5 if active else 4)
    assert all(trip["answered"] == 5 and not trip["refused"] for trip in trips)


def test_a_deadline_passes_though_the_clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers; with the wall clock stopped the protocol round ends all the same."""
    trial = Trial({"round-deadline": 0.2})
    trial.grid.before = lambda message: None
    frozen = time.time()
    monkeypatch.setattr(time, "time", lambda: frozen)
    assert trial.session() is None
    assert trial.named("round_failed")[0]["code"] == "QUORUM"
