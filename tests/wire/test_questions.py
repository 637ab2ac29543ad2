"""Questions and inquiries: strict on the way in, and sums of limbs that are the sums of the numbers."""

import json
from fractions import Fraction

import numpy as np
import pytest
from flwr.app import ConfigRecord
from hypothesis import given
from hypothesis import strategies as st

from arithmetic.errors import RangeError
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import MalformedMessage, Refused
from wire.inquiry import Inquiry, assigned
from wire.questions import LONGEST, MOST_ROWS, Bounds, Condition, Question, Summand

QUESTION = Question(
    table="a/b.csv",
    columns={"x": Bounds(low=-1.0, high=3.0), "y": Bounds(low=0.0, high=1e-3)},
    sums=(
        Summand(),
        Summand(of=("x",), where=(Condition(column="g", relation="==", value="a b"),)),
        Summand(of=("x", "y")),
    ),
)
INQUIRY = Inquiry(QUESTION, "/data", 7, 1000, PrivacyTerms())
LIMITS = [2**31, 2**83, 2**135]


@given(
    st.lists(
        st.tuples(st.integers(0, LIMITS[0]), *(st.integers(-limit, limit) for limit in LIMITS[1:])),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_sums_of_limbs_are_sums_of_numbers(clients: list[tuple[int, int, int]]) -> None:
    words = [QUESTION.encode(each, 1 << 20) for each in clients]
    total = np.add.reduce(words, dtype=np.uint64)
    assert QUESTION.decode(total, len(clients), 1 << 20) == [
        sum(column) for column in zip(*clients, strict=True)
    ]


def test_the_largest_cohort_of_the_largest_tables_does_not_wrap() -> None:
    """2^20 clients of 2^31 rows, each value at its bound: the words are added in Python, where nothing wraps."""
    for sign in (1, -1):
        totals = [LIMITS[0], sign * LIMITS[1], sign * LIMITS[2]]
        words = QUESTION.encode(totals, 1 << 20)
        summed = np.array([int(word) * (1 << 20) % 2**64 for word in words.tolist()], dtype=np.uint64)
        assert QUESTION.decode(summed, 1 << 20, 1 << 20) == [each << 20 for each in totals]


def test_a_sum_that_would_not_fit_is_refused() -> None:
    with pytest.raises(RangeError):
        QUESTION.encode([1, 0, 2**180], 1 << 20)


@pytest.mark.parametrize(("place", "value"), [(0, 2**63), (0, 3 * MOST_ROWS + 1), (1, 2**40), (2, 2**63)])
def test_sums_that_no_honest_clients_send_are_refused(place: int, value: int) -> None:
    words = QUESTION.encode([5, 5, 5], 4)
    words[place] = value
    with pytest.raises(RangeError, match="false vector"):
        QUESTION.decode(words, 3, 4)


def test_a_value_is_taken_in_steps_of_its_bounds() -> None:
    for bounds in (Bounds(low=-1e-9, high=0.0), Bounds(low=0.0, high=1e100), Bounds(low=-5.0, high=4.0)):
        largest = max(abs(bounds.low), abs(bounds.high))
        steps = Fraction(largest) * Fraction(2) ** bounds.exponent
        assert 2**51 <= steps <= 2**52
    exact = QUESTION.exact(QUESTION.sums[2], 3)
    assert exact == Fraction(3, 1) / Fraction(2) ** (
        QUESTION.columns["x"].exponent + QUESTION.columns["y"].exponent
    )


def test_a_question_and_back() -> None:
    assert Question.from_json(QUESTION.to_json()) == QUESTION
    assert QUESTION.asked == {"x", "y", "g"}
    assert QUESTION.length == 1 + 3 + 5
    back = assigned(INQUIRY.to_record())
    assert back == INQUIRY
    assert (back.job, back.purpose) == ("analytics", "analytics")


@pytest.mark.parametrize(
    "table",
    [
        "../t.csv",
        "/etc/t.csv",
        "a/../t.csv",
        "a//t.csv",
        ".t.csv",
        "t.csv\n",
        "t.txt",
        "digits",
        "",
        "a\\t.csv",
        "\x00.csv",
    ],
)
def test_a_table_leads_nowhere_else(table: str) -> None:
    text = json.dumps(json.loads(QUESTION.to_json()) | {"table": table})
    with pytest.raises(MalformedMessage):
        Question.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "1" * 5000, "[" * 100_000, " " * (LONGEST + 1),
        '{"table": "iris", "columns": {}, "sums": []}',
        '{"table": "iris", "columns": {}, "sums": [{"of": ["x"], "where": []}]}',
        '{"table": "iris", "columns": {"x": {"low": 1, "high": 1}}, "sums": [{}]}',
        '{"table": "iris", "columns": {"x": {"low": NaN, "high": 1}}, "sums": [{}]}',
        '{"table": "iris", "columns": {"x": {"low": 0, "high": 1e200}}, "sums": [{}]}',
        '{"table": "iris", "columns": {}, "sums": [{}], "more": 1}',
        '{"table": "iris", "columns": {}, "sums": [{"where": [{"column": "g", "relation": "<", "value": "a"}]}]}',
        '{"table": "iris", "columns": {}, "sums": [{"where": [{"column": "g", "relation": "in", "value": 1}]}]}',
        '{"table": "iris", "columns": {}, "sums": [{"where": [{"column": "g", "relation": "==", "value": true}]}]}',
        '{"table": "iris", "columns": {"x": {"low": 0, "high": 1}}, "sums": [{"of": ["x", "x", "x"]}]}',
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        Question.from_json(text)


@pytest.mark.parametrize("key", list(INQUIRY.to_record()))
def test_every_key_of_an_inquiry_is_due_and_typed(key: str) -> None:
    for value in (None, b"x", [1], 0.5 if not isinstance(INQUIRY.to_record()[key], float) else 1):
        record = INQUIRY.to_record()
        if value is None:
            del record[key]
        else:
            record[key] = value
        with pytest.raises(MalformedMessage):
            assigned(record)


def test_an_unknown_key_and_a_number_out_of_range() -> None:
    for extra in ({"more": 1}, {"seed": -1}, {"max-examples": -(2**62)}, {"privacy": "some"}):
        with pytest.raises(MalformedMessage):
            assigned(ConfigRecord({**INQUIRY.to_record(), **extra}))


@pytest.mark.parametrize("mode", ["local", "client", "local+client", "distributed"])
def test_modes_without_a_meaning_for_rows_and_promises_without_noise_are_refused(mode: str) -> None:
    with pytest.raises(Refused):
        assigned(ConfigRecord({**INQUIRY.to_record(), "privacy": mode, "delta": 1e-5}))


def test_terms_travel() -> None:
    terms = PrivacyTerms(
        PrivacyMode.DISTRIBUTED,
        noise_multiplier=2.0,
        clipping_norm=1.5,
        sampling_probability=1.0,
        delta=1e-5,
        rounds=1,
    )
    found = assigned(Inquiry(QUESTION, "", 0, 10, terms).to_record())
    assert found.terms == terms
