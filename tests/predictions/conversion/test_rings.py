"""Rings and fraction bits: the smallest that hold what was proven, the same for wires that share one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictions import program as steps
from predictions.conversion.draft import Draft
from predictions.conversion.rings import GOOD_FRACTION_BITS, LEAST_FRACTION_BITS, MOST_FRACTION_BITS, fit
from predictions.errors import PredictionRange


def drafted(*operations: steps.Operation, small: str) -> Draft:
    """A draft of wires of one number; `small` says of each wire whether it is in a small ring, as `-s-`."""
    draft = Draft()
    for letter in small:
        draft.place((1,), small=letter == "s")
    for operation in operations:
        draft.append(operation, f"layer {operation.target}")
    return draft


STEP = drafted(steps.Linear(0, 1, 0, 0), small="-s")


@given(st.floats(2.0**-20, 2.0**27))
def test_the_ring_holds_the_amount_with_headroom_and_no_smaller_one_would(amount: float) -> None:
    found = fit(STEP, [1.0, amount])
    bits, fraction = found.bits[1], found.fraction[1]
    assert bits in range(8, 41, 4)
    assert LEAST_FRACTION_BITS <= fraction <= MOST_FRACTION_BITS
    assert amount * 2.0**fraction < 2.0 ** (bits - 2)
    least = GOOD_FRACTION_BITS if fraction >= GOOD_FRACTION_BITS else fraction
    assert amount * 2.0**least * 1.01 + 9 > 2.0 ** (bits - 4 - 2)
    assert found.bits[0] == 64


def test_more_than_forty_bits_are_refused_by_name() -> None:
    with pytest.raises(PredictionRange, match=r"layer 'layer 1' may reach 1e\+09"):
        fit(STEP, [1.0, 1e9])


def test_wires_of_one_sum_share_ring_and_fraction() -> None:
    draft = drafted(
        steps.Linear(0, 1, 0, 0), steps.Relu(1, 2), steps.Linear(2, 3, 1, 0), steps.Reduce(2, 4), steps.Add(3, 4, 5),
        small="-s-sss",
    )  # fmt: skip
    found = fit(draft, [1.0, 3.0, 3.0, 1000.0, 3.0, 1003.0])
    assert found.bits[3] == found.bits[4] == found.bits[5] == 28
    assert found.bits[1] < 28
    assert len(set(found.fraction[1:])) == 1


def test_the_source_of_a_layer_norm_leaves_room_for_its_squares() -> None:
    draft = drafted(
        steps.Linear(0, 1, 0, 0), steps.LayerNorm(1, 2, 1e-5), steps.Linear(2, 3, 1, 0), small="-s-s"
    )
    assert fit(draft, [1.0, 2.0**11, 1.0, 1.0]).fraction[1] >= 14
    assert fit(draft, [1.0, 2.0**15, 1.0, 1.0]).fraction[1] < 13  # a ring of 40 bits would hold 14
    with pytest.raises(PredictionRange):
        fit(draft, [1.0, 2.0**19, 1.0, 1.0])
