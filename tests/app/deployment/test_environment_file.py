"""Settings of a kit: read strictly, named by line."""

import pytest

from app.deployment.environment_file import parse, text_of
from arithmetic.errors import ConfigError

KEYS = ("CHORUS_A", "CHORUS_B")


def test_what_is_written_is_read() -> None:
    table = {"CHORUS_A": "x = y", "CHORUS_B": "2"}
    assert parse("# comment\r\n\n" + text_of(table), KEYS, "f") == table


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("CHORUS_A=1\nCHORUS_C=2\n", "line 2: unknown name 'CHORUS_C'; the nearest known one is 'CHORUS_"),
        ("CHORUS_A=1\nCHORUS_A=2\n", "line 2: CHORUS_A stands twice"),
        ("CHORUS_A=1\nnonsense\n", "line 2 is not NAME=value"),
        ("CHORUS_A=1\n", "says nothing of CHORUS_B"),
        ("CHORUS_A=1\nCHORUS_B=\n", "says nothing of CHORUS_B"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse(text, KEYS, "node.env")


def test_a_value_of_two_lines_is_never_written() -> None:
    with pytest.raises(ConfigError, match="no value for one line"):
        text_of({"CHORUS_A": "1\nCHORUS_B=2"})
