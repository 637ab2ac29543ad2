"""The client's own log."""

import json
from pathlib import Path

import pytest

from clients.local_log import LocalLog


def test_a_simulated_client_writes_beside_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = LocalLog.of({"run-dir": str(tmp_path)}, {"partition-id": 3}, simulated=True)
    log.trained("training", 1, "cpu", 115, {})
    log.trained("training", 2, "cuda:0", 115, {"clipping": "ghost", "non_finite": 3})
    lines = [json.loads(line) for line in (tmp_path / "clients" / "3.jsonl").read_text().splitlines()]
    assert [(e["event"], e["server_round"], e["device"], e["examples"]) for e in lines] == [
        ("trained", 1, "cpu", 115), ("trained", 2, "cuda:0", 115),
    ]  # fmt: skip
    assert all(e["time"] > 1.6e9 for e in lines)
    assert [e.get("clipping") for e in lines] == [None, "ghost"]
    assert lines[1]["non_finite"] == 3
    # Ray would carry every word of a worker to the server's process.
    assert capsys.readouterr().out == ""


def test_a_simulated_evaluation_leaves_no_line(tmp_path: Path) -> None:
    LocalLog.of({"run-dir": str(tmp_path)}, {"partition-id": 0}, True).trained("evaluation", 4, "cpu", 9, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("run", "node"),
    [({}, {"partition-id": 0}), ({"run-dir": ""}, {"partition-id": 0}), ({"run-dir": 5}, {"partition-id": 0}),
     ({"run-dir": "/nonexistent/chorus"}, {"partition-id": 0}), ({"run-dir": "."}, {})],
)  # fmt: skip
def test_a_node_without_a_runs_folder_says_it_and_writes_no_file(
    run: dict[str, object], node: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    log = LocalLog.of(run, node, simulated=True)
    assert log.path is None
    log.trained("training", 1, "cpu", 115, {"clipping": "ghost", "non_finite": 0})
    log.trained("evaluation", 2, "cpu", 115, {})
    # Standard output may be collected by whoever runs the node's host: the count is not there.
    assert capsys.readouterr().out.splitlines() == [
        "chorus client: training in server round 1 on cpu, clipping ghost, non finite 0",
        "chorus client: evaluation in server round 2 on cpu",
    ]


def test_a_node_with_its_own_data_does_not_believe_the_runs_folder(tmp_path: Path) -> None:
    assert LocalLog.of({"run-dir": str(tmp_path)}, {"partition-id": 0}, simulated=False).path is None


def test_a_log_that_cannot_be_written_costs_only_the_log(tmp_path: Path) -> None:
    (tmp_path / "clients").write_text("in the way")
    LocalLog.of({"run-dir": str(tmp_path)}, {"partition-id": 0}, True).trained("training", 1, "cpu", 1, {})
    assert (tmp_path / "clients").read_text() == "in the way"


def test_what_a_client_measured_on_its_own_data_is_in_its_own_file_and_not_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = {"loss": 0.5, "accuracy": 0.75, "train_loss": 0.25}
    kept = LocalLog.of({}, {"client-log": str(tmp_path / "node" / "client.jsonl")}, simulated=False)
    for log in (kept, LocalLog(None)):
        log.trained("training", 1, "cpu", 8, {}, measured)
        log.trained("evaluation", 2, "cpu", 4, {}, {"loss": 0.4, "accuracy": 0.8})
    lines = [json.loads(line) for line in (tmp_path / "node" / "client.jsonl").read_text().splitlines()]
    assert [(e["event"], e["examples"], e["loss"], e["accuracy"]) for e in lines] == [
        ("trained", 8, 0.5, 0.75), ("evaluated", 4, 0.4, 0.8),
    ]  # fmt: skip
    assert lines[0]["train_loss"] == 0.25
    assert capsys.readouterr().out.splitlines() == [
        "chorus client: training in server round 1 on cpu",
        "chorus client: evaluation in server round 2 on cpu",
    ]


@pytest.mark.parametrize("named", ["client.jsonl", 5, ""])
def test_a_file_that_is_no_absolute_path_is_not_used(named: object) -> None:
    assert LocalLog.of({}, {"client-log": named}, simulated=False).path is None
