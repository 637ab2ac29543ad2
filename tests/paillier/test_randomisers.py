"""Randomisers: n-th residues, each another, of the exponents that the proof asks for."""

import gmpy2
import pytest

from paillier.keys import _small_pair_for_tests_only
from paillier.randomisers import SLACK_BITS, FixedBase, fresh_power, fresh_powers
from tests.paillier.made import pair_of, small_pair
from tests.support.streams import answers, stream

SMALL = small_pair().public
BASE_BYTES, EXPONENT_BITS = 16, 2 * 128 + SLACK_BITS
EXPONENTS = [0, 1, 2, 255, 1 << 63, (1 << EXPONENT_BITS) - 1, 1 << (EXPONENT_BITS - 1), 0x1234567 << 200]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_the_table_gives_the_power_it_stands_for(exponent: int) -> None:
    unit = 0x123456789ABCDEF
    drawn = answers(unit.to_bytes(BASE_BYTES, "big"), exponent.to_bytes(EXPONENT_BITS // 8, "big"))
    base = gmpy2.powmod(unit, SMALL.n, SMALL.square)
    assert FixedBase(SMALL, drawn)() == gmpy2.powmod(base, exponent, SMALL.square)


def test_the_table_of_a_real_key_gives_the_power_it_stands_for() -> None:
    public, size = pair_of(2048).public, (2 * 2048 + SLACK_BITS) // 8
    unit, exponent = 3**1000, int.from_bytes(stream(7)(size), "big")
    drawn = answers(unit.to_bytes(256, "big"), exponent.to_bytes(size, "big"))
    base = gmpy2.powmod(unit, public.n, public.square)
    assert FixedBase(public, drawn)() == gmpy2.powmod(base, exponent, public.square)


def test_an_exponent_hides_a_plaintext_and_the_order_of_the_base() -> None:
    """The proof needs exponents over more than 2^128 n lambda(n) values."""
    pair = pair_of(2048)
    order = int(gmpy2.lcm(pair.p - 1, pair.q - 1))
    table = FixedBase(pair.public, stream(1))
    assert 1 << table.exponent_bits > (pair.public.n * order) << 128


@pytest.mark.parametrize("bits", [2048, 3072])
def test_every_draw_is_another_encryption_of_nothing(bits: int) -> None:
    pair = pair_of(bits)
    table, power = FixedBase(pair.public, stream(3)), fresh_powers(pair.public, stream(4))
    drawn = [table() for _ in range(5)] + [power() for _ in range(5)]
    assert len(set(drawn)) == 10
    for value in drawn:
        assert gmpy2.gcd(value, pair.public.n) == 1
        assert pair.decrypt_residue(value) == 0


def test_a_unit_is_drawn_again_until_it_is_one() -> None:
    """Zero, a multiple of a factor, and a number above n come first."""
    pair = small_pair()
    unit = 0xABCDEF
    refused = (0, pair.p * 5, pair.public.n, (1 << 128) - 1)
    drawn = answers(*(number.to_bytes(16, "big") for number in (*refused, unit)))
    assert fresh_power(pair.public, drawn) == gmpy2.powmod(unit, pair.public.n, pair.public.square)


def test_the_papers_draw_is_uniform_over_all_residues() -> None:
    """Every unit r of a tiny n gives another r^n, and there are as many as units."""
    pair = _small_pair_for_tests_only(11, 13)
    public = pair.public
    units = [r for r in range(1, public.n) if gmpy2.gcd(r, public.n) == 1]
    found = {int(fresh_power(public, answers(bytes([r])))) for r in units}
    assert len(found) == len(units) == 120


def test_a_table_does_not_show_itself() -> None:
    assert repr(FixedBase(SMALL, stream(5))) == "FixedBase(<secret>)"
