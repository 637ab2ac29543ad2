"""The query file: one line that names key and line for whatever is not exactly a query."""

import re
from pathlib import Path

import pytest

from app.query import comparison, kinds
from app.query_file import MOST_BYTES, load, parse
from arithmetic.errors import ConfigError

HEAD = """# stations
table = "t.csv"

[columns]
x = { low = 0, high = 10 }
w = { low = -1.0, high = 1.0 }

[[statistics]]
kind = "count"

[[statistics]]
"""


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "q.toml")
    line = str(caught.value)
    assert line.startswith(("query 'q.toml'", "the query 'q.toml'"))
    assert line.isprintable()
    assert len(line) < 500
    for jargon in ("pydantic", "validation", "Input", "Tuple", "discriminator", "Value error"):
        assert jargon not in line
    return line


WRONG = {
    'kind = "mean"': ("11", "column is missing"),
    'kind = "mean"\ncolumn = "y"': ("13", "column = 'y' has no bounds"),
    'kind = "mean"\ncolumn = "X"\n': ("13", "has no bounds"),
    'kind = "mode"\ncolumn = "x"': ("11", "kind is one of count, sum, mean"),
    'column = "x"': ("11", "kind is one of count, sum, mean"),
    'kind = "mean"\ncolumn = "x"\nwhere = ["x"]': ("14", "a comparison is"),
    'kind = "mean"\ncolumn = "x"\nwhere = ["x < true"]': ("14", "a comparison is with"),
    'kind = "mean"\ncolumn = "x"\nwhere = [\'x < "a"\']': ("14", "== or != alone"),
    'kind = "mean"\ncolumn = "x"\nwhere = ["x < nan"]': ("14", "where cannot be used"),
    'kind = "mean"\n\ncolumns = "x"': ("14", "unknown key 'columns'"),
    'kind = "histogram"\ncolumn = "x"\nedges = [1, 1]': ("14", "edges ascend"),
    'kind = "histogram"\ncolumn = "x"\nedges = [1]': ("14", "edges cannot be used"),
    'kind = "quantiles"\ncolumn = "x"\nquantiles = [0.5, 1.0]': ("14", "less than 1"),
    'kind = "quantiles"\ncolumn = "x"\nquantiles = [0.5]\nsplits = 64': ("15", "splits cannot be used"),
    'kind = "share-above"\ncolumn = "x"\nthreshold = "7"': ("14", "threshold cannot be used"),
    'kind = "weighted-mean"\ncolumn = "x"\nweights = "w"': ("14", "not negative"),
    'kind = "correlation"\ncolumn = "x"\nother = "z"': ("14", "other = 'z' has no bounds"),
    'kind = "count"\ngroup-by = { column = "g", values = [] }': ("13", "values cannot be used"),
    'kind = "count"\n[statistics.group-by]\ncolumn = "g"\nvalues = ["a", "a"]': ("15", "stands twice"),
    'kind = "count"\nname = "a\\nb"': ("13", "name cannot be used"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said_with_its_line(text: str) -> None:
    number, words = WRONG[text]
    line = refusal(HEAD + text)
    assert f", line {number}: " in line
    assert words in line


COUNT = 'table = "t.csv"\nstatistics = [{ kind = "count" }]\n'


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ('table = "t.csv"\ntable = 1', "", "no TOML"),
        ('table = "../t.csv"\nstatistics = [{ kind = "count" }]', "1", "table cannot be used"),
        (
            '\ntable = "digits"\nstatistics = [{ kind = "count" }]',
            "",
            "one of breast_cancer, diabetes, iris, wine",
        ),
        ('table = "t.csv"', "", "statistics is missing"),
        ('table = "t.csv"\nstatistics = []', "2", "statistics cannot be used"),
        (f"{COUNT}min-count = 0", "3", "min-count cannot be used"),
        (f"{COUNT}min_count = 9", "3", "unknown key 'min_count'"),
        (f"{COUNT}[columns.x]\nlow = 1\nhigh = 1", "3", "low is below high"),
        (f"{COUNT}[columns.x]\nlow = 1\nhigh = inf", "5", "high cannot be used"),
        (f'{COUNT}[columns.x]\nlow = "1"\nhigh = 2', "4", "low cannot be used"),
        (f"{COUNT}[columns.x]\nlow = 1", "3", "high is missing"),
    ],
)
def test_the_rest_of_the_file(text: str, number: str, words: str) -> None:
    line = refusal(text)
    assert words in line
    if number:
        assert f", line {number}: " in line


def test_a_file_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "q.toml"
    path.write_text(HEAD + 'kind = "mean"\ncolumn = "x"')
    assert [each.kind for each in load(path).statistics] == ["count", "mean"]
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path)
    path.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(ConfigError, match="longer than"):
        load(path)
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(missing)


def test_comparisons() -> None:
    for text, found in {
        "petal length (cm)>=1.5": ("petal length (cm)", ">=", 1.5),
        " month == 7 ": ("month", "==", 7.0),
        'sky != "a < b"': ("sky", "!=", "a < b"),
        "x<-1e3": ("x", "<", -1000.0),
    }.items():
        condition = comparison(text)
        assert (condition.column, condition.relation, condition.value) == found


def test_the_page_and_the_examples_are_queries() -> None:
    root = Path(__file__).resolve().parents[2]
    for path in sorted((root / "examples").rglob("*.toml")):
        assert load(path).statistics
    page = (root / "docs" / "analytics.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)
    assert parse(block).statistics[0].kind == "mean"
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert [kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row)] == kinds()
