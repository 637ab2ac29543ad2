"""A run from Python: refused at once for a mistake, and read back from disk."""

import re
from pathlib import Path

import numpy as np
import pytest

from app.config import RunConfig
from app.run_directory import RunDirectory
from app.simulate import Run, simulate
from arithmetic.errors import ConfigError, SetupError


def test_a_mistake_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'"learning-rat".*learning-rate'):
        simulate(runs_dir=tmp_path, learning_rat=1.0)
    with pytest.raises(ConfigError, match="a whole number from 1 to 100000"):
        simulate(runs_dir=tmp_path, rounds=0)
    assert list(tmp_path.iterdir()) == []


def test_what_the_run_refuses_is_the_callers_error_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.compile("^task is ", re.M)) as caught:
        simulate(runs_dir=tmp_path, task="nowhere.at_all")
    assert "\n" not in str(caught.value)


def test_a_machine_that_lacks_something_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(SetupError, match="cannot be written"):
        simulate(runs_dir=tmp_path / "runs")


def test_a_run_reads_what_lies_in_its_directory(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, RunConfig())
    directory.emit("round_finished", server_round=1, accuracy=0.5)
    directory.emit("run_finished", accuracy=0.75)
    directory.save_model({"weight": np.ones((2, 3), dtype=np.float32)})
    run = Run(directory)
    assert run.path == directory.path
    assert [line["accuracy"] for line in run.rounds] == [0.5]
    assert run.result["accuracy"] == 0.75
    assert run.model()["weight"].shape == (2, 3)
