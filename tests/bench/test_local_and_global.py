"""Each client's own accuracies against the global one, read from a run's directory."""

import json
from pathlib import Path

import pytest

from bench.local_and_global import curves_of, rows_of
from bench.local_and_global_picture import draw


def write(path: Path, *lines: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def own(server_round: int, accuracy: float, examples: int = 4, event: str = "trained") -> dict[str, object]:
    return {"event": event, "server_round": server_round, "accuracy": accuracy, "examples": examples}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path / "clients" / "0.jsonl", own(1, 0.25), own(2, 0.75, 4, "evaluated"))
    write(tmp_path / "clients" / "10.jsonl", own(1, 0.5), own(2, 1.0, 12, "evaluated"))
    write(tmp_path / "clients" / "2.jsonl", own(1, 0.0), {"event": "trained", "server_round": 2})
    write(
        tmp_path / "metrics.jsonl",
        {"server_round": 1, "accuracy": 0.25}, {"server_round": 2, "accuracy": None},
        {"server_round": 2, "accuracy": 0.9375},
    )  # fmt: skip
    return tmp_path


def test_clients_come_from_their_own_logs_and_the_global_curve_from_the_servers(run: Path) -> None:
    curves = curves_of(run)
    assert list(curves.clients) == ["0", "2", "10"]
    assert curves.clients["10"] == [(0, 0.5), (1, 1.0)]
    assert curves.together == [(0, 0.25), (1, 0.9375)]
    lowest, highest, mean = rows_of(curves)
    assert (lowest.ours, highest.ours, mean.ours) == (75.0, 100.0, 93.75)
    assert {row.peer for row in (lowest, highest, mean)} == {93.75}


def test_the_picture_is_drawn(run: Path, tmp_path: Path) -> None:
    curves = curves_of(run)
    draw(curves.clients, curves.together, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_accuracies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="without privacy"):
        curves_of(tmp_path)
