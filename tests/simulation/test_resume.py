"""A real simulation that is killed in mid-run, and goes on as a user makes it go on."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from app.run_directory import read_lines
from tests.support.launched import ROOT, Finished, run

pytestmark = [
    pytest.mark.simulation,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc"),
]

CHORUS = [sys.executable, "-m", "app"]
# A deadline that a busy machine keeps: a server round that fails would leave another model.
SETTINGS = ["-c", "rounds=8", "-c", "clients=3", "-c", "rounding=nearest", "-c", "strategy=fedadam",
            "-c", "server-learning-rate=0.01", "-c", "round-deadline=120"]  # fmt: skip


class Victim:
    """A launcher in mid-run; every process below it carries a mark in its environment."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [*CHORUS, "run", *SETTINGS, "--runs-dir", str(runs)], cwd=ROOT, text=True,
            env=os.environ | {"CHORUS_TEST_MARK": self.mark}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    @property
    def directory(self) -> Path:
        (found,) = self.runs.iterdir()
        return found

    def wait_for_round(self, number: int) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            found = [e for path in self.runs.glob("*/events.jsonl") for e in read_lines(path)]
            if any(e["event"] == "round_finished" and e["server_round"] == number for e in found):
                return
            time.sleep(0.05)
        raise TimeoutError(self.process.communicate(timeout=30))

    def processes(self) -> dict[int, str]:
        """Process id -> command line, of everything alive that carries the mark."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"CHORUS_TEST_MARK={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[int(folder.name)] = command
        return found

    def kill_all(self) -> None:
        """SIGKILL, over and over: a parent may start another child between the look and the blow."""
        while found := self.processes():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.05)
        self.process.communicate(timeout=30)


def resume(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*CHORUS, "resume", str(directory), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def bits(directory: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in load_file(directory / "model.safetensors").items()}


def named(directory: Path, name: str) -> list[dict[str, Any]]:
    return [event for event in read_lines(directory / "events.jsonl") if event["event"] == name]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    finished = run([*CHORUS, "run", *SETTINGS], tmp_path_factory.mktemp("runs"))
    assert finished.exit_code == 0, finished.errors
    assert "continue:" not in finished.output + finished.errors
    return finished


def test_with_everything_killed_the_model_is_that_of_an_undisturbed_run(
    undisturbed: Finished, tmp_path: Path
) -> None:
    victim = Victim(tmp_path)
    try:
        victim.wait_for_round(3)
        refused = resume(victim.directory)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "is still going" in refused.stderr
    finally:
        victim.kill_all()
    directory = victim.directory
    assert not (directory / "model.safetensors").exists()
    again = resume(directory)
    assert again.returncode == 0, again.stdout + again.stderr
    assert bits(directory) == bits(undisturbed.directory)
    (resumed,) = named(directory, "run_resumed")
    assert 2 <= resumed["server_round"] < 8
    assert f"continued after server round {resumed['server_round']}\n" in again.stdout
    assert "8 of 8 rounds aggregated" in again.stdout
    assert f"round {resumed['server_round'] + 1}/8" in again.stdout
    assert "round 1/8" not in again.stdout, "events of before are not shown again"
    assert not (directory / "flower").exists()
    refused = resume(directory)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"CH-C08  run {directory.name} has finished its 8 server rounds")


@pytest.mark.nightly
def test_with_the_server_killed_the_launcher_says_how_to_go_on(undisturbed: Finished, tmp_path: Path) -> None:
    victim = Victim(tmp_path)
    try:
        victim.wait_for_round(3)
        (server,) = (pid for pid, command in victim.processes().items() if "flwr-simulation" in command)
        os.kill(server, signal.SIGKILL)
        _, errors = victim.process.communicate(timeout=180)
    finally:
        victim.kill_all()
    assert victim.process.returncode == 1
    last = errors.splitlines()[-1]
    assert last.startswith("CH-X01  ")
    assert last.endswith(f" Continue: scripts/chorus resume {victim.directory}")
    again = resume(Path(shlex.split(last)[-1]))
    assert again.returncode == 0, again.stdout + again.stderr
    assert bits(victim.directory) == bits(undisturbed.directory)


@pytest.mark.nightly
def test_interrupted_it_says_how_to_go_on_and_may_have_more_rounds(tmp_path: Path) -> None:
    victim = Victim(tmp_path)
    try:
        victim.wait_for_round(2)
        victim.process.send_signal(signal.SIGINT)
        _, errors = victim.process.communicate(timeout=60)
    finally:
        victim.kill_all()
    assert victim.process.returncode == 130
    assert (
        f"stopped; nothing of the run is left running. Continue: scripts/chorus resume {victim.directory}"
        in errors
    )
    again = resume(victim.directory, "-c", "rounds=9", "-c", "round-deadline=150")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "9 of 9 rounds aggregated" in again.stdout
    trained = [
        e["server_round"] for e in named(victim.directory, "round_finished") if e["purpose"] == "training"
    ]
    assert sorted(set(trained)) == list(range(1, 10))
