"""`bench/dp_training.py` in its quick mode: every line has its shape. No time is looked at."""

import json
import subprocess
import sys

import pytest

from tests.support.launched import ROOT


@pytest.mark.nightly
def test_a_quick_run_ends_with_one_object_a_line() -> None:
    command = [sys.executable, "-m", "bench.dp_training", "--quick", "--json", "--model", "digits"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["unit"] for row in rows] == (["s"] * 3 + ["MB"] * 3 if sys.platform == "linux" else ["s"] * 3)
    for row in rows:
        assert list(row) == ["case", "ours", "peer", "unit"]
        assert row["ours"] > 0
        assert row["peer"] > 0
    assert [row["case"].split()[-1] for row in rows[:3]] == ["plain", "hooks", "ghost"]
