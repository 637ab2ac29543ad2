"""Answers over any tables, dealt out anyhow, are those of the tables put together."""

import math
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.query_file import parse
from app.statistics import Answer
from app.survey import Survey
from arithmetic.errors import ConfigError
from tests.support.analytics import answers, stations, table

EXAMPLE = (Path(__file__).resolve().parents[2] / "examples" / "weather" / "query.toml").read_text()
LOW, HIGH = -50.0, 1000.0
HEAD = f"""
table = "t.csv"
min-count = 3
columns = {{ x = {{ low = {LOW}, high = {HIGH} }}, w = {{ low = 0, high = 7 }} }}
"""

values = st.one_of(
    st.floats(-60, 1100).map(lambda v: float(np.float32(v))), st.integers(-50, 1000).map(float), st.just(12.5)
)
rows = st.lists(st.tuples(values, st.integers(0, 7), st.sampled_from("abc")), max_size=25)


def asked(statistic: str) -> str:
    return f"{HEAD}\n[[statistics]]\n{statistic}"


def one(query: str, *clients: dict[str, Any]) -> Answer:
    (found,) = answers(query, [table(each) for each in clients])
    return found


def pooled(tables: list[list[tuple[float, int, str]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values clamped to their bounds, weights and groups of all clients."""
    together = [row for each in tables for row in each]
    x = np.clip(np.array([row[0] for row in together], dtype=np.float64), LOW, HIGH)
    return x, np.array([row[1] for row in together], dtype=np.float64), np.array([row[2] for row in together])


def ask(tables: list[list[tuple[float, int, str]]], statistic: str) -> list[Answer]:
    columns = [
        dict(zip("xwg", zip(*each, strict=True), strict=True)) if each else {"x": [], "w": [], "g": []}
        for each in tables
    ]
    return answers(asked(statistic), [table(each) for each in columns])


def near(value: float, absolute: float = 1e-9) -> Any:
    return pytest.approx(value, rel=1e-6, abs=absolute)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=3, max_size=5))
def test_counts_are_exact_and_the_rest_is_the_pooled_computation(
    tables: list[list[tuple[float, int, str]]],
) -> None:
    x, w, _ = pooled(tables)
    n = len(x)
    (count,), (total,) = ask(tables, 'kind = "count"'), ask(tables, 'kind = "sum"\ncolumn = "x"')
    (mean,), (variance,) = (ask(tables, f'kind = "{kind}"\ncolumn = "x"') for kind in ("mean", "variance"))
    (weighted,) = ask(tables, 'kind = "weighted-mean"\ncolumn = "x"\nweights = "w"')
    (correlation,) = ask(tables, 'kind = "correlation"\ncolumn = "x"\nother = "w"')
    found = [count, total, mean, variance, weighted, correlation]
    if n < 3:
        assert all(each.suppressed and each.value is None for each in found)
        return
    assert (count.value, type(count.value)) == (n, int)
    assert total.value == near(math.fsum(x))
    assert mean.value == near(math.fsum(x) / n)
    assert variance.value == near(float(np.var(x, ddof=1)))
    assert weighted.value == (near(math.fsum(x * w) / math.fsum(w)) if w.sum() else None)
    if np.ptp(x) and np.ptp(w):
        assert correlation.value == near(float(np.corrcoef(x, w)[0, 1]), 1e-7)
    else:
        assert correlation.value is None
    raw = [row[0] for each in tables for row in each]
    outside = sum(not LOW <= value <= HIGH for value in raw)
    assert mean.clamped == (outside if outside == 0 or outside >= 3 else None)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=3, max_size=5))
def test_groups_bins_and_shares(tables: list[list[tuple[float, int, str]]]) -> None:
    x, _, groups = pooled(tables)
    found = ask(tables, 'kind = "mean"\ncolumn = "x"\ngroup-by = { column = "g", values = ["a", "b", "z"] }')
    for answer in found:
        mine = x[groups == answer.group]
        assert answer.suppressed == (len(mine) < 3)
        if len(mine) >= 3:
            assert answer.value == near(float(mine.mean()))
    edges = [-50, 0, 12.5, 300, 1000]
    raw = np.array([row[0] for each in tables for row in each])
    due, _ = np.histogram(raw, edges)
    bins = ask(tables, f'kind = "histogram"\ncolumn = "x"\nedges = {edges}')
    assert [each.value for each in bins] == [count if count >= 3 else None for count in due.tolist()]
    for kind, part in (("above", (raw > 12.5).sum()), ("below", (raw < 12.5).sum())):
        (share,) = ask(tables, f'kind = "share-{kind}"\ncolumn = "x"\nthreshold = 12.5')
        few = min(part, len(raw) - part) < 3
        assert share.value == (None if few else near(part / len(raw)))


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=3, max_size=5), st.sampled_from([1, 7, 20]))
def test_quantiles(tables: list[list[tuple[float, int, str]]], splits: int) -> None:
    x, _, _ = pooled(tables)
    wanted = [0.1, 0.25, 0.5, 0.7, 0.99]
    found = ask(tables, f'kind = "quantiles"\ncolumn = "x"\nquantiles = {wanted}\nsplits = {splits}')
    for quantile, answer in zip(wanted, found, strict=True):
        rank = math.ceil(Fraction(str(quantile)) * len(x))
        if rank < 3 or len(x) - rank < 3:
            assert answer.suppressed
            assert answer.value is None
        else:
            assert answer.value == near(float(np.sort(x)[rank - 1]), (HIGH - LOW) * 2.0**-42)


def test_a_variance_that_cancels_in_floats_is_exact() -> None:
    """Values of 1e6 with a spread of 1e-3: sum of squares less square of sum loses everything in floats."""
    x = 1e6 + np.arange(50) * 1e-3
    query = """
table = "t.csv"
columns = { x = { low = 0, high = 2e6 } }
statistics = [{ kind = "variance", column = "x" }]
"""
    found = one(query, {"x": x[:20].tolist()}, {"x": x[20:].tolist()}, {"x": []})
    assert found.value == near(float(np.var(x - 1e6, ddof=1)))


def test_an_average_of_averages_is_weighted_rightly() -> None:
    """Two stations: a mean of 10 over 30 days and one of 20 over 10; plain averages say 15."""
    query = asked('kind = "weighted-mean"\ncolumn = "x"\nweights = "w"')
    first, second = {"x": [10.0] * 5, "w": [6] * 5}, {"x": [20.0] * 5, "w": [2] * 5}
    assert one(query, first, second, {"x": [], "w": []}).value == pytest.approx(12.5, rel=1e-12)


def test_a_client_that_lies_within_its_range_moves_only_its_part() -> None:
    """Adversary: a client whose cells are all at a bound, or far beyond it: clamped, it is one row among others."""
    honest = [{"x": [10.0] * 20} for _ in range(3)]
    mean = asked('kind = "mean"\ncolumn = "x"')
    lies = one(mean, *honest, {"x": [1e9] * 5})
    assert lies.value == pytest.approx((60 * 10 + 5 * HIGH) / 65, rel=1e-12)
    assert lies.clamped == 5


def test_conditions_by_number_and_by_text() -> None:
    query = asked('kind = "count"\nwhere = ["x >= 2", "x != 4", \'g == "a"\']')
    client = {"x": [1, 2, 3, 4, 5, 6], "g": ["a", "a", "b", "a", "a ", "a"]}
    assert one(query, client, client, client).value == 9


def test_questions_share_a_session_and_equal_sums_are_asked_once() -> None:
    survey = Survey(parse(EXAMPLE))
    question = survey.question
    assert question is not None
    assert max(Counter(question.sums).values()) == 1
    plain = sum(not each.of and not each.where for each in question.sums)
    assert plain == 1  # the count of all rows, which five statistics want


def test_the_example_over_stations(tmp_path: Path) -> None:
    made = stations(tmp_path, 6)
    found = {
        (each.name, each.group, each.part): each for each in answers(EXAMPLE, [table(each) for each in made])
    }
    x = np.concatenate([each["temperature"] for each in made])
    days = np.concatenate([each["days"] for each in made])
    assert found["count", None, ""].value == len(x)
    assert found["mean temperature", None, ""].value == near(float(x.mean()))
    assert found["mean temperature, a day each", None, ""].value == near(float(np.average(x, weights=days)))
    assert found["above 70 degrees", None, ""].value == near(float((x > 70).mean()))
    assert found["mean by sky", "snow", ""].suppressed
    assert found["quantiles temperature", None, "0.5"].value == near(
        float(np.quantile(x, 0.5, method="inverted_cdf"))
    )


def test_the_norm_of_a_row_counts_groups_and_bins_once() -> None:
    """With noise a row adds to one bin, to one group's count and sum, and to the count of all."""
    bins = 'kind = "histogram"\ncolumn = "x"\nedges = [0, 1, 2, 3]'
    mean = '[[statistics]]\nkind = "mean"\ncolumn = "x"\ngroup-by = { column = "g", values = ["a", "b"] }'
    count = '[[statistics]]\nkind = "count"'
    survey = Survey(parse(asked("\n".join([bins, mean, count]))), noisy=True)
    assert survey.norm == pytest.approx(2.0)
    assert survey.question is not None
    assert len(survey.question.sums) == 3 + 4 + 1


@pytest.mark.parametrize("kind", ["variance", "quantiles", "correlation", "weighted-mean"])
def test_what_has_no_noisy_mode_is_refused(kind: str) -> None:
    more = {"quantiles": "quantiles = [0.5]", "correlation": 'other = "w"', "weighted-mean": 'weights = "w"'}
    with pytest.raises(ConfigError, match="cannot be asked with noise"):
        Survey(parse(asked(f'kind = "{kind}"\ncolumn = "x"\n{more.get(kind, "")}')), noisy=True)


def test_a_session_that_would_ask_too_much_is_refused() -> None:
    edges = list(range(1000))
    groups = ", ".join(f'"{at}"' for at in range(10))
    query = asked(
        f'kind = "histogram"\ncolumn = "x"\nedges = {edges}\ngroup-by = {{ column = "g", values = [{groups}] }}'
    )
    with pytest.raises(ConfigError, match="ask 4096 or fewer"):
        _ = Survey(parse(query)).question
