"""Packing: the bytes by their definition, refusals, and adding without unpacking."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arithmetic.errors import RangeError
from arithmetic.packing import add_packed, check_packed, pack, packed_size
from arithmetic.residues import LEAST_BITS, MOST_BITS, Words, word_type, zeros
from tests.support.residues import packed, unpacked

every_modulus = pytest.mark.parametrize("bits", range(LEAST_BITS, MOST_BITS + 1))
moduli = st.integers(LEAST_BITS, MOST_BITS)
SURPLUS = [bits for bits in range(LEAST_BITS, MOST_BITS + 1) if bits not in (8, 16, 32, 64)]
CHUNK_LANES = 1 << 14


def lists_below(bits: int, max_size: int = 150) -> st.SearchStrategy[list[int]]:
    edges = st.sampled_from([0, 1, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1])
    return st.lists(st.one_of(st.integers(0, 2**bits - 1), edges), max_size=max_size)


moduli_and_lists = moduli.flatmap(lambda bits: st.tuples(st.just(bits), lists_below(bits)))


def by_definition(values: list[int], bits: int) -> bytes:
    """The bit string as one Python integer."""
    string = 0
    for value in reversed(values):
        string = string << bits | value
    return string.to_bytes((len(values) * bits + 7) // 8, "little")


def any_words(length: int, bits: int, seed: int = 1) -> Words:
    """Random words, surplus bits included."""
    word = word_type(bits)
    return np.random.default_rng(seed).integers(0, np.iinfo(word).max, length, dtype=word, endpoint=True)


# ---- the bytes


@given(moduli_and_lists)
def test_pack_is_the_little_endian_bit_string(case: tuple[int, list[int]]) -> None:
    bits, values = case
    found = pack(np.array(values, dtype=word_type(bits)), bits)
    assert found == by_definition(values, bits)
    assert (found.format, found.itemsize) == ("B", 1)
    assert len(found) == packed_size(len(values), bits) == -(-len(values) * bits // 8)


@every_modulus
@pytest.mark.parametrize("length", [1, 2, 7, 63, 64, 65, 128, 200])
def test_pack_by_definition_around_whole_groups(bits: int, length: int) -> None:
    values = [int(value) % 2**bits for value in any_words(length, bits, length)]
    data = pack(np.array(values, dtype=word_type(bits)), bits)
    assert data == by_definition(values, bits)
    assert unpacked(data, length, bits).tolist() == values


@given(moduli_and_lists)
def test_adding_to_zero_is_the_inverse_of_pack(case: tuple[int, list[int]]) -> None:
    bits, values = case
    words = np.array(values, dtype=word_type(bits))
    data = packed(words, bits)
    for buffer in (data, memoryview(data), memoryview(b"\xff" + data)[1:]):
        assert unpacked(buffer, len(values), bits).tolist() == values
    assert pack(unpacked(data, len(values), bits), bits) == data


@pytest.mark.parametrize(
    ("bits", "packed"),
    [
        (8, "11 ff"),
        (12, "12f1ff"),
        (16, "2211 ffff"),
        (20, "2312f1ffff"),
        (24, "332211 ffffff"),
        (32, "44332211 ffffffff"),
        (40, "5544332211 ffffffffff"),
        (48, "665544332211 ffffffffffff"),
        (56, "77665544332211 ffffffffffffff"),
        (64, "8877665544332211 ffffffffffffffff"),
    ],
)
def test_little_endian_vector(bits: int, packed: str) -> None:
    """Written by hand from the definition; fixes the wire form across machines and versions."""
    words = np.array([0x1122334455667788 >> (64 - bits), 2**bits - 1], dtype=word_type(bits))
    assert pack(words, bits) == bytes.fromhex(packed)


def test_bits_of_no_whole_bytes_by_hand() -> None:
    """1, 2, 3 of 9 bits: ones at bits 0, 10, 18 and 19; 27 bits, five more to fill the byte up."""
    assert pack(np.array([1, 2, 3], dtype="<u2"), 9).hex() == "01040c00"
    assert pack(np.array([511, 0, 511], dtype="<u2"), 9).hex() == "ff01fc07"


@pytest.mark.parametrize("bits", SURPLUS)
def test_packing_drops_the_surplus_high_bits(bits: int) -> None:
    words = any_words(500, bits)
    assert (words >> word_type(bits).type(bits)).any()
    assert unpacked(packed(words, bits), 500, bits).tolist() == [int(value) % 2**bits for value in words]


@pytest.mark.parametrize("bits", [9, 12, 15, 17, 24, 31, 33, 40, 47, 56, 60, 63])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_chunks_leave_no_seam(bits: int, off: int) -> None:
    """Around two chunks; a vector of any length starts like a longer one."""
    length = 2 * CHUNK_LANES * (8 // word_type(bits).itemsize) + off
    words = any_words(length, bits) & word_type(bits).type(2**bits - 1)
    data = packed(words, bits)
    assert np.array_equal(unpacked(data, length, bits), words)
    string = int.from_bytes(data, "little")
    for at in (0, length // 2 - 1, length // 2, length // 2 + 1, length - 2, length - 1):
        assert (string >> (at * bits)) % 2**bits == words[at]


@every_modulus
def test_pack_leaves_a_strided_vector_alone(bits: int) -> None:
    words = any_words(300, bits)
    before = words.tolist()
    assert unpacked(pack(words[::3], bits), 100, bits).tolist() == [value % 2**bits for value in before[::3]]
    assert words.tolist() == before


@every_modulus
def test_the_packed_bytes_lie_in_the_vector_s_own_memory(bits: int) -> None:
    words = any_words(300, bits)
    expected = by_definition([int(value) % 2**bits for value in words], bits)
    found = pack(words, bits)
    assert words.view(np.uint8)[: len(found)].tobytes() == bytes(found) == expected
    assert np.shares_memory(np.frombuffer(found, dtype=np.uint8), words)


@every_modulus
def test_empty_vector(bits: int) -> None:
    assert pack(zeros(0, bits), bits) == b""
    add_packed(zeros(0, bits), b"", bits)


# ---- what is refused


@every_modulus
@pytest.mark.parametrize("off", [-1, 1])
def test_wrong_length_is_refused(bits: int, off: int) -> None:
    data, total = bytes(packed_size(5, bits) + off), any_words(5, bits)
    before = total.tolist()
    with pytest.raises(RangeError, match=f"send exactly {packed_size(5, bits)}"):
        check_packed(data, 5, bits)
    with pytest.raises(RangeError, match=f"send exactly {packed_size(5, bits)}"):
        add_packed(total, data, bits)
    assert total.tolist() == before


@every_modulus
def test_wrong_count_is_refused(bits: int) -> None:
    for length in (0, 4, 6, -5):
        with pytest.raises(RangeError):
            check_packed(bytes(packed_size(5, bits)), length, bits)


@every_modulus
def test_huge_declared_length_is_refused_before_anything_is_allocated(bits: int) -> None:
    tracemalloc.start()
    with pytest.raises(RangeError):
        check_packed(bytes(16), 10**12, bits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@every_modulus
def test_every_bit_behind_the_last_entry_must_be_zero(bits: int) -> None:
    """Every vector has one packed form; the highest bit of the last entry itself is free."""
    for length in range(1, 9):
        data = bytearray(pack(np.full(length, 2 ** (bits - 1), dtype=word_type(bits)), bits))
        check_packed(bytes(data), length, bits)
        total = zeros(length, bits)
        for at in range(length * bits, 8 * len(data)):
            bad = bytearray(data)
            bad[at // 8] |= 1 << at % 8
            with pytest.raises(RangeError, match="send them as zero"):
                add_packed(total, bytes(bad), bits)
        assert not total.any()


# ---- adding


@every_modulus
@pytest.mark.parametrize("length", [1, 2, 64, 1001])
def test_add_packed_adds_mod_2_to_the_b(bits: int, length: int) -> None:
    total = any_words(length, bits, 7)
    rows = [any_words(length, bits, seed) for seed in range(3)]
    expected = [sum(map(int, column)) % 2**bits for column in zip(total, *rows, strict=True)]
    for row in rows:
        add_packed(total, memoryview(b"\xff\xff" + packed(row, bits))[2:], bits)
    assert unpacked(packed(total, bits), length, bits).tolist() == expected


@pytest.mark.parametrize("bits", [9, 24, 31, 40, 63])
def test_add_packed_over_several_chunks(bits: int) -> None:
    length = 3 * CHUNK_LANES * (8 // word_type(bits).itemsize) + 5
    total, words = any_words(length, bits, 1), any_words(length, bits, 2)
    expected = pack(total + words, bits)
    add_packed(total, pack(words, bits), bits)
    assert pack(total, bits) == expected


@pytest.mark.parametrize("bits", [9, 24, 31, 48, 63])
def test_memory_beside_the_vector_does_not_grow(bits: int) -> None:
    total = zeros(1_000_000, bits)
    data = packed(total, bits)
    for work in (lambda: pack(total, bits), lambda: add_packed(total, data, bits)):
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000
