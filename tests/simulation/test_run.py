"""`scripts/run` as a user sees it: what is printed, what is left, what is not left."""

import json
import tomllib
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from app.run_directory import read_lines
from tests.support.launched import Finished, run

pytestmark = pytest.mark.simulation


def test_a_run_with_drops_ends_well(dropped_run: Finished) -> None:
    assert dropped_run.exit_code == 0, dropped_run.errors
    lines = [line for line in dropped_run.output.splitlines() if line.startswith("round")]
    assert [line.split()[1] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert "keys 10  shares 10  masked 7  unmasked 7" in lines[1]
    assert all("masked 10  unmasked 10" in line for line in (lines[0], lines[2], lines[3]))
    assert "4 of 4 rounds aggregated" in dropped_run.output
    assert "final model" in dropped_run.output
    assert "Traceback" not in dropped_run.output + dropped_run.errors


def test_it_leaves_a_run_directory(dropped_run: Finished) -> None:
    names = {path.name for path in dropped_run.directory.iterdir()}
    assert names >= {"config.toml", "metrics.jsonl", "events.jsonl", "model.safetensors", "superlink.log"}
    assert names >= {"report.html", "MODEL_CARD.md"}
    assert f"report: {dropped_run.directory}/report.html" in dropped_run.output
    assert "masks were removed: 3" in (dropped_run.directory / "report.html").read_text()
    config = tomllib.loads((dropped_run.directory / "config.toml").read_text())
    assert config["rounds"] == 4
    model = load_file(dropped_run.directory / "model.safetensors")
    assert sum(array.size for array in model.values()) == 10_026


def test_metrics_improve_and_are_the_cohorts(dropped_run: Finished) -> None:
    metrics = list(read_lines(dropped_run.directory / "metrics.jsonl"))
    assert [line["purpose"] for line in metrics] == ["training"] * 4 + ["evaluation"]
    assert metrics[0]["accuracy"] < 0.3 < 0.85 < metrics[-1]["accuracy"]
    assert metrics[-1]["central_accuracy"] > 0.9


def test_a_steady_round_is_three_trips(dropped_run: Finished) -> None:
    """From the second session on, r0 asks only clients whose keys did not ride on an r4."""
    asked = [
        line["asked"]
        for line in read_lines(dropped_run.directory / "events.jsonl")
        if line["event"] == "protocol_round" and line["protocol_round"] == "r0"
    ]
    assert asked == [10, 0, 3, 0, 0]


def test_events_hold_ids_and_counts_only(dropped_run: Finished) -> None:
    text = (dropped_run.directory / "events.jsonl").read_text()
    names = {json.loads(line)["event"] for line in text.splitlines()}
    assert names == {
        "run_started", "run_expected", "cohort_ready", "session_opened", "protocol_round_underway", "protocol_round",
        "round_finished", "run_finished",
    }  # fmt: skip
    long_numbers = [word for word in text.replace('"', " ").split() if len(word) > 66]
    assert not long_numbers


def test_groups_hold_their_sessions_side_by_side_in_a_real_run(tmp_path: Path) -> None:
    settings = ["-c", "clients=12", "-c", "groups=3", "-c", "rounds=3", "--drop", "2@r2:round2"]
    finished = run(["scripts/run", *settings], tmp_path)
    assert finished.exit_code == 0, finished.output
    assert "12 clients in 3 groups, threshold 3" in finished.output
    rounds = list(read_lines(finished.directory / "metrics.jsonl"))
    counts = [each["masked"] for each in rounds if each["purpose"] == "training"]
    # Two of one group leave it too few: then all four of it are out, and the others' sum stands.
    assert counts[0] == counts[2] == 12
    assert counts[1] in (8, 10)
