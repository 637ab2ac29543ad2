"""`bench/leakage.py` in its quick mode: every case runs, every line has its shape."""

import json
import subprocess
import sys

import pytest

from tests.support.launched import ROOT

ROWS = {"alive": 6, "late": 6, "broken": 8, "words": 11, "sweep": 4}


# What the others call, the tests of `tests/leakage` call as well.
OFTEN = {"late", "sweep"}


@pytest.mark.parametrize(
    "case", [case if case in OFTEN else pytest.param(case, marks=pytest.mark.nightly) for case in ROWS]
)
def test_a_quick_run_ends_with_one_object_a_line(case: str) -> None:
    command = [sys.executable, "-m", "bench.leakage", "--quick", "--json", "--case", case]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    printed = [line for line in done.stdout.splitlines() if line and not line.startswith("{")]
    assert len(rows) == len(printed) == ROWS[case]
    assert {row["unit"] for row in rows} <= {"area", "p", "seeds"}
    assert all(0 <= row["ours"] <= 1 and row["peer"] is None for row in rows)
