"""Curves and bars of text: scaled, thinned, never longer than asked for."""

from hypothesis import given
from hypothesis import strategies as st

from app.charts import bar, curve, stretched

NUMBERS = st.lists(st.floats(-1e6, 1e6), max_size=200)


@given(NUMBERS, st.integers(1, 60), st.integers(1, 8))
def test_a_curve_keeps_to_its_size(values: list[float], width: int, height: int) -> None:
    lines = curve(values, width, height)
    assert len(lines) == height
    assert {len(line) for line in lines} == {min(len(values), width)}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(1, 8))
def test_a_higher_value_is_never_drawn_lower(values: list[float], height: int) -> None:
    lines = curve(values, 30, height)
    level = [sum(" ▁▂▃▄▅▆▇█".index(line[at]) for line in lines) for at in range(len(values))]
    drawn = [level[at] for at in sorted(range(len(values)), key=values.__getitem__)]
    assert drawn == sorted(drawn)


def test_the_lowest_and_the_highest_reach_the_edges() -> None:
    assert curve([0.0, 1.0], 10, 2) == [" █", "▁█"]
    assert curve([], 10, 2) == ["", ""]
    assert curve([3.0, 3.0], 10, 1) == ["▃▃"], "a flat curve is in the middle"


def test_the_last_value_stays_when_many_are_thinned_out() -> None:
    values = [0.0] * 99 + [1.0]
    assert curve(values, 10, 1) == ["▁▁▁▁▁▁▁▁▁█"]
    assert curve(values, 1, 1) == ["▃"]


def test_values_are_stretched_over_columns_and_the_last_stays() -> None:
    assert stretched([1.0, 2.0], 4) == [1.0, 1.0, 2.0, 2.0]
    assert stretched([1.0, 2.0, 3.0], 2) == [1.0, 3.0]
    assert (stretched([], 5), stretched([7.0], 0)) == ([], [7.0])


def test_a_bar_is_filled_by_its_part() -> None:
    assert [bar(part, 4) for part in (-1, 0, 0.5, 1, 7)] == ["────", "────", "━━──", "━━━━", "━━━━"]
