"""Exit codes from events and status; whole runs of a tiny app that leave no process behind."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config import RunConfig
from app.flower_commands import read_status
from app.launcher import judge
from app.run_directory import RunDirectory, read_lines

GOOD: dict[str, Any] = {"event": "run_finished", "accuracy": 0.9, "rounds_aggregated": 3}


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, RunConfig())


def failed(code: str) -> dict[str, Any]:
    return {"event": "run_failed", "code": code, "reason": "why, and\nwhat to do"}


@pytest.mark.parametrize(
    ("last", "status", "exit_code", "words"),
    [
        (GOOD, "finished:completed", 0, ""),
        (GOOD, "finished:failed", 1, "finished:failed"),
        (GOOD, "running", 1, "running"),
        ({}, "finished:completed", 1, "without saying how"),
        ({}, "finished:failed", 1, "superlink.log"),
        ({}, "", 1, "did not take the run"),
        (failed("QUORUM"), "finished:failed", 3, "CH-P03  why, and?what to do"),
        (failed("QUORUM"), "finished:completed", 3, "CH-P03"),
        (failed("QUORUM") | {"number": "CH-P12"}, "finished:failed", 3, "CH-P12  why"),
        (failed("SHARE"), "finished:failed", 3, "CH-P09"),
        (failed("CONFIG"), "finished:failed", 2, "CH-C03"),
        (failed("ENV"), "finished:failed", 4, "CH-E01"),
        (failed("ENV") | {"number": "CH-X01"}, "finished:failed", 1, "CH-X01"),
        (failed("NEWS"), "finished:failed", 1, "CH-X01"),
    ],
)
def test_both_the_last_event_and_flower_must_say_success(
    directory: RunDirectory, last: dict[str, Any], status: str, exit_code: int, words: str
) -> None:
    outcome = judge(last, status, "details", directory, RunConfig(rounds=3))
    assert outcome.exit_code == exit_code
    said = outcome.failure.line if outcome.failure else ""
    assert words in said
    assert "\n" not in said
    assert bool(outcome.lines) == (exit_code == 0)


@pytest.mark.parametrize("code", ["CONFIG", "ENV", "QUORUM"])
def test_a_run_whose_last_word_is_not_on_the_disk_is_read_from_flowers(
    directory: RunDirectory, code: str
) -> None:
    """A full disk takes no event, and a refused resumption writes none."""
    details = f"Exit Code: 300\nRuntimeError: {code}: what and\x1b why\nmore"
    outcome = judge({}, "finished:failed", details, directory, RunConfig())
    assert outcome.failure is not None
    assert (outcome.exit_code, outcome.failure.line) == (
        {"CONFIG": 2, "ENV": 4, "QUORUM": 3}[code],
        f"{ {'CONFIG': 'CH-C03', 'ENV': 'CH-E01', 'QUORUM': 'CH-P03'}[code] }  what and? why",
    )


def test_a_ledger_that_cannot_be_read_costs_the_sentence_and_not_the_result(directory: RunDirectory) -> None:
    config = RunConfig.parse({"privacy": "local", "noise-multiplier": 1.0})
    (directory.path / "ledgers").mkdir()
    (directory.path / "ledgers" / "0.jsonl").write_text("torn")
    outcome = judge(GOOD | {"rounds_aggregated": 10}, "finished:completed", "", directory, config)
    assert (outcome.exit_code, outcome.failure) == (0, None)
    assert outcome.lines[0].startswith("result: accuracy 0.9000")
    (privacy,) = (line for line in outcome.lines if line.startswith("privacy: "))
    assert privacy.startswith("privacy: what was spent cannot be said: ")
    assert "epsilon" not in privacy
    assert "\n" not in privacy
    assert any(line.startswith("written: ") for line in outcome.lines)


def test_the_status_is_read_from_what_flwr_ls_prints() -> None:
    text = '{"success": true, "runs": [{"status": "finished:failed", "status-details": "boom"}]}'
    assert read_status(text) == ("finished:failed", "boom")
    for bad in ("", "no json", "{}", '{"runs": []}', '{"success": false, "error-message": "x"}'):
        assert read_status(bad)[0] == "unknown"


def chorus(repository: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "app", "run", *arguments]


def environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(tree)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["-c", "learnin-rate=1"],
            'CH-C01  Unknown setting "learnin-rate" (from -c). Did you mean "learning-rate"?',
        ),
        (["-c", "rounds=true"], "a whole number from 1 to 100000"),
        (["-c", "rounds"], "key=value"),
        (["--drop", "2@r9:round1"], "2@r2:round3"),
        (["--nonsense"], "--nonsense"),
        (["-c", "run-dir=."], "not empty"),
    ],
)
def test_a_users_mistake_is_one_line_exit_2_and_under_a_second(
    repository: Path, arguments: list[str], words: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(
        chorus(repository, *arguments),
        env=environment(repository),
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # of one core
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("CH-C0")
    assert words in answer.stderr


@pytest.mark.parametrize(
    ("left", "arguments", "code", "words"),
    [
        ((), [], 2, "CH-C06  {run} holds no run: it has no config.toml"),
        (("config.toml",), [], 4, "CH-E09  run {name} left no checkpoint"),
        (("config.toml", "checkpoint"), ["-c", "seed=3"], 2, "CH-C08  seed is 0 in run {name} and must stay so"),
        (("config.toml", "checkpoint"), ["-c", "rounds=2"], 2, "CH-C08  rounds = 2 is less than the 10"),
        (("config.toml", "checkpoint", "finished"), [], 2, "CH-C08  run {name} has finished its 10 server rounds"),
        (("config.toml", "checkpoint", "held"), [], 2, "CH-C07  run {name} is still going"),
        (("config.toml", "checkpoint", "served"), [], 2, "CH-C07  run {name} is still going"),
    ],
)  # fmt: skip
def test_what_cannot_be_resumed_is_said_in_one_line(
    tmp_path: Path, repository: Path, left: tuple[str, ...], arguments: list[str], code: int, words: str
) -> None:
    directory = RunDirectory.create(tmp_path, RunConfig())
    if "config.toml" not in left:
        (directory.path / "config.toml").unlink()
    if "checkpoint" in left:
        directory.checkpoints.mkdir()
        (directory.checkpoints / "3.checkpoint").touch()
    if "finished" in left:
        directory.emit("run_finished", rounds=10)
    with contextlib.ExitStack() as stack:
        for name, mark in (("held", directory.log), ("served", directory.events)):
            if name in left:
                stack.enter_context(directory.at_work(mark))
        before = {path.name for path in directory.path.iterdir()}
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "app", "resume", str(directory.path), *arguments],
            env=environment(repository), cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert answer.returncode == code, answer.stderr
    assert answer.stderr.startswith(words.format(run=directory.path, name=directory.id))
    assert answer.stderr.count("\n") == 1
    assert {path.name for path in directory.path.iterdir()} - {"superlink.log", "events.jsonl"} <= before


def test_cuda_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path, repository: Path) -> None:
    env = environment(repository) | {"CUDA_VISIBLE_DEVICES": ""}
    command = chorus(repository, "-c", "device=cuda", "--runs-dir", str(tmp_path))
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 4
    assert answer.stderr.startswith("CH-E04  device = 'cuda' needs a GPU")
    assert list(tmp_path.iterdir()) == []


class Run:
    """A launcher at work on the tiny app; every process below it carries a mark in its environment."""

    def __init__(self, tree: Path, runs: Path, *arguments: str) -> None:
        self.mark = f"CHORUS_TEST_MARK={os.getpid()}-{time.monotonic_ns()}"
        name, value = self.mark.split("=")
        self.runs = runs
        self.process = subprocess.Popen(
            chorus(tree, "--json", "--runs-dir", str(runs), *arguments),
            env=environment(tree) | {name: value},
            cwd=tree.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, timeout: float = 120) -> tuple[int, list[dict[str, Any]], str]:
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err

    @property
    def folder(self) -> Path:
        (folder,) = self.runs.iterdir()
        return folder

    def wait_for(self, event: str) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            logs = list(self.runs.glob("*/events.jsonl"))
            if logs and any(e["event"] == event for e in read_lines(logs[0])):
                return
            time.sleep(0.1)
        raise TimeoutError(event)

    def processes(self) -> list[str]:
        """Everything alive that carries the mark, the launcher itself left out."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = self.mark.encode() in (folder / "environ").read_bytes().split(b"\0")
                name = (folder / "comm").read_text().strip()
            except OSError:
                continue
            if marked and int(folder.name) != self.process.pid:
                found.append(name)
        return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@pytest.fixture
def start(tiny_app: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    begun: list[Run] = []

    def begin(*arguments: str) -> Run:
        settings = ("-c", "clients=3", "-c", "rounds=2", *arguments)
        begun.append(Run(tiny_app, tmp_path / "runs", *settings))
        return begun[-1]

    yield begin
    for run in begun:
        if run.process.poll() is None:
            run.process.terminate()
            run.process.communicate(timeout=30)


@pytest.mark.simulation
@needs_proc
def test_a_good_run_exits_0_and_leaves_the_run_directory_only(
    start: Callable[..., Run], tiny_app: Path
) -> None:
    # A hostile neighbour: an `app` in the caller's working directory must not be the one that runs.
    (tiny_app.parent / "app").mkdir()
    (tiny_app.parent / "app" / "__init__.py").write_text("raise SystemExit('the wrong tree')")
    run = start()
    code, events, err = run.end()
    assert (code, err) == (0, "")
    assert [e["event"] for e in events][-1] == "run_finished"
    written = sorted(path.name for path in run.folder.iterdir())
    assert written == ["config.toml", "events.jsonl", "metrics.jsonl", "report.html", "superlink.log"]
    assert len(list(read_lines(run.folder / "metrics.jsonl"))) == 2
    for event in events:
        for where in event.get("where", ()):
            assert str(run.folder) in where["app"], "clients must import the bundle, not a tree"
    assert run.processes() == []


@pytest.mark.simulation
@needs_proc
@pytest.mark.parametrize(
    ("task", "exit_code", "words"),
    [
        ("failing", 3, '{"error": {"code": "CH-P03", "message": "2 survivors, threshold 3"}}\n'),
        ("crashing", 1, "the tiny app crashed"),
        ("silent", 1, "without saying how"),
    ],
)
def test_a_bad_run_has_a_true_exit_code_and_one_line(
    start: Callable[..., Run], task: str, exit_code: int, words: str
) -> None:
    run = start("-c", f"task={task}")
    code, _, err = run.end()
    assert code == exit_code
    assert words in err
    assert err.count("\n") == 1
    assert run.processes() == []
    if task == "crashing":
        assert "Traceback" in (run.folder / "superlink.log").read_text()


@pytest.mark.simulation
@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(start: Callable[..., Run], number: signal.Signals) -> None:
    run = start("-c", "task=waiting")
    run.wait_for("cohort_ready")
    assert len(run.processes()) >= 3
    run.process.send_signal(number)
    code, _, err = run.end(timeout=30)
    assert code == 128 + number
    assert err.count("\n") == 1
    assert run.processes() == []
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "config.toml",
        "events.jsonl",
        "report.html",
        "superlink.log",
    ]
