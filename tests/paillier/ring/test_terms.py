"""Terms: which make a ring, and that nothing else is read from bytes."""

from dataclasses import replace
from typing import Any

import pytest

from arithmetic.errors import ParameterError
from paillier.packing import Packing
from paillier.ring.messages import Invitation
from paillier.ring.terms import MOST_HOSPITALS, Terms
from secagg.errors import ChorusError, MalformedMessage, Refused
from tests.paillier.hospitals import PACKING, PAIR
from tests.paillier.made import pair_of, small_pair

TERMS = Terms(b"s" * 32, 7, b"m" * 32, b"r" * 32, (2, 3, 5, 8), PAIR.public, PACKING)


@pytest.mark.parametrize(
    "changed",
    [
        {"session": bytes(32)}, {"session": b"s" * 31}, {"session": b"s" * 33}, {"members": ()}, {"members": (1, 2)},
        {"members": (3, 2, 1)}, {"members": (1, 1, 2)}, {"members": (0, 1, 2)},
        {"members": (1, 2, 3, 4, 5, 6, 7)}, {"members": tuple(range(1, MOST_HOSPITALS + 2))},
        {"public": pair_of(3072).public},
    ],
)  # fmt: skip
def test_what_makes_no_ring_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        replace(TERMS, **changed)


def test_everything_in_the_terms_enters_their_digest() -> None:
    wide = Packing(4, 6, 1 << 20, 20, 3072)
    variants = [
        TERMS, replace(TERMS, session=b"t" * 32), replace(TERMS, server_round=8), replace(TERMS, roster=b"q" * 32),
        replace(TERMS, subject=b"n" * 32),
        replace(TERMS, members=(2, 3, 5)), replace(TERMS, members=(2, 3, 5, 9)),
        replace(TERMS, public=pair_of(3072).public, packing=wide), replace(TERMS, packing=replace(PACKING, length=5)),
        replace(TERMS, packing=replace(PACKING, parties=7)), replace(TERMS, packing=replace(PACKING, bound=7)),
        replace(TERMS, packing=replace(PACKING, fraction_bits=7)),
    ]  # fmt: skip
    assert len({each.digest for each in variants}) == len(variants)


def test_terms_survive_their_bytes_and_no_other_length_is_one() -> None:
    data = Invitation(TERMS).to_bytes()
    assert Invitation.from_bytes(data).terms == TERMS
    for other in [data[:size] for size in range(len(data))] + [data + b"\0", b"\x61" + data[1:]]:
        with pytest.raises(MalformedMessage):
            Invitation.from_bytes(other)


@pytest.mark.parametrize(("at", "value"), [(106, 0), (109, 2), (110, 1), (2, 0)])
def test_bytes_that_make_no_ring_are_refused(at: int, value: int) -> None:
    data = bytearray(Invitation(TERMS).to_bytes())
    if at == 2:
        data[2:34] = bytes(32)
    data[at] = value
    if (at, value) == (106, 0):
        data[106:110] = (1 << 31).to_bytes(4, "big")  # members without end
    with pytest.raises(ChorusError) as caught:
        Invitation.from_bytes(bytes(data))
    assert caught.value.code == "FORMAT"


def test_a_key_below_the_least_or_with_a_small_factor_is_refused() -> None:
    data = Invitation(TERMS).to_bytes()
    key = PAIR.public.to_bytes()[2:]
    small = small_pair().public.to_bytes()[2:]
    with pytest.raises(MalformedMessage):
        Invitation.from_bytes(data.replace(key, small))
    even = key[:-1] + bytes([key[-1] & 0xFE])
    with pytest.raises(Refused):
        Invitation.from_bytes(data.replace(key, even))
