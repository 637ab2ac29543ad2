"""`python -m tests.simulation`, as whoever looks into a seed types it."""

import json
from pathlib import Path

import pytest

from tests.simulation import __main__ as command
from tests.simulator.invariants import Violation
from tests.simulator.world import World


def test_one_seed_is_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.replay(7) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "clients," in lines[0]
    assert any(" r4 closes with " in line for line in lines)
    assert lines[-1].endswith("checks held")


def test_many_seeds_leave_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "LOG", tmp_path / "log.json")
    assert command.many(range(10, 30), 1, log=True) == 0
    kept = json.loads((tmp_path / "log.json").read_text())
    assert (kept["seeds"], kept["violations"]) == (20, {})
    assert kept["sums"] <= kept["sessions"]
    assert "20 seeds" in capsys.readouterr().out


def test_what_does_not_hold_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(world: World) -> None:
        raise Violation("I4: a wrong sum")

    monkeypatch.setattr(World, "play", broken)
    assert command.replay(7) == 1
    assert "VIOLATION  I4: a wrong sum" in capsys.readouterr().out
