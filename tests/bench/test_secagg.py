"""`bench/secagg.py` in its quick mode: every case runs, every line has its shape. No time is looked at."""

import json
import subprocess
import sys

import pytest

from tests.support.launched import ROOT

ROWS = {"flower": 4, "large": 4, "sparse": 3, "active": 5, "bytes": 4, "primitives": 11}


@pytest.mark.parametrize("case", ROWS)
def test_a_quick_run_ends_with_one_object_a_line(case: str) -> None:
    command = [sys.executable, "-m", "bench.secagg", "--quick", "--json", "--case", case]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    printed = [line for line in done.stdout.splitlines() if line and not line.startswith("{")]
    assert len(rows) == len(printed) == ROWS[case]
    for row in rows:
        assert list(row) == ["case", "ours", "peer", "unit"]
        assert row["ours"] > 0
        assert row["peer"] is None or row["peer"] > 0
    if case == "flower":
        assert [row["case"].split()[0] for row in rows] == ["client", "server", "client", "server"]
