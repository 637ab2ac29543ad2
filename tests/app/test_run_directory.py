"""What gets into a run directory, what never does, and what survives a crash."""

import json
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from app.config import RunConfig, defaults
from app.run_directory import RunDirectory, read_lines
from arithmetic.errors import ConfigError, SetupError


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", RunConfig())


def test_create_writes_a_configuration_that_can_be_used_again(tmp_path: Path) -> None:
    config = RunConfig.parse({"rounds": 3, "run-dir": "somewhere"})
    directory = RunDirectory.create(tmp_path, config)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", directory.id)
    assert directory.path == tmp_path / directory.id
    table = tomllib.loads((directory.path / "config.toml").read_text())
    assert table == defaults() | {"rounds": 3}
    assert RunConfig.parse(table).rounds == 3


def test_two_runs_never_share_a_directory(tmp_path: Path) -> None:
    made = {RunDirectory.create(tmp_path, RunConfig()).path for _ in range(20)}
    assert len(made) == 20


def test_at_takes_new_and_empty_folders_only(tmp_path: Path) -> None:
    assert RunDirectory.at(tmp_path / "a" / "b", RunConfig()).path == tmp_path / "a" / "b"
    with pytest.raises(ConfigError, match="not empty"):
        RunDirectory.at(tmp_path / "a" / "b", RunConfig())
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="run-dir"):
        RunDirectory.at(tmp_path / "file", RunConfig())


def test_a_folder_that_cannot_be_made_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="--runs-dir"):
        RunDirectory.create(tmp_path / "file", RunConfig())


def test_open_uses_what_another_process_made(directory: RunDirectory, tmp_path: Path) -> None:
    assert RunDirectory.open(directory.path) == directory
    with pytest.raises(SetupError, match="is not there"):
        RunDirectory.open(tmp_path / "nothing")


def test_every_event_is_one_line_at_once(directory: RunDirectory) -> None:
    directory.emit("cohort_ready", nodes=[1, 2**64 - 1])
    directory.emit("misbehaviour", reason="two\nlines", culprit=np.int64(3))
    lines = directory.events.read_text().splitlines()
    assert len(lines) == 2
    first, second = (json.loads(line) for line in lines)
    assert first["event"] == "cohort_ready"
    assert first["nodes"] == [1, 2**64 - 1]
    assert isinstance(first["time"], float)
    assert (second["reason"], second["culprit"]) == ("two\nlines", 3)
    assert not directory.metrics.exists()


def test_finished_rounds_are_metrics_as_well(directory: RunDirectory) -> None:
    directory.emit("round_failed", server_round=1)
    directory.emit("round_finished", server_round=2, accuracy=np.float32(0.5), loss=float("nan"))
    (metric,) = read_lines(directory.metrics)
    assert metric == list(read_lines(directory.events))[1]
    assert metric["accuracy"] == 0.5
    assert metric["loss"] is None


@pytest.mark.parametrize(
    "secret",
    [
        b"key",
        bytearray(b"key"),
        memoryview(b"key"),
        2**64,
        -(2**64),
        np.zeros(3),
        object(),
        [b"key"],
        {"a": {"b": b"key"}},
        {b"key": 1},
        {1: {2**70: 1}},
        ({"x"}, b"key"),
    ],
    ids=lambda value: type(value).__name__ if " at 0x" in repr(value) else repr(value),
)
def test_what_a_secret_looks_like_is_refused_and_nothing_is_written(
    directory: RunDirectory, secret: object
) -> None:
    with pytest.raises(TypeError, match="run directory"):
        directory.emit("oops", value=secret)
    assert not directory.events.exists()


def test_a_torn_line_costs_itself_only(directory: RunDirectory) -> None:
    directory.emit("one")
    with directory.events.open("a") as file:
        file.write('{"event": "to')
    assert [e["event"] for e in read_lines(directory.events)] == ["one"]
    directory.emit("two")
    with directory.events.open("a") as file:
        file.write('[1]\n\xff\xfe\n{"event": "torn"}')
    assert [e["event"] for e in read_lines(directory.events)] == ["one", "two"]


def test_no_file_is_no_event(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "none.jsonl")) == []


def test_a_model_comes_back_bit_for_bit(directory: RunDirectory) -> None:
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    tensors = {"w": transposed, "b": np.zeros((0,)), "n": np.array(7)}
    loaded = load_file(directory.save_model(tensors))
    assert set(loaded) == set(tensors)
    for name, array in tensors.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(loaded[name], array)


def test_a_failed_write_leaves_the_old_model_and_no_rubbish(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.save_model({"w": np.ones(3)})
    before = directory.model.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match=r"cannot be written .*No space left on device.* continue the run"):
        directory.save_model({"w": np.zeros(3)})
    assert directory.model.read_bytes() == before
    assert sorted(p.name for p in directory.path.iterdir()) == ["config.toml", "model.safetensors"]
