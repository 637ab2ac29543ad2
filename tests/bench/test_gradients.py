"""The shape of what bench.gradients prints; its figures are for a quiet machine and never tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import RunConfig
from bench.gradients import Curve, apart, central, curve_of
from bench.gradients_picture import draw
from tests.support.launched import ROOT


def test_central_sgd_is_deterministic_and_learns() -> None:
    keys = {
        "job": "gradients",
        "task": "digits_softmax",
        "clients": 3,
        "rounds": 30,
        "server-learning-rate": 0.5,
    }
    config = RunConfig.parse(keys)
    curve = central(config)
    assert curve.losses == central(config).losses
    assert len(curve.losses) == 30
    assert curve.losses[-1] < curve.losses[0] - 1.0


def test_curves_are_compared_iteration_by_iteration() -> None:
    ours = curve_of([{"time": at, "train_loss": loss} for at, loss in ((1.0, 3.0), (2.0, 2.5), (5.0, 2.0))])
    assert ours == Curve([3.0, 2.5, 2.0], 2.0)
    assert apart(ours, Curve([3.0, 2.25, 2.125], 1.0)) == 0.25
    with pytest.raises(SystemExit, match="1 iterations gave no sum"):
        apart(ours, Curve([3.0, 2.5, 2.0, 1.5], 1.0))


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw("digits", {"central": [2.0, 1.0], "a": [2.0, 1.1], "b": [2.1, 1.0]}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_that_is_too_far_off_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import gradients

    monkeypatch.setattr(gradients, "in_process", lambda config: Curve([9.0] * config.rounds, 1.0))
    monkeypatch.setattr(sys, "argv", ["gradients", "--quick"])
    assert gradients.main() == 1


def test_a_quick_run_ends_with_one_object_a_case() -> None:
    command = [sys.executable, "-m", "bench.gradients", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    difference, pace = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert (difference["unit"], pace["unit"]) == ("nats", "s")
    assert difference["ours"] < 1e-4
    assert pace["ours"] > 0
    assert pace["peer"] > 0
