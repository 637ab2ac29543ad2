"""The shape of what bench/rounds.py prints; its figures are for a quiet machine and never tested."""

import json
import subprocess
import sys

import pytest

from bench.plain.account import PARTS, account_of
from tests.support.launched import ROOT


@pytest.mark.simulation
def test_quick_run_ends_with_one_object_a_case() -> None:
    command = [sys.executable, "bench/rounds.py", "--quick", "--only", "simulation", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    result = json.loads(last)
    assert list(result) == ["case", "ours", "peer", "unit"]
    assert (result["case"], result["unit"]) == ("simulation", "s")
    assert result["ours"] > 0
    assert result["peer"] > 0
    trips = [line.split()[0] for line in table if line.startswith("    ")]
    assert [trip for trip in trips if trip not in ("trip", "between")] == [
        "r1",
        "r2",
        "r4",
        "train",
        "evaluate",
    ]


def test_a_trip_is_split_along_the_client_that_was_done_last(tmp_path) -> None:  # noqa: ANN001
    events = [
        {"event": "trip", "time": 10.0, "server_round": 1, "trip": "evaluate", "seconds": 1.0},
        {"event": "trip", "time": 20.0, "server_round": 2, "trip": "evaluate", "seconds": 9.0},
        {"event": "run_finished", "accuracy": 0.5},
    ]
    quick = {"born": 11.5, "loading": 12.0, "loaded": 12.0, "start": 12.0, "end": 13.0, "spans": {}}
    slow = {
        "born": 13.0,
        "loading": 14.0,
        "loaded": 15.0,
        "start": 15.0,
        "end": 18.0,
        "spans": {"train": 2.0},
    }
    (tmp_path / "trips").mkdir()
    (tmp_path / "trips" / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (quick, slow)))
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    account = account_of(tmp_path)
    assert list(account.rounds) == [10.0]
    assert account.between == 1.0
    expected = {"wait": 2, "start": 1, "import": 1, "train": 2, "crypto": 0, "other": 1, "back": 2, "busy": 4}
    assert {part: account.parts["evaluate"][part] for part in PARTS} == expected
    assert sum(expected.values()) - expected["busy"] == account.trips["evaluate"]
