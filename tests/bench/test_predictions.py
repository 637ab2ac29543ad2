"""`bench/predictions.py` in quick mode: every line has its shape. No time is looked at."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bench.predictions
from bench.predictions_link import why_not
from bench.predictions_networks import MOST, NAMES, Case, _network, case_of, read
from bench.predictions_ours import Timed, Traffic
from bench.predictions_peers import Asked, Measured, Peer, measured
from tests.support.launched import ROOT

FIGURES = [
    "preparation counted",
    "online alone",
    "largest error of a logit",
    "sent by all",
    "exchanges one after the other",
]
SLOW = [f"20 ms and 100 Mbit/s, {what}" for what in FIGURES[:2]]
# A peer that answers with half the first input's value, and dies after the cases of network A.
SCRIPT = """
import json, pathlib, sys
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
for case in job["cases"]:
    if case["network"] != "A":
        raise SystemExit("no such network")
    assert pathlib.Path(job["folder"], "A.safetensors").exists()
    assert job["networks"]["A"][0]["kind"] == "flatten"
    print("something else")
    print(json.dumps({"peer": "Half", "network": "A", "batch": case["batch"], "seconds": [0.5] * case["repeats"],
                      "error": 0.25, "bytes": 1000.0, "exchanges": 7}))
"""


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of("A")


def _rows(*options: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.predictions", "--quick", "--json", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_a_quick_run_ends_with_one_object_a_line() -> None:
    rows = _rows("--case", "A", "--no-peers", "--no-link")
    assert [row["case"] for row in rows] == [f"A, batch of {n}, {what}" for n in (1, 4) for what in FIGURES]
    for row in rows:
        assert list(row) == ["case", "ours", "peer", "unit"]
        assert row["ours"] > 0
        assert row["peer"] is None
        if "error" in row["case"]:
            assert row["ours"] <= 0.002


@pytest.mark.nightly
def test_every_network_is_measured_and_over_a_slow_link() -> None:
    if reason := why_not():
        pytest.skip(reason)
    rows = {row["case"]: row["ours"] for row in _rows("--no-peers")}
    assert list(rows) == [
        f"{name}, batch of {n}, {what}" for name in NAMES for n in (1, 4) for what in [*FIGURES, *SLOW]
    ]
    for name in NAMES:
        # Nine exchanges and a client's two round trips, and no less than that.
        assert rows[f"{name}, batch of 1, {SLOW[1]}"] > 0.02 * (rows[f"{name}, batch of 1, {FIGURES[4]}"] + 4)


def test_the_networks_are_what_they_are_called() -> None:
    kinds = {name: " ".join(type(layer).__name__ for layer in _network(name)) for name in NAMES}
    assert kinds == {
        "A": "Flatten Linear ReLU Linear ReLU Linear",
        "B": "Conv2d MaxPool2d ReLU Conv2d MaxPool2d ReLU Flatten Linear ReLU Linear",
        "Bavg": "Conv2d ReLU AvgPool2d Conv2d ReLU AvgPool2d Flatten Linear ReLU Linear",
    }


def test_a_network_reads_back_as_written(case: Case, tmp_path: Path) -> None:
    assert case.inputs.shape == (MOST, 1, 28, 28)
    assert [layer["kind"] for layer in case.layers] == ["flatten", *["linear", "relu"] * 2, "linear"]
    assert float(case.logits.abs().max()) > 1  # trained: of a usual size
    case.write(tmp_path)
    assert torch.equal(read(tmp_path, "A").logits, case.logits)


def _peer(folder: Path) -> Peer:
    (folder / "half.py").write_text(SCRIPT)
    return Peer("half", "half", str(folder / "half.py"), (("--no-index", "no-such-package-anywhere"),))


def test_what_a_peer_says_is_taken_up_to_where_it_fails(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.predictions_peers, "peers", lambda: (_peer(tmp_path),))
    monkeypatch.setattr(Peer, "python", Path(sys.executable))
    case.write(tmp_path)
    asked = [Asked("A", 1, 2), Asked("A", 32, 1), Asked("B", 1, 1)]
    found = measured(tmp_path, asked, {"A": case.layers}, make=False)
    assert [(one.peer, one.batch, one.seconds) for one in found] == [
        ("Half", 1, (0.5, 0.5)),
        ("Half", 32, (0.5,)),
    ]
    assert "half failed: no such network" in capsys.readouterr().err


def test_a_peer_that_is_not_here_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.predictions_peers, "peers", lambda: (_peer(tmp_path),))
    monkeypatch.setattr(bench.predictions_peers, "ENVIRONMENTS", tmp_path / "peers")
    assert measured(tmp_path, [], {}, make=False) == []
    assert "no half" in capsys.readouterr().err


@pytest.mark.slow
def test_an_environment_that_could_not_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.predictions_peers, "peers", lambda: (_peer(tmp_path),))
    monkeypatch.setattr(bench.predictions_peers, "ENVIRONMENTS", tmp_path / "peers")
    assert measured(tmp_path, [], {}, make=True) == []
    assert "it does not install here" in capsys.readouterr().err
    assert not (tmp_path / "peers" / "half").exists()


def test_the_peer_of_a_row_is_the_fastest_of_all() -> None:
    ours, moved = Timed((0.2, 0.1, 0.3), 0.001, 500_000, 9.0), Traffic(9, 250_000, 250_000)
    peers = [
        Measured("slow", "A", 1, (4.0, 3.0), 0.5, 2_000_000, 20),
        Measured("fast", "A", 1, (2.5, 1.0), 0.25, 9_000_000, 30),
    ]
    rows = list(bench.predictions._rows(("A", 1), ours, ours, moved, peers))
    assert [(row.ours, row.peer) for row in rows] == [
        (0.1, 1.0),
        (0.1, 1.0),
        (0.001, 0.25),
        (1.0, 9.0),
        (9, 30),
    ]
    assert all(name in rows[0].note for name in ("slow 3", "fast 1", "median 0.2"))
    linked = list(bench.predictions._link_rows(("A", 1), (0.5, 0.25), peers))
    # The fast one sends more, and waits more often: 1 + 30 * 0.02 + 9 MB / 3 / 12.5 MB/s.
    assert [(row.ours, row.peer) for row in linked] == [
        (0.5, pytest.approx(1.84)),
        (0.25, pytest.approx(1.84)),
    ]


def test_without_the_files_of_mnist_nothing_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.predictions_mnist", "--data-path", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    assert done.stdout == ""
    assert "no MNIST files" in done.stderr
