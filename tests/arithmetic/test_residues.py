"""Vectors mod 2^b: words, packing, signs, sums."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError, RangeError
from arithmetic.residues import (
    MODULUS_BITS,
    from_signed,
    pack,
    packed_size,
    to_signed,
    unpack,
    word_type,
    zeros,
)

every_modulus = pytest.mark.parametrize("bits", MODULUS_BITS)
SURPLUS = (24, 40, 48)


def lists_below(bits: int, max_size: int = 40) -> st.SearchStrategy[list[int]]:
    edges = st.sampled_from([0, 1, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1])
    return st.lists(st.one_of(st.integers(0, 2**bits - 1), edges), max_size=max_size)


moduli_and_lists = st.sampled_from(MODULUS_BITS).flatmap(
    lambda bits: st.tuples(st.just(bits), lists_below(bits))
)


@pytest.mark.parametrize(
    ("bits", "width"), [(16, 2), (24, 4), (32, 4), (40, 8), (48, 8), (64, 8)], ids=lambda value: str(value)
)
def test_word_is_the_least_that_holds_the_residue_and_little_endian(bits: int, width: int) -> None:
    assert word_type(bits) == np.dtype(f"<u{width}")
    assert zeros(3, bits).dtype == word_type(bits)
    assert zeros(3, bits).tolist() == [0, 0, 0]


@pytest.mark.parametrize("bits", [0, 1, 8, 15, 17, 23, 25, 31, 56, 63, 65, 128, -16])
def test_other_moduli_are_refused_with_the_choice(bits: int) -> None:
    for refused in (lambda: word_type(bits), lambda: zeros(1, bits), lambda: packed_size(1, bits)):
        with pytest.raises(ParameterError, match="16, 24, 32, 40, 48, 64"):
            refused()


@given(moduli_and_lists)
def test_pack_is_the_little_endian_bytes_of_every_entry(case: tuple[int, list[int]]) -> None:
    bits, values = case
    packed = pack(np.array(values, dtype=word_type(bits)), bits)
    assert packed == b"".join(value.to_bytes(bits // 8, "little") for value in values)
    assert len(packed) == packed_size(len(values), bits) == len(values) * bits // 8


@given(moduli_and_lists)
def test_unpack_is_the_inverse_of_pack(case: tuple[int, list[int]]) -> None:
    bits, values = case
    words = np.array(values, dtype=word_type(bits))
    packed = pack(words, bits)
    for buffer in (packed, memoryview(packed)):
        found = unpack(buffer, len(values), bits)
        assert found.dtype == word_type(bits)
        assert found.tolist() == values
    assert pack(unpack(packed, len(values), bits), bits) == packed


@pytest.mark.parametrize(
    ("bits", "packed"),
    [
        (16, "2211 ffff"),
        (24, "332211 ffffff"),
        (32, "44332211 ffffffff"),
        (40, "5544332211 ffffffffff"),
        (48, "665544332211 ffffffffffff"),
        (64, "8877665544332211 ffffffffffffffff"),
    ],
)
def test_little_endian_vector(bits: int, packed: str) -> None:
    """Written by hand from the definition; fixes the wire form across machines and versions."""
    words = np.array([0x1122334455667788 >> (64 - bits), 2**bits - 1], dtype=word_type(bits))
    assert pack(words, bits) == bytes.fromhex(packed)


@pytest.mark.parametrize("bits", SURPLUS)
@given(data=st.data())
def test_packing_drops_the_surplus_high_bits(bits: int, data: st.DataObject) -> None:
    width = word_type(bits).itemsize * 8
    values = data.draw(st.lists(st.integers(0, 2**width - 1), min_size=1, max_size=20))
    words = np.array(values, dtype=word_type(bits))
    assert unpack(pack(words, bits), len(values), bits).tolist() == [value % 2**bits for value in values]


@every_modulus
def test_pack_takes_strided_and_read_only_vectors_and_leaves_them_alone(bits: int) -> None:
    words = np.arange(20, dtype=word_type(bits))
    strided = words[::3]
    strided.flags.writeable = False
    assert unpack(pack(strided, bits), 7, bits).tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert words.tolist() == list(range(20))


@every_modulus
@pytest.mark.parametrize("off", [-1, 1])
def test_wrong_length_is_refused(bits: int, off: int) -> None:
    with pytest.raises(RangeError, match=f"send exactly {packed_size(5, bits)}"):
        unpack(bytes(packed_size(5, bits) + off), 5, bits)


@every_modulus
def test_wrong_count_is_refused(bits: int) -> None:
    for length in (0, 4, 6, -5):
        with pytest.raises(RangeError):
            unpack(bytes(packed_size(5, bits)), length, bits)


@every_modulus
def test_huge_declared_length_is_refused_before_anything_is_allocated(bits: int) -> None:
    tracemalloc.start()
    with pytest.raises(RangeError):
        unpack(bytes(16), 10**12, bits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@every_modulus
def test_empty_vector(bits: int) -> None:
    assert pack(zeros(0, bits), bits) == b""
    found = unpack(b"", 0, bits)
    assert found.shape == (0,)
    assert found.dtype == word_type(bits)
    assert to_signed(found, bits).shape == (0,)


@every_modulus
def test_to_signed_at_the_edges(bits: int) -> None:
    half = 2 ** (bits - 1)
    words = np.array([0, 1, half - 1, half, half + 1, 2 * half - 1], dtype=word_type(bits))
    assert to_signed(words, bits).tolist() == [0, 1, half - 1, -half, -half + 1, -1]


@given(st.sampled_from(MODULUS_BITS), st.data())
def test_from_signed_and_to_signed_are_inverse(bits: int, data: st.DataObject) -> None:
    half = 2 ** (bits - 1)
    values = data.draw(st.lists(st.integers(-half, half - 1), max_size=30))
    words = from_signed(np.array(values, dtype=np.int64), bits)
    assert words.dtype == word_type(bits)
    assert to_signed(words, bits).tolist() == values
    # ... and still after a trip over the wire, where the surplus bits of the word are lost
    assert to_signed(unpack(pack(words, bits), len(values), bits), bits).tolist() == values


@pytest.mark.parametrize("bits", SURPLUS)
def test_to_signed_looks_at_the_low_bits_only(bits: int) -> None:
    width = word_type(bits).itemsize * 8
    words = np.array([(2**width - 1) - 2**bits, 2**bits + 5], dtype=word_type(bits))
    assert to_signed(words, bits).tolist() == [-1, 5]


@settings(max_examples=60)
@given(st.sampled_from(MODULUS_BITS), st.integers(1, 12), st.data())
def test_sums_of_words_equal_sums_of_python_integers(bits: int, addends: int, data: st.DataObject) -> None:
    """The words of 24, 40 and 48 bits carry surplus bits and are never reduced in between."""
    width = word_type(bits).itemsize * 8
    rows = [data.draw(st.lists(st.integers(0, 2**width - 1), min_size=4, max_size=4)) for _ in range(addends)]
    signs = data.draw(st.lists(st.sampled_from([1, -1]), min_size=addends, max_size=addends))
    total = zeros(4, bits)
    for row, sign in zip(rows, signs, strict=True):
        words = np.array(row, dtype=word_type(bits))
        total = total + words if sign == 1 else total - words
    expected = [sum(s * row[at] for row, s in zip(rows, signs, strict=True)) % 2**bits for at in range(4)]
    assert unpack(pack(total, bits), 4, bits).tolist() == expected
    wrapped = [value - 2**bits if value >= 2 ** (bits - 1) else value for value in expected]
    assert to_signed(total, bits).tolist() == wrapped
