"""`watch` and `ls` over runs that ended in all ways."""

import json
from pathlib import Path

import pytest

from app.run_directory import RunDirectory
from tests.app.commands.conftest import Type


def test_ls_has_a_row_a_run(chorus: Type, runs: Path) -> None:
    with RunDirectory(runs / "c-0003").at_work(runs / "c-0003" / "superlink.log"):
        done = chorus("ls")
        rows = [line.split() for line in done.out.splitlines() if "-000" in line]
        states = {row[0]: row[3] for row in rows}
        assert states == {"a-0001": "finished", "b-0002": "failed", "c-0003": "running"}
        assert "CH-P12" in rows[1]
        assert {"digits", "2/2", "0.8000", "0.5000"} <= set(rows[0])
        only = chorus("ls", "--running").out
        assert "c-0003" in only
        assert "a-0001" not in only


def test_ls_is_one_document(chorus: Type, runs: Path) -> None:
    (runs / "b-0002" / "config.toml").write_text("no toml")
    found = {each["id"]: each for each in json.loads(chorus("ls", "--json").out)["runs"]}
    assert [found[name]["state"] for name in sorted(found)] == ["finished", "unreadable", "stopped"]
    assert found["a-0001"]["accuracy"] == 0.8
    assert found["a-0001"]["name"] == "0001"
    assert found["a-0001"]["size"] > 10


def test_ls_of_nothing_says_how_to_start(chorus: Type, tmp_path: Path) -> None:
    done = chorus("ls", "--runs-dir", str(tmp_path))
    assert (done.code, "start one with scripts/run" in done.out) == (0, True)


@pytest.mark.parametrize(("name", "code"), [("0001", 0), ("0002", 3), ("0003", 4), ("", 4)])
def test_the_exit_code_of_watch_is_the_runs(chorus: Type, runs: Path, name: str, code: int) -> None:
    done = chorus("watch", *([name] if name else []))
    assert done.code == code
    assert "digits, fedavg" in done.out
    if code == 4:
        assert done.err.startswith("CH-E16  run c-0003 is not going on")
        assert done.err.rstrip().endswith("Continue: chorus resume 0003")


def test_watch_follows_a_run_that_goes_on_until_its_end(
    chorus: Type, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.commands import watching

    run = RunDirectory(runs / "c-0003")
    looks = iter([True, True, False])

    def going(_: RunDirectory) -> bool:
        on = next(looks)
        run.emit("round_failed", server_round=3, code="QUORUM", reason="x") if on else run.emit(
            "run_finished"
        )
        return on

    monkeypatch.setattr(watching, "is_going", going)
    done = chorus("watch", "0003", "--json")
    events = [json.loads(line)["event"] for line in done.out.splitlines()]
    assert events == ["run_started", *["round_finished"] * 2, *["round_failed"] * 2, "run_finished"]
    assert done.code == 0


def test_watch_draws_the_moment(chorus: Type, runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "view.svg"
    done = chorus("watch", "0001", "--picture", str(path))
    assert (done.code, done.out) == (0, "")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<svg")
    assert "accuracy" in text
    assert "finished" in text
    assert "url(http" not in text.replace('"', ""), "a picture fetches nothing"
    refused = chorus("watch", "0001", "--picture", str(tmp_path / "none" / "view.svg"))
    assert (refused.code, refused.err.split()[0]) == (4, "CH-E01")
