"""Packing: exact round trips, sums at the very ends of the room, and nothing past them."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arithmetic.errors import ParameterError, RangeError
from paillier.ciphertext import add_plain, decrypt, encrypt
from paillier.packing import MOST_FRACTION, Packing
from secagg.encoding import Reader, Writer
from secagg.errors import Refused
from tests.paillier.made import pair_of, quick

DIABETES = Packing(length=11, parties=5, bound=1 << 20, fraction_bits=32, key_bits=3072)


def _sum(packing: Packing, vectors: list[list[float]]) -> list[int]:
    return [sum(column) for column in zip(*map(packing.pack, vectors), strict=True)]


def test_eleven_numbers_of_a_regression_fit_one_plaintext() -> None:
    assert DIABETES.plaintexts == 1
    assert DIABETES.slots >= 11
    assert Packing(11, 1024, 1 << 40, 64, 2048).plaintexts == 1


@pytest.mark.parametrize("parties", [1, 2, 3, 5, 7, 8, 1000])
@pytest.mark.parametrize("bound", [1, 3, 1 << 20])
@pytest.mark.parametrize("fraction", [0, 1, 31])
def test_all_parties_at_either_end_of_the_range_add_up_exactly(
    parties: int, bound: int, fraction: int
) -> None:
    packing = Packing(length=7, parties=parties, bound=bound, fraction_bits=fraction, key_bits=128)
    step = 2.0**-fraction
    ends = [bound, -bound, bound - step, step - bound, 0.0, step, -step]
    for values in (
        ends,
        ends[::-1],
        [float(bound)] * 7,
        [float(-bound)] * 7,
        [float(bound), -float(bound)] * 3 + [0.0],
    ):
        total = packing.unpack(_sum(packing, [values] * parties))
        assert total == [parties * value for value in values]


@pytest.mark.parametrize("beyond", [3 + 2**-30, -3 - 2**-30, 4.0, 1e300, math.nan, math.inf, -math.inf])
def test_a_number_beyond_the_bound_is_refused(beyond: float) -> None:
    packing = Packing(length=2, parties=3, bound=3, fraction_bits=30, key_bits=2048)
    with pytest.raises(RangeError):
        packing.pack([0.0, beyond])
    packing.pack([0.0, 3 + 2**-32])  # rounds to the bound


def test_a_slot_is_as_wide_as_it_must_be_and_no_wider() -> None:
    for parties in range(1, 40):
        packing = Packing(length=1, parties=parties, bound=1, fraction_bits=4, key_bits=64)
        assert parties * packing.largest < 1 << (packing.width - 1)
        assert not parties * packing.largest < 1 << (packing.width - 2)


def test_a_plaintext_full_of_largest_sums_stays_below_half_of_the_least_modulus() -> None:
    for bits in range(16, 200):
        packing = Packing(length=1, parties=5, bound=9, fraction_bits=2, key_bits=bits)
        full = Packing(packing.slots, 5, 9, 2, bits)
        top = _sum(full, [[9.0] * full.length] * 5)
        assert len(top) == 1
        assert 2 * top[0] < 1 << (bits - 1)
        assert full.unpack(top) == [45.0] * full.length
        assert full.unpack([-top[0]]) == [-45.0] * full.length


@given(
    st.integers(1, 6),
    st.lists(st.lists(st.floats(-100, 100), min_size=9, max_size=9), min_size=1, max_size=6),
)
def test_sums_are_those_of_the_rounded_numbers(extra: int, vectors: list[list[float]]) -> None:
    packing = Packing(9, len(vectors) + extra, 100, 20, 64 + 40 * extra)
    total = packing.levels(_sum(packing, vectors))
    assert total == [sum(round(value * 2**20) for value in column) for column in zip(*vectors, strict=True)]


def test_a_vector_longer_than_a_plaintext_takes_several() -> None:
    packing = Packing(length=100, parties=3, bound=10, fraction_bits=20, key_bits=256)
    assert packing.plaintexts == -(-100 // packing.slots) > 1
    values = [math.sin(at) * 10 for at in range(100)]
    assert packing.levels(packing.pack(values)) == [round(value * 2**20) for value in values]


def test_numbers_of_numpy_are_numbers() -> None:
    packing = Packing(3, 3, 8, 16, 256)
    for kind in (np.float64, np.float32, np.int64):
        assert packing.unpack(packing.pack(np.array([1, -2, 3], dtype=kind))) == [1.0, -2.0, 3.0]


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 10, [1.0] * 12])
def test_another_length_is_refused(values: list[float]) -> None:
    with pytest.raises(RangeError, match="11"):
        DIABETES.pack(values)


def test_what_is_no_sum_of_vectors_is_given_to_nobody() -> None:
    most = DIABETES.parties * DIABETES.largest
    assert DIABETES.levels([most]) == [most] + [0] * 10
    for number in (
        most + 1,
        -most - 1,
        1 << (11 * DIABETES.width),
        -(1 << 3000),
        1 << (3 * DIABETES.width - 1),
    ):
        with pytest.raises(RangeError):
            DIABETES.unpack([number])
    for count in (0, 2):
        with pytest.raises(RangeError):
            DIABETES.unpack([0] * count)


@pytest.mark.parametrize(
    "changed",
    [
        {"length": 0}, {"length": (1 << 24) + 1}, {"parties": 0}, {"bound": 0}, {"bound": -1}, {"bound": 1.5},
        {"bound": (1 << 256) + 1}, {"fraction_bits": -1}, {"fraction_bits": MOST_FRACTION + 1}, {"key_bits": 7},
        {"length": True}, {"parties": "5"}, {"bound": 1 << 31, "fraction_bits": 32, "key_bits": 64},
    ],
)  # fmt: skip
def test_what_has_no_room_is_refused_when_it_is_made(changed: dict[str, Any]) -> None:
    arguments = {"length": 11, "parties": 5, "bound": 1, "fraction_bits": 8, "key_bits": 64}
    Packing(**arguments)
    with pytest.raises(ParameterError):
        Packing(**(arguments | changed))


def test_one_bit_less_than_a_slot_needs_is_refused() -> None:
    needed = Packing(1, 5, 1 << 10, 10, 64).width + 2
    assert Packing(1, 5, 1 << 10, 10, needed).slots == 1
    with pytest.raises(ParameterError, match="no room"):
        Packing(1, 5, 1 << 10, 10, needed - 1)


def test_bytes_give_the_same_packing_or_are_refused() -> None:
    data = DIABETES.write(Writer(1, 1)).finish()
    assert Packing.read(Reader(data, 1, 1, "test"), 3072) == DIABETES
    with pytest.raises(Refused):
        Packing.read(Reader(data, 1, 1, "test"), 32)
    with pytest.raises(Refused):
        Packing.read(Reader(data[:2] + bytes(len(data) - 2), 1, 1, "test"), 3072)


def test_packed_vectors_add_up_under_the_cipher() -> None:
    pair = pair_of(3072)
    vectors = [[(-1) ** row * (row + 1) * 1000.125 * column for column in range(11)] for row in range(5)]
    (first,), *others = map(DIABETES.pack, vectors)
    total = encrypt(pair.public, first, quick(3072))
    for (plaintext,) in others:
        total = add_plain(pair.public, total, plaintext, quick(3072))
    assert DIABETES.unpack([decrypt(pair, total)]) == [sum(column) for column in zip(*vectors, strict=True)]


def test_whole_numbers_of_any_size_are_exact() -> None:
    """A float would round them."""
    bound = (2**63 - 1) // 5
    packing = Packing(length=3, parties=5, bound=bound, fraction_bits=0, key_bits=2048)
    assert packing.width == 64
    vector = [bound, -bound, 2**53 + 1]
    assert packing.levels(packing.pack(vector)) == vector
    with pytest.raises(RangeError):
        packing.pack([bound + 1, 0, 0])
