"""What every command of `bench/` has in common: it starts by name and by path, and keeps no quick figures."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.report import Row, finish, machine
from tests.support.launched import ROOT

COMMANDS = sorted(
    path.stem
    for path in (ROOT / "bench").glob("*.py")
    if "options_of(" in path.read_text() and path.stem != "report"
)
ROWS = [
    Row("a time", 2.0, 6.0, "s"),
    Row("a rate", 8.0, 2.0, "MB/s"),
    Row("accuracy", 91.0, 90.5, "%"),
    Row("x", 1.0, None, "s"),
]


def options(**chosen: bool) -> argparse.Namespace:
    return argparse.Namespace(**({"quick": False, "json": False, "save": False} | chosen))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_starts_by_its_path(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / f"{name}.py"), "--help"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for option in ("--quick", "--json", "--save"):
        assert option in done.stdout


def test_ratios_say_how_many_times_better() -> None:
    assert [row.ratio for row in ROWS] == ["3x", "4x", "+0.50 points", ""]


def test_json_has_four_keys_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    finish("anything", iter(ROWS), options(json=True))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [list(line) for line in lines] == [["case", "ours", "peer", "unit"]] * 4


def test_quick_figures_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="not kept"):
        finish("anything", iter(ROWS), options(quick=True, save=True))
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    finish("anything", iter(ROWS), options(save=True))
    kept = json.loads((tmp_path / "anything.json").read_text())
    assert kept["machine"] == machine()
    assert len(kept["figures"]) == 4


def test_a_machine_is_known_by_its_kind_and_never_by_its_name() -> None:
    import platform

    assert "cores of" in machine()
    assert platform.node() not in machine()
