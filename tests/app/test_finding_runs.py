"""RUN: a path, the beginning of an id or of its last digits, or nothing."""

from pathlib import Path

import pytest

from app.config import RunConfig
from app.finding_runs import NoSuchRun, find_run, is_going, launcher_of, short_of
from app.run_directory import RunDirectory

IDS = ("20261121T100000Z-8f31", "20261121T110000Z-8e02", "20261122T090000Z-0b1c")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in IDS:
        RunDirectory.at(tmp_path / "runs" / name, RunConfig())
    (tmp_path / "runs" / "no run").mkdir()
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("", 2), ("8f31", 0), ("8f", 0), ("0", 2), ("20261122", 2), (IDS[1], 1), (f"runs/{IDS[0]}", 0)],
)
def test_a_run_is_found(runs: Path, name: str, meant: int) -> None:
    found = find_run(name, runs)
    assert (found.id, found.path.is_absolute()) == (IDS[meant], True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("8", "give more of the id"),
        ("20261121", f"is {IDS[0]}, {IDS[1]}; give more"),
        ("ffff", f"is called 'ffff'; there are {IDS[2]}, "),
        ("runs/none", "holds no run: it has no config.toml"),
        ("runs", "holds no run"),
    ],
)
def test_what_is_not_one_run_is_refused(runs: Path, name: str, words: str) -> None:
    with pytest.raises(NoSuchRun, match=words.replace("(", r"\(")) as caught:
        find_run(name, runs)
    assert "\n" not in str(caught.value)


def test_without_any_run_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NoSuchRun, match=r"there is no run in .*; start one with scripts/run"):
        find_run("", tmp_path)


def test_the_short_name_finds_the_run_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in IDS:
        run = RunDirectory(runs / name)
        assert short_of(run) == name[-4:]
        assert find_run(short_of(run), Path("runs")).id == name
    RunDirectory.at(runs / "20261123T090000Z-8f31", RunConfig())
    assert short_of(RunDirectory(runs / IDS[0])) == f"runs/{IDS[0]}", "two runs end alike"
    monkeypatch.chdir(runs.parent.parent)
    assert find_run(short_of(RunDirectory(runs / IDS[2])), Path("elsewhere")).id == IDS[2]


def test_a_run_is_going_on_while_somebody_holds_it(runs: Path) -> None:
    run = RunDirectory(runs / IDS[0])
    assert not is_going(run)
    for mark in (run.log, run.events):
        with run.at_work(mark):
            assert is_going(run)
        assert not is_going(run)
    (run.path / "flower").mkdir()
    (run.path / "flower" / "launcher.pid").write_text("4711")
    assert launcher_of(run) is None, "it is not there any more, whatever the file says"
    with run.at_work(run.log):
        assert launcher_of(run) == 4711
