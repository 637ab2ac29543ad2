"""`stop` ends a run's processes and no others; `clean` frees what nobody needs and never a model unasked."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cleaning import waste
from app.run_directory import RunDirectory
from app.stopping_runs import users_of
from tests.app.commands.conftest import Type

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
_LAUNCHER = """
import fcntl, os, signal, sys, time
log = open(sys.argv[1] + "/superlink.log", "a")
fcntl.flock(log, fcntl.LOCK_EX)
os.makedirs(sys.argv[1] + "/flower", exist_ok=True)
open(sys.argv[1] + "/flower/launcher.pid", "w").write(str(os.getpid()))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def begun() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for each in processes:
        each.kill()
        each.communicate()


def start(
    begun: list[subprocess.Popen[str]], code: str, *arguments: str, **environment: str
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    begun.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@needs_proc
def test_stop_ends_the_launcher_and_what_is_left_of_the_run(
    chorus: Type, runs: Path, begun: list[subprocess.Popen[str]]
) -> None:
    run, code = runs / "c-0003", "print('ready', flush=True); import time; time.sleep(600)"
    launcher = start(begun, _LAUNCHER, str(run))
    worker = start(begun, code, FLWR_HOME=str(run / "flower"))
    stranger = start(begun, code, FLWR_HOME=str(runs / "a-0001" / "flower"))
    done = chorus("stop", "0003")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "stopped c-0003; nothing of it is left running",
        "next: chorus resume 0003",
    ]
    assert launcher.wait(10) != 0
    assert worker.wait(10) != 0
    assert stranger.poll() is None
    again = chorus("stop", "0003")
    assert (again.code, again.err.split()[0]) == (2, "CH-C16")


def test_a_run_of_a_federation_is_stopped_where_it_was_submitted(chorus: Type, runs: Path) -> None:
    run = RunDirectory(runs / "a-0001")
    (run.path / "transcripts").mkdir()
    (run.path / "transcripts" / "server-815.jsonl").touch()
    with run.at_work(run.events):
        done = chorus("stop", "0001")
    assert done.code == 2
    assert "flwr stop 815 chorus" in done.err


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_clean_says_what_would_go_and_does_nothing(chorus: Type, runs: Path) -> None:
    (runs / "c-0003" / "flower").mkdir()
    (runs / "c-0003" / "flower" / "some.log").write_text("12345")
    before = tree(runs)
    done = chorus("clean")
    assert done.code == 0
    assert "5 B  runs/c-0003/flower: working files of a run that was killed" in done.out
    assert "to do it: chorus clean --yes" in done.out
    assert tree(runs) == before


def test_clean_takes_working_files_and_leaves_models(chorus: Type, runs: Path, tmp_path: Path) -> None:
    left = tmp_path / "temporary" / "chorus-abcd1234"
    (left / "ray").mkdir(parents=True)
    (left.parent / "chorus-mine").mkdir()
    os.utime(left, (time.time() - 1000,) * 2)
    (runs / "c-0003" / "flower").mkdir()
    told = json.loads(chorus("clean", "--yes", "--json").out)
    assert told["freed"] is True
    assert {Path(each["path"]).name for each in told["found"]} == {"flower", "chorus-abcd1234"}
    assert not left.exists()
    assert (left.parent / "chorus-mine").exists()
    assert {f"{name}/model.safetensors" for name in ("a-0001", "b-0002", "c-0003")} <= tree(runs)
    assert {f"{name}/checkpoints/2.checkpoint" for name in ("a-0001", "b-0002", "c-0003")} <= tree(runs)


def test_checkpoints_go_where_asked_and_only_those_of_finished_runs(chorus: Type, runs: Path) -> None:
    assert chorus("clean", "--checkpoints", "--yes").code == 0
    assert not (runs / "a-0001" / "checkpoints").exists()
    assert (runs / "b-0002" / "checkpoints" / "2.checkpoint").exists()
    assert (runs / "c-0003" / "checkpoints" / "2.checkpoint").exists()


def test_a_run_that_goes_on_is_never_waste(runs: Path, tmp_path: Path) -> None:
    run = RunDirectory(runs / "c-0003")
    (run.path / "flower").mkdir()
    with run.at_work(run.events):
        found = waste(runs, checkpoints=True, days=0.0, temporary=tmp_path)
    assert {each.path.name for each in found} == {"a-0001", "b-0002"}


def test_whole_runs_go_by_their_age(chorus: Type, runs: Path) -> None:
    assert "whole run" not in chorus("clean", "--older-than", "1").out
    assert chorus("clean", "--older-than", "0", "--yes").code == 0
    assert list(runs.iterdir()) == []


@needs_proc
def test_a_folder_in_use_is_known_by_the_environment(
    begun: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    assert users_of(tmp_path, "RAY_TMPDIR") == []
    code = "print('ready', flush=True); import time; time.sleep(600)"
    process = start(begun, code, RAY_TMPDIR=str(tmp_path))
    assert users_of(tmp_path, "RAY_TMPDIR") == [process.pid]
