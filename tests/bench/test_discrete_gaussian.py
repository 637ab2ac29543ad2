"""`bench/discrete_gaussian.py` in its quick mode: one line per scale, in its shape. No time is looked at."""

import json
import subprocess
import sys

from tests.support.launched import ROOT


def test_a_quick_run_ends_with_one_object_per_scale() -> None:
    command = [sys.executable, "-m", "bench.discrete_gaussian", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["case"] for row in rows] == [f"draw sigma={sigma}" for sigma in ("1", "10", "1000", "100000")]
    assert all(row["unit"] == "ns" and row["ours"] > 0 and row["peer"] > 0 for row in rows)
