"""`bench/hospitals.py` in its quick mode: ring and masks agree, every line has its shape. No time is looked at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.ring_table import Table
from bench.hospitals import Compared
from bench.hospitals_picture import draw
from tests.support.launched import ROOT

COMPARED = Compared(
    Table("mse", (12, 30, 9), (5000.0, 3000.0, 9000.0), 2500.0), {"ring": 0.7, "masks": 0.3},
    {"ring": 0.05, "masks": 0.01},
)  # fmt: skip


@pytest.mark.simulation
def test_the_quick_command() -> None:
    command = [sys.executable, "-m", "bench.hospitals", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(rows) == 5 + 3
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
    assert len({row["ours"] for row in rows[:5]}) == 1
    assert [row["unit"] for row in rows[5:]] == ["s", "B", "s"]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw(COMPARED, tmp_path / "hospitals.png")
    assert (tmp_path / "hospitals.png").stat().st_size > 10_000
    assert (tmp_path / "hospitals.png").read_bytes().startswith(b"\x89PNG")


def test_the_kept_figures_are_those_of_the_page() -> None:
    """The page's table of times is the kept run's, rounded."""
    kept = json.loads((ROOT / "bench" / "results" / "hospitals.json").read_text())["figures"]
    page = (ROOT / "docs" / "paillier.md").read_text(encoding="utf-8")
    for name, times in (("a server round, five hospitals, simulated", "rounds"), ("the sum alone", "sums")):
        (line,) = (line for line in page.splitlines() if line.startswith(f"| {name}"))
        said = [float(cell.split()[0]) for cell in line.split("|")[2:4]]
        assert said == [pytest.approx(kept[times][way], rel=0.05) for way in ("ring", "masks")]
    assert all(f"{alone:.0f}" in page for alone in kept["table"]["alone"])
