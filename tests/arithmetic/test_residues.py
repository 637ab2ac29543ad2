"""Vectors mod 2^b: words, signs, sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from arithmetic.packing import packed_size
from arithmetic.residues import LEAST_BITS, MOST_BITS, from_signed, to_signed, word_type, zeros
from tests.support.residues import packed, unpacked

every_modulus = pytest.mark.parametrize("bits", range(LEAST_BITS, MOST_BITS + 1))
moduli = st.integers(LEAST_BITS, MOST_BITS)


@every_modulus
def test_word_is_the_least_that_holds_the_residue_and_little_endian(bits: int) -> None:
    width = 1 if bits == 8 else 2 if bits <= 16 else 4 if bits <= 32 else 8
    assert word_type(bits) == np.dtype(f"<u{width}")
    assert zeros(3, bits).dtype == word_type(bits)
    assert zeros(3, bits).tolist() == [0, 0, 0]


@pytest.mark.parametrize("bits", [0, 1, 7, 65, 128, -16])
def test_other_moduli_are_refused_with_the_choice(bits: int) -> None:
    for refused in (lambda: word_type(bits), lambda: zeros(1, bits), lambda: packed_size(1, bits)):
        with pytest.raises(ParameterError, match="choose b from 8 to 64"):
            refused()


@every_modulus
def test_to_signed_at_the_edges(bits: int) -> None:
    half = 2 ** (bits - 1)
    words = np.array([0, 1, half - 1, half, half + 1, 2 * half - 1], dtype=word_type(bits))
    assert to_signed(words, bits).tolist() == [0, 1, half - 1, -half, -half + 1, -1]


@given(moduli, st.data())
def test_from_signed_and_to_signed_are_inverse(bits: int, data: st.DataObject) -> None:
    half = 2 ** (bits - 1)
    values = data.draw(st.lists(st.integers(-half, half - 1), max_size=30))
    words = from_signed(np.array(values, dtype=np.int64), bits)
    assert words.dtype == word_type(bits)
    assert to_signed(words, bits).tolist() == values
    # ... and still after a trip over the wire, where the surplus bits of the word are lost
    assert to_signed(unpacked(packed(words, bits), len(values), bits), bits).tolist() == values


@pytest.mark.parametrize("bits", [9, 15, 17, 24, 31, 33, 40, 48, 63])
def test_to_signed_looks_at_the_low_bits_only(bits: int) -> None:
    width = word_type(bits).itemsize * 8
    words = np.array([(2**width - 1) - 2**bits, 2**bits + 5], dtype=word_type(bits))
    assert to_signed(words, bits).tolist() == [-1, 5]


@settings(max_examples=60)
@given(moduli, st.integers(1, 12), st.data())
def test_sums_of_words_equal_sums_of_python_integers(bits: int, addends: int, data: st.DataObject) -> None:
    """Words wider than b carry surplus bits and are never reduced in between."""
    width = word_type(bits).itemsize * 8
    rows = [data.draw(st.lists(st.integers(0, 2**width - 1), min_size=4, max_size=4)) for _ in range(addends)]
    signs = data.draw(st.lists(st.sampled_from([1, -1]), min_size=addends, max_size=addends))
    total = zeros(4, bits)
    for row, sign in zip(rows, signs, strict=True):
        words = np.array(row, dtype=word_type(bits))
        total = total + words if sign == 1 else total - words
    expected = [sum(s * row[at] for row, s in zip(rows, signs, strict=True)) % 2**bits for at in range(4)]
    assert unpacked(packed(total, bits), 4, bits).tolist() == expected
    wrapped = [value - 2**bits if value >= 2 ** (bits - 1) else value for value in expected]
    assert to_signed(total, bits).tolist() == wrapped
