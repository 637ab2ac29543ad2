"""Mechanisms: what is refused, and the JSON form that gives the same floats back."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from privacy.mechanisms import (
    Budget,
    GaussianRelease,
    Mechanism,
    PoissonGaussian,
    check_delta,
    from_record,
    to_record,
)

NO_NUMBERS = [math.nan, math.inf, -math.inf, 0.0, -1.0, True, "1", None]

noise = st.floats(1e-3, 1e6)
colluders = st.integers(0, 2**20)
slack = st.one_of(st.just(0.0), st.floats(1e-30, 1e-9))
mechanisms: st.SearchStrategy[Mechanism] = st.one_of(
    st.builds(PoissonGaussian, st.floats(1e-9, 1.0), noise, st.integers(1, 2**40), slack, colluders),
    st.builds(
        GaussianRelease,
        noise,
        st.integers(1, 2**40),
        st.sampled_from(["example", "client"]),
        slack,
        colluders,
    ),
)


@pytest.mark.parametrize("bad", [*NO_NUMBERS, 1.0000001, 2])
def test_a_sampling_probability_is_in_0_1(bad: float) -> None:
    with pytest.raises(ParameterError, match="sampling probability"):
        PoissonGaussian(bad, 1.0, 1)


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_a_noise_multiplier_is_a_positive_number(bad: float) -> None:
    with pytest.raises(ParameterError, match="noise multiplier"):
        PoissonGaussian(0.1, bad, 1)
    with pytest.raises(ParameterError, match="noise multiplier"):
        GaussianRelease(bad, 1)


@pytest.mark.parametrize("bad", [*NO_NUMBERS, 0, 1.0, -3, 2**60])
def test_a_count_is_a_whole_number_of_at_least_one(bad: int) -> None:
    with pytest.raises(ParameterError, match="steps"):
        PoissonGaussian(0.1, 1.0, bad)
    with pytest.raises(ParameterError, match="count"):
        GaussianRelease(1.0, bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e-12, False, 2.0])
def test_a_slack_is_small_and_not_negative(bad: float) -> None:
    with pytest.raises(ParameterError, match="slack"):
        PoissonGaussian(0.1, 1.0, 1, bad)
    with pytest.raises(ParameterError, match="slack"):
        GaussianRelease(1.0, 1, slack=bad)


@pytest.mark.parametrize("bad", [math.nan, 1.0, -1, True, "1", None, 2**60])
def test_colluders_are_a_count(bad: int) -> None:
    assert PoissonGaussian(0.1, 1.0, 1).colluders == GaussianRelease(1.0, 1).colluders == 0
    with pytest.raises(ParameterError, match="colluders"):
        PoissonGaussian(0.1, 1.0, 1, colluders=bad)
    with pytest.raises(ParameterError, match="colluders"):
        GaussianRelease(1.0, 1, colluders=bad)


def test_only_two_units_are_known() -> None:
    with pytest.raises(ParameterError, match="example or client"):
        GaussianRelease(1.0, 1, "row")  # type: ignore[arg-type]


@given(mechanisms)
def test_the_json_form_gives_back_the_same_mechanism(mechanism: Mechanism) -> None:
    again = from_record(json.loads(json.dumps(to_record(mechanism))))
    assert again == mechanism
    assert type(again) is type(mechanism)
    assert again.event == mechanism.event


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "gaussian",
        {},
        {"name": "laplace"},
        {"name": ["gaussian"]},
        {"name": "gaussian", "noise_multiplier": 1.0},
        {**to_record(GaussianRelease(1.0, 1)), "more": 1},
        {**to_record(GaussianRelease(1.0, 1)), "count": "1"},
        {**to_record(PoissonGaussian(0.1, 1.0, 1)), "steps": math.nan},
        {**to_record(PoissonGaussian(0.1, 1.0, 1)), "unit": "client"},
        {**to_record(GaussianRelease(1.0, 1)), "colluders": -1},
        {key: value for key, value in to_record(GaussianRelease(1.0, 1)).items() if key != "colluders"},
    ],
)
def test_other_records_are_refused(record: object) -> None:
    with pytest.raises(ParameterError):
        from_record(record)


@pytest.mark.parametrize("bad", [*NO_NUMBERS, 1.0, 2.0])
def test_a_budget_has_a_delta_below_one(bad: float) -> None:
    with pytest.raises(ParameterError, match="delta"):
        Budget(1.0, bad)


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_a_budget_has_a_finite_epsilon(bad: float) -> None:
    with pytest.raises(ParameterError, match="epsilon"):
        Budget(bad, 1e-5)


def test_delta_is_at_most_a_tenth_of_one_over_n() -> None:
    assert check_delta(1e-4, 1000) == 1e-4
    with pytest.raises(ParameterError, match=r"at most 1/\(10 N\) = 0\.0001"):
        check_delta(math.nextafter(1e-4, 1), 1000)


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_a_delta_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ParameterError, match="delta"):
        check_delta(bad, 1000)


@pytest.mark.parametrize("bad", [0, -1, 1000.0, True])
def test_a_population_that_is_none_is_refused(bad: int) -> None:
    with pytest.raises(ParameterError, match="examples or clients"):
        check_delta(1e-9, bad)
