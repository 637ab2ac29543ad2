"""Commands as typed, in this process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import cleaning
from app.cli import main
from app.config import RunConfig
from app.run_directory import RunDirectory


@dataclass(frozen=True)
class Typed:
    """What a command did."""

    code: int
    out: str
    err: str


Type = Callable[..., Typed]


@pytest.fixture
def chorus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command; plain output, as there is no terminal."""

    def typed(*arguments: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["chorus", *arguments])
        code = main()
        captured = capsys.readouterr()
        return Typed(code, captured.out, captured.err)

    return typed


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs below the working directory: one finished, one failed, one killed with a checkpoint."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(cleaning, "temporary_folder", lambda: tmp_path / "temporary")
    folder = tmp_path / "runs"
    for name, word in (("a-0001", "run_finished"), ("b-0002", "run_failed"), ("c-0003", "")):
        run = RunDirectory.at(folder / name, RunConfig.parse({"rounds": 2}))
        run.emit("run_started", task="digits", strategy="fedavg", clients=10, threshold=7, rounds=2)
        for at in (1, 2):
            run.emit("round_finished", server_round=at, purpose="training", accuracy=0.4 * at, loss=1 / at)
        run.checkpoints.mkdir()
        (run.checkpoints / "2.checkpoint").write_bytes(b"model")
        run.model.write_bytes(b"model")
        if word == "run_failed":
            run.emit(word, code="QUORUM", number="CH-P12", reason="none of 2 server rounds")
        elif word:
            run.emit(word, rounds=2, rounds_aggregated=2, accuracy=0.8, loss=0.5, seconds=3.0)
    return folder
