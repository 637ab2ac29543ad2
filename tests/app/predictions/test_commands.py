"""The verbs of `predict`, as users type them: a run is shared, asked, evaluated and shut down."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from app.config import RunConfig
from app.run_directory import RunDirectory
from clients.tasks import DataSource, load_task
from clients.updates import arrays_of
from tests.support.launched import ROOT

_ENDS = 120


def chorus(*arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """One command; its exit code is `expect`."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "predict", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=_ENDS,
    )  # fmt: skip
    assert done.returncode == expect, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of task digits_softmax, trained here to save its rounds."""
    task = load_task("digits_softmax")
    network = task.model(0)
    inputs, labels = task.test_data(DataSource()).tensors  # type: ignore[union-attr]
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    directory = RunDirectory.create(
        tmp_path_factory.mktemp("runs"), RunConfig.parse({"task": "digits_softmax"})
    )
    directory.save_model(arrays_of(network))
    return directory.path


@pytest.fixture(scope="module")
def kits(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kits of a model that was shared with servers which have ended."""
    kits = tmp_path_factory.mktemp("predictions") / "kits"
    told = json.loads(chorus("share", run, "--kits", kits, "--client", "alice", "--json").stdout)
    assert (told["input"], told["classes"], told["clients"]) == ([1, 8, 8], 10, ["alice"])
    return kits


@pytest.fixture
def serving(kits: Path) -> Iterator["subprocess.Popen[str]"]:
    """All three servers, out of what they keep."""
    command = [sys.executable, "-m", "app", "predict", "serve", str(kits)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_ENDS)


def test_only_its_user_can_read_what_a_server_keeps(kits: Path) -> None:
    kept = [*kits.glob("servers/*/state/*"), *kits.glob("*/*/party.key"), *kits.glob("clients/*/canaries.*")]
    assert len(kept) == 3 + 4 + 1
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


@pytest.mark.slow
def test_query_evaluate_and_shut_down(kits: Path, serving: "subprocess.Popen[str]") -> None:
    client = kits / "clients" / "alice"
    _until_up(serving)
    task = load_task("digits_softmax").test_data(DataSource())
    truth = [int(task[number][1]) for number in (3, 5)]  # type: ignore[index]
    told = json.loads(chorus("query", client, "--index", 3, "--index", 5, "--json").stdout)
    assert told["answers"] == truth
    assert told["canaries"] == 1
    shown = chorus("query", client, "--index", 3, "--answer", "top", "--top", 2).stdout
    assert shown.startswith(f"digits_softmax 3: {truth[0]} 0.")
    assert "1 canaries came back right" in shown
    counted = json.loads(chorus("evaluate", client, "--examples", 40, "--rows", 16, "--json").stdout)
    assert counted["examples"] == 40
    assert counted["right"] >= 36
    assert "online-1 ends" in chorus("shutdown", kits / "owner").stdout
    serving.wait(_ENDS)
    assert serving.returncode == 0


def _until_up(process: "subprocess.Popen[str]") -> None:
    """Read lines until both online servers have their helper."""
    left, lines = 2, iter(process.stdout or ())
    while left:
        left -= "the helper is there" in next(lines)


@pytest.mark.nightly
def test_a_server_killed_by_force_costs_one_query(kits: Path) -> None:
    folders = {party: kits / "servers" / party for party in ("helper", "online-1", "online-2")}
    client = kits / "clients" / "alice"

    def start(party: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "app", "predict", "serve", str(folders[party])]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, text=True)

    running = {party: start(party) for party in folders}
    try:
        _until_answered(client)
        for party in folders:
            running[party].kill()
            running[party].wait()
            failed = chorus("query", client, "--index", 0, expect=2)
            assert failed.stderr.startswith("STATE: ")
            assert "Traceback" not in failed.stderr
            running[party] = start(party)
            _until_answered(client)
    finally:
        for process in running.values():
            process.terminate()
            process.wait(_ENDS)


def _until_answered(client: Path) -> None:
    end = time.monotonic() + _ENDS
    while True:
        try:
            chorus("query", client, "--index", 0)
        except AssertionError:
            assert time.monotonic() < end
        else:
            return


@pytest.mark.slow
def test_the_demo_says_what_each_server_saw_and_leaves_nothing(run: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "predict", "demo", str(run), "--examples", "3"],
        cwd=ROOT, capture_output=True, text=True, timeout=_ENDS, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for party in ("helper", "online-1", "online-2"):
        assert f"{party} saw " in done.stdout
        assert f"{party}: ended" in done.stdout
    assert "any two of the servers could have seen everything" in done.stdout
    assert not list(tmp_path.iterdir())


def test_examples_of_ones_own_come_from_a_file(kits: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(safetensors.numpy.save({"inputs": np.full((1, 1, 8, 8), 2.0, np.float32)}))
    refused = chorus("query", kits / "clients" / "alice", "--inputs", path, expect=2)
    assert refused.stderr.startswith("RANGE: an input is outside the declared range [0, 1]")


def test_a_model_that_cannot_be_converted_is_refused_by_layer_before_anything_is_made(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "runs", RunConfig.parse({"task": "digits"}))
    directory.save_model(arrays_of(load_task("digits").model(0)))
    refused = chorus("share", directory.path, "--kits", tmp_path / "kits", expect=2)
    assert "GroupNorm" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "kits").exists()
