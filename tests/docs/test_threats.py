"""docs/threats.md names tests that exist, and every test of a threat is named there."""

import re
from pathlib import Path

ROWS = {*range(2, 13), 15, 16, 17, 20, 27, 28}


def _defined(repository: Path) -> set[str]:
    pages = (repository / "tests" / "adversary").glob("test_*.py")
    return {name for page in pages for name in re.findall(r"^def (test_\w+)", page.read_text(), re.M)}


def _named(repository: Path) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", (repository / "docs" / "threats.md").read_text()))


def test_every_test_that_is_named_exists(repository: Path) -> None:
    assert _named(repository)
    assert _named(repository) <= _defined(repository)


def test_every_row_names_a_test_whose_docstring_names_the_row(repository: Path) -> None:
    lines = (repository / "docs" / "threats.md").read_text().splitlines()
    rows = {int(found[1]): line for line in lines if (found := re.match(r"\| (\d+) \|", line))}
    assert set(rows) == ROWS
    sources = "\n".join(
        page.read_text() for page in (repository / "tests" / "adversary").glob("test_threats_*.py")
    )
    for number, line in rows.items():
        for name in re.findall(r"`(test_\w+)`", line):
            found = re.search(rf'^def {name}\(.*?"""(Rows? [\d, and]+)', sources, re.M | re.S)
            assert found, name
            assert str(number) in re.findall(r"\d+", found[1]), name


def test_every_test_of_a_threat_is_named(repository: Path) -> None:
    pages = (repository / "tests" / "adversary").glob("test_threats_*.py")
    found = {name for page in pages for name in re.findall(r"^def (test_\w+)", page.read_text(), re.M)}
    judges = {
        "test_an_honest_course_gives_the_sum_over_all_and_no_other",
        "test_sealed_shares_are_what_a_reply_of_r1_holds",
    }
    assert found - judges <= _named(repository)
