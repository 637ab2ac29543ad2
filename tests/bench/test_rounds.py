"""The shape of what bench/rounds.py prints; its figures are for a quiet machine and never tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.plain.account import PARTS, Account, account_of
from bench.rounds import table
from bench.rounds_picture import draw
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
    assert trips == [
        "trip",
        "r1",
        "r2",
        "r4",
        "server",
        "round",
        "trip",
        "train",
        "evaluate",
        "server",
        "round",
    ]


def _line(born: float, start: float, end: float, **spans: float) -> dict[str, object]:
    return {
        "born": born,
        "loading": born + 1,
        "loaded": start,
        "start": start,
        "end": end,
        "spans": spans,
        "cpu": 0.5,
    }


def _account(folder: Path, *processes: list[dict[str, object]]) -> Account:
    """Two server rounds of one trip; the second, of 9 seconds after 1 of the server's own, is the steady one."""
    events = [
        {"event": "trip", "time": 10.0, "server_round": 1, "trip": "evaluate", "seconds": 1.0},
        {"event": "trip", "time": 20.0, "server_round": 2, "trip": "evaluate", "seconds": 9.0},
        {"event": "run_finished", "accuracy": 0.5},
    ]
    (folder / "trips").mkdir()
    for number, lines in enumerate(processes):
        (folder / "trips" / f"{number}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return account_of(folder)


def _adds_up(account: Account) -> None:
    assert list(account.rounds) == [account.median] == [10.0]
    assert account.server == 1.0
    assert sum(account.trips[0].parts.values()) == account.trips[0].seconds == 9.0


def test_a_deployed_trip_is_split_along_the_process_that_was_done_last(tmp_path: Path) -> None:
    account = _account(tmp_path, [_line(11.5, 12.5, 13.0)], [_line(13.0, 15.0, 18.0, train=2.0)])
    _adds_up(account)
    assert account.trips[0].parts == dict.fromkeys(PARTS, 0) | {
        "poll": 2, "start": 1, "import": 1, "train": 2, "other": 1, "back": 2,
    }  # fmt: skip
    assert account.trips[0].cpu == 1.0


def test_a_simulated_trip_counts_every_client_of_the_process_that_was_done_last(tmp_path: Path) -> None:
    early = [_line(1.0, 5.0, 6.0), _line(1.0, 12.0, 13.0)]
    late = [_line(1.0, 12.0, 14.0, train=1.0), _line(1.0, 15.0, 19.0, train=2.0, crypto=1.0)]
    account = _account(tmp_path, early, late)
    _adds_up(account)
    assert account.trips[0].parts == dict.fromkeys(PARTS, 0) | {
        "poll": 1, "train": 3, "crypto": 1, "other": 2, "relay": 1, "back": 1,
    }  # fmt: skip
    assert account.trips[0].cpu == 1.5


def test_the_median_round_is_the_one_taken_apart(tmp_path: Path) -> None:
    ends = [0.0, 9.0, 10.0, 14.0, 16.0]  # steady rounds of 9, 1, 4 and 2 seconds: the lower median is 2
    trips = [
        {"event": "trip", "time": end, "server_round": at, "trip": "evaluate", "seconds": 1.0 if at else 0.0}
        for at, end in enumerate(ends)
    ]
    events = [*trips, {"event": "run_finished", "accuracy": 0.5}]
    (tmp_path / "trips").mkdir()
    (tmp_path / "trips" / "1.jsonl").write_text(json.dumps(_line(0.0, 15.5, 15.75)) + "\n")
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    account = account_of(tmp_path)
    assert (account.median, account.server) == (2.0, 1.0)
    assert account.trips[0].parts["poll"] == 0.5


def test_the_columns_of_the_table_add_up(tmp_path: Path) -> None:
    lines = table("secure", _account(tmp_path, [_line(13.0, 15.0, 18.0, train=2.0)]))
    *_, trip, server, total = ([float(cell) for cell in line.split()[1:]] for line in lines[2:])
    assert total[0] == trip[0] + server[0] == 10.0
    assert sum(trip[1:-1]) == trip[0]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    account = _account(tmp_path, [_line(13.0, 15.0, 18.0, train=2.0)])
    draw({"simulation": {"secure": account, "plain": account}}, tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").read_bytes()[:4] == b"\x89PNG"
