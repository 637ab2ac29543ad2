"""Nodes have the names that the roster gives them, and numbers where there is none."""

from pathlib import Path

from app.config import RunConfig
from app.names import Names
from app.run_directory import RunDirectory
from tests.support.told_run import ToldRun

EVENT = {
    "event": "protocol_round", "missing": [1002, 77], "refused": {"1003": "CONFIG: no"}, "culprit": 1004, "asked": 4,
}  # fmt: skip


def run_of(folder: Path, active: bool) -> RunDirectory:
    """A run directory with the transcript and roster of a told run."""
    told = ToldRun(folder, active)
    directory = RunDirectory.at(
        folder / "run", RunConfig.parse({"roster": str(told.roster_path)} if active else {})
    )
    (directory.path / "transcripts").mkdir()
    (directory.path / "transcripts" / "server-1.jsonl").write_bytes(told.server.read_bytes())
    return directory


def test_who_is_missing_refused_or_blamed_is_named(tmp_path: Path) -> None:
    named = Names.of(run_of(tmp_path, active=True)).named(EVENT)
    assert named["missing"] == ["hospital-2", "77"], "a node that was in no session keeps its number"
    assert named["refused"] == {"hospital-3": "CONFIG: no"}
    assert named["culprit"] == "hospital-4"
    assert named["asked"] == 4
    assert EVENT["missing"] == [1002, 77], "the event itself stays"


def test_without_a_roster_nothing_is_named(tmp_path: Path) -> None:
    directory = run_of(tmp_path, active=False)
    assert Names.of(directory).named(EVENT) is EVENT


def test_a_roster_or_transcript_that_cannot_be_read_names_nobody(tmp_path: Path) -> None:
    directory = run_of(tmp_path, active=True)
    (directory.path / "transcripts" / "server-1.jsonl").write_text('torn\n{"kind": "session", "nodes": 3}\n')
    assert Names.of(directory).named(EVENT)["missing"] == ["1002", "77"]
    (tmp_path / "roster.json").write_text("{}")
    assert Names.of(directory).members == []
    (directory.path / "config.toml").write_text("no toml")
    assert Names.of(directory).members == []
