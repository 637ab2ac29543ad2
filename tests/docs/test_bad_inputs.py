"""docs/bad_inputs.md has a row for each of 88 inputs and, with docs/threats.md, of 31 threats; its tests exist."""

import re
from pathlib import Path

INPUTS, THREATS = set(range(1, 89)), set(range(1, 32))
# Said, and shown by no test: see the page.
SAID = {1, 25}


def rows(page: Path, heading: str = "") -> dict[int, str]:
    """Numbered rows of the tables below a heading."""
    text = page.read_text()
    text = text[text.index(heading) :] if heading else text
    text = text if not heading else re.split(r"\n## ", text[1:])[0]
    found = re.findall(r"^\| (\d+) \|(.*)$", text, re.M)
    assert len(dict(found)) == len(found), "a number stands twice"
    return {int(number): line for number, line in found}


def defined(repository: Path) -> set[str]:
    pages = (repository / "tests").rglob("test_*.py")
    return {name for page in pages for name in re.findall(r"^def (test_\w+)", page.read_text(), re.M)}


def test_each_of_88_bad_inputs_points_at_tests_that_exist(repository: Path) -> None:
    found, known = rows(repository / "docs" / "bad_inputs.md", "## Inputs"), defined(repository)
    assert set(found) == INPUTS
    for number, line in found.items():
        named = re.findall(r"`(test_\w+)`", line)
        assert named, number
        assert set(named) <= known, number


def test_each_of_31_threats_points_at_tests_that_exist_or_is_said_to_have_none(repository: Path) -> None:
    page, known = repository / "docs" / "bad_inputs.md", defined(repository)
    others = rows(page, "## Threats without a row")
    attacks = rows(repository / "docs" / "threats.md")
    assert set(rows(page, "## What no test shows")) == SAID
    assert not set(others) & set(attacks)
    assert set(others) | set(attacks) | SAID == THREATS
    for number, line in {**others, **attacks}.items():
        named = re.findall(r"`(test_\w+)`", line)
        assert named, number
        assert set(named) <= known, number
