"""The alias table: the law it holds, computed exactly from its columns, and words that leave a choice open."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from privacy.alias_table import EXACT_BITS, AliasTable, words_of
from tests.support.streams import answers

MORE_BITS = EXACT_BITS - 32
weights_of_any_size = st.lists(st.integers(0, 2**80) | st.integers(0, 5), min_size=2, max_size=70)


def law_of(table: AliasTable) -> list[Fraction]:
    """Probability of every outcome: each column's part below its threshold, and the rest for its alias."""
    columns = 1 << table.column_bits
    masses = [0] * columns
    for column, threshold in enumerate(table.thresholds):
        start, end = (edge << (EXACT_BITS - table.column_bits) for edge in (column, column + 1))
        assert start <= threshold < end
        masses[column] += threshold - start
        masses[int(table.aliases[column])] += end - threshold
    return [Fraction(mass, 2**EXACT_BITS) for mass in masses]


@given(weights=weights_of_any_size)
def test_the_columns_hold_the_law_of_the_weights(weights: list[int]) -> None:
    assume(any(weights))
    law = law_of(AliasTable.of(weights))
    assert sum(law) == 1
    unit = Fraction(1, 2**EXACT_BITS)
    for outcome, probability in enumerate(law):
        weight = weights[outcome] if outcome < len(weights) else 0
        off = probability - Fraction(weight, sum(weights))
        assert -unit < off < unit * len(weights)
        assert weight or not probability, "an outcome without weight is never drawn"


@given(weights=weights_of_any_size, data=st.data())
def test_an_open_word_is_continued_and_compared_exactly(weights: list[int], data: st.DataObject) -> None:
    assume(any(weights))
    table = AliasTable.of(weights)
    column = data.draw(st.integers(0, len(table.thresholds) - 1))
    threshold = table.thresholds[column]
    word, rest = divmod(threshold, 1 << MORE_BITS)
    words = np.array([word], dtype=np.uint32)
    at = table.choose(words, answers(rest.to_bytes(MORE_BITS // 8, "big")))
    assert at.tolist() == [table.aliases[column]]
    if rest:
        below = table.choose(words, answers((rest - 1).to_bytes(MORE_BITS // 8, "big")))
        assert below.tolist() == [column]
    if word >> (32 - table.column_bits) == (word + 1) >> (32 - table.column_bits):
        assert table.choose(words + np.uint32(1), answers()).tolist() == [table.aliases[column]]
    if word and word >> (32 - table.column_bits) == (word - 1) >> (32 - table.column_bits):
        assert table.choose(words - np.uint32(1), answers()).tolist() == [column]


def test_only_the_open_words_of_many_are_continued_each_by_its_own_bytes() -> None:
    table = AliasTable.of([1, 2, 4])
    column = next(column for column, alias in enumerate(table.aliases) if alias != column)
    word = table.thresholds[column] >> MORE_BITS
    words = np.array([word, word ^ 1, word], dtype=np.uint32)
    low, high = bytes(MORE_BITS // 8), b"\xff" * (MORE_BITS // 8)
    chosen = table.choose(words, answers(low, high)).tolist()
    assert [chosen[0], chosen[2]] == [column, table.aliases[column]]


@pytest.mark.parametrize("given_bytes", [0, 4, 11])
def test_a_stream_that_runs_short_is_refused(given_bytes: int) -> None:
    with pytest.raises(ValueError, match="buffer"):
        words_of(lambda _: bytes(given_bytes), 3)
