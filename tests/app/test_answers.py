"""Answers as they are shown: what is suppressed has no number anywhere."""

import json
from pathlib import Path

import pytest

from app import answers
from app.statistics import Answer
from arithmetic.errors import SetupError

FACTS = {"table": "t.csv", "min_count": 10, "asked": 6, "clients": [4, 5]}
FOUND = [
    Answer("rows", "count", value=1234),
    Answer("mean x", "mean", "x", group="a", value=1.25, clamped=17),
    Answer("mean x", "mean", "x", group=2.0, suppressed=True),
    Answer("correlation x y", "correlation", "x"),
    Answer("mean y", "mean", "y", value=0.0, clamped=0),
    Answer("ages", "histogram", "age", part="0 to 10", value=30, low=0.0, high=10.0),
    Answer("ages", "histogram", "age", part="10 to 20", suppressed=True, low=10.0, high=20.0),
]


def test_the_table_says_every_answer_and_why_there_is_none(tmp_path: Path) -> None:
    answers.write(tmp_path, FOUND, FACTS)
    lines = answers.lines(tmp_path / answers.FILE)
    assert max(map(len, lines)) <= 110
    text = {line.split("  ")[0].strip(): line for line in lines}
    assert text["rows"].split()[-1] == "1234"
    assert "17 values clamped to the bounds" in next(line for line in lines if "1.25" in line)
    assert sum("suppressed: of fewer than 10 rows" in line for line in lines) == 2
    assert "nothing to divide by" in text["correlation x y"]
    assert "0 to 10" in "".join(lines)
    assert lines[-1] == "4 to 5 of 6 clients are in each sum"


def test_the_file_has_every_value_and_null_where_there_is_none(tmp_path: Path) -> None:
    answers.write(tmp_path, FOUND, FACTS)
    told = json.loads((tmp_path / answers.FILE).read_bytes())
    assert told["clients"] == [4, 5]
    assert [each["value"] for each in told["answers"]] == [1234, 1.25, None, None, 0.0, 30, None]
    assert told["answers"][2] == {
        "name": "mean x",
        "kind": "mean",
        "column": "x",
        "group": 2.0,
        "value": None,
        "suppressed": True,
    }
    assert told["answers"][4]["clamped"] == 0
    assert told["answers"][5]["low"] == 0.0


def test_histograms_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    answers.write(tmp_path, FOUND[:4], FACTS)
    assert not (tmp_path / answers.PICTURE).exists()
    answers.write(tmp_path, FOUND, FACTS)
    assert (tmp_path / answers.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    answers.write(tmp_path, [Answer("\x1b[2Jall \u202e[bold]x", "count", value=12)], FACTS)
    (line,) = [line for line in answers.lines(tmp_path / answers.FILE) if "12" in line]
    assert line.isprintable()
    assert "[bold]x" in line


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"answers": 1}', '{"answers": [{}]}'])
def test_a_damaged_file_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / answers.FILE).write_text(content)
    with pytest.raises(SetupError, match="cannot be read"):
        answers.lines(tmp_path / answers.FILE)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be written"):
        answers.write(tmp_path / "none", FOUND, FACTS)
