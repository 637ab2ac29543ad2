"""Residues as words, bytes and bit planes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictions.ring import from_plane, pack, packed_bytes, reduced, to_planes, unpack, word


@given(st.integers(1, 64), st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_packed_residues_come_back_and_take_whole_bytes(bits: int, values: list[int]) -> None:
    words = reduced(np.array(values, np.uint64), bits)
    assert words.dtype == word(bits)
    assert words.tolist() == [value % 2**bits for value in values]
    data = pack(words, bits)
    assert len(data) == packed_bytes(len(values), bits) == len(values) * -(-bits // 8)
    assert unpack(data, bits).tolist() == words.tolist()


def test_residues_out_of_range_on_the_wire_are_reduced() -> None:
    assert unpack(b"\xff\xff\x01\x00\xff\x00", 20).tolist() == [0xFFFFF, 1]


@given(st.integers(1, 40), st.integers(1, 100), st.integers(0, 2**32))
def test_planes_hold_the_bits_of_every_element(bits: int, count: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 1 << bits, count).astype(word(bits))
    planes = to_planes(words, bits)
    assert planes.shape == (bits, -(-count // 8))
    for bit, plane in enumerate(planes):
        assert from_plane(plane, count).tolist() == ((words >> words.dtype.type(bit)) & 1).tolist()


@pytest.mark.parametrize("count", [1 << 14, (1 << 14) + 1, (1 << 15) + 77])
def test_planes_of_many_elements_are_made_in_parts(count: int) -> None:
    words = np.random.default_rng(0).integers(0, 1 << 24, count).astype(np.uint32)
    planes = to_planes(words, 24)
    again = sum(from_plane(plane, count).astype(np.int64) << bit for bit, plane in enumerate(planes))
    assert (again == words).all()


def test_bits_that_fill_up_a_plane_are_zero() -> None:
    assert to_planes(np.full(3, 255, np.uint8), 8).tolist() == [[7]] * 8
