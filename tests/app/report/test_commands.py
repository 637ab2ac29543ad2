"""The verb `report`, as a person types it."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import cli
from tests.support.reported import failed_run


def said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["app", "report", *words])
    code = cli.main()
    return code, *capsys.readouterr()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("20260101T000000Z-aaaa", "20260102T000000Z-bbbb"):
        failed_run(tmp_path / name)
    return tmp_path


def test_the_last_run_is_meant_where_none_is_named(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = said(capsys, monkeypatch, "--runs-dir", str(runs))
    assert code == 0
    assert out.startswith("20260102T000000Z-bbbb: failed. It failed after 1 server round. QUORUM:")
    assert (runs / "20260102T000000Z-bbbb" / "report.html").exists()


def test_json_says_what_the_page_says(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = said(capsys, monkeypatch, "aaaa", "--runs-dir", str(runs), "--json")
    told: dict[str, Any] = json.loads(out)
    assert (code, told["run"], told["state"]) == (0, "20260101T000000Z-aaaa", "failed")
    assert told["config"]["rounds"] == 4
    assert told["rounds"][0]["failed"].startswith("QUORUM")
    assert told["files"][0].endswith("report.html")


def test_two_runs_are_compared_on_one_page(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = said(capsys, monkeypatch, "--compare", "aaaa", "bbbb", "--runs-dir", str(runs))
    assert code == 0
    (page,) = runs.glob("compare-*.html")
    assert page.name in out
    code, out, _ = said(capsys, monkeypatch, "--compare", "aaaa", "bbbb", "--runs-dir", str(runs), "--json")
    assert json.loads(out)["differing"] == {}


def test_a_run_that_is_not_there_is_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = said(capsys, monkeypatch, "zzzz", "--runs-dir", str(runs))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "zzzz" in err
