"""The cipher: known answers, its homomorphism, its range, and every number that is no ciphertext."""

from typing import Any

import gmpy2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arithmetic.errors import RangeError
from paillier.ciphertext import Ciphertext, add, add_plain, decrypt, encrypt, multiply
from paillier.errors import ForeignKey, InvalidCiphertext
from paillier.keys import _small_pair_for_tests_only
from paillier.randomisers import fresh_powers
from secagg.encoding import Reader, Writer
from secagg.errors import MalformedMessage
from tests.paillier.made import pair_of, quick, recorded, small_pair
from tests.support.streams import stream

PAIR = small_pair()
PUBLIC = PAIR.public
FRESH = fresh_powers(PUBLIC, stream(11))
MOST = (PUBLIC.n - 1) // 2
PLAINTEXTS = st.integers(-MOST, MOST)
HALVES = st.integers(-(MOST // 2), MOST // 2)


@pytest.mark.parametrize("entry", recorded(), ids=lambda entry: str(entry["bits"]))
def test_ciphertexts_are_those_of_python_paillier(entry: dict[str, Any]) -> None:
    pair = pair_of(entry["bits"])
    public = pair.public
    for case in entry["encryptions"]:
        plaintext, r, expected = (int(case[name], 16) for name in ("plaintext", "r", "ciphertext"))
        made = encrypt(public, plaintext, lambda r=r: gmpy2.powmod(r, public.n, public.square))
        assert made.value == expected
        assert decrypt(pair, Ciphertext.of(public, expected)) == plaintext
    total = Ciphertext.of(public, int(entry["raw_sum"], 16))
    assert decrypt(pair, total) == int(entry["raw_sum_decrypts_to"], 16)


def test_python_paillier_agrees_where_it_is_at_hand() -> None:
    peer = pytest.importorskip("phe.paillier", reason="python-paillier is an oracle, no dependency")
    pair = pair_of(2048)
    key = peer.PaillierPublicKey(pair.public.n)
    made = encrypt(pair.public, -1234, quick(2048))
    assert peer.PaillierPrivateKey(key, pair.p, pair.q).raw_decrypt(int(made.value)) == pair.public.n - 1234
    assert decrypt(pair, Ciphertext.of(pair.public, key.raw_encrypt(99))) == 99


@given(PLAINTEXTS)
def test_what_is_encrypted_is_decrypted(plaintext: int) -> None:
    assert decrypt(PAIR, encrypt(PUBLIC, plaintext, FRESH)) == plaintext


@given(HALVES, HALVES)
def test_products_of_ciphertexts_are_sums(left: int, right: int) -> None:
    first, second = encrypt(PUBLIC, left, FRESH), encrypt(PUBLIC, right, FRESH)
    assert decrypt(PAIR, add(PUBLIC, first, second, FRESH)) == left + right
    assert decrypt(PAIR, add_plain(PUBLIC, first, right, FRESH)) == left + right


@given(st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60))
def test_powers_of_ciphertexts_are_products(plaintext: int, factor: int) -> None:
    made = encrypt(PUBLIC, plaintext, FRESH)
    assert decrypt(PAIR, multiply(PUBLIC, made, factor, FRESH)) == plaintext * factor


@pytest.mark.parametrize("plaintext", [MOST, -MOST, 0, 1, -1])
def test_the_ends_of_the_range_are_in_it(plaintext: int) -> None:
    assert decrypt(PAIR, encrypt(PUBLIC, plaintext, FRESH)) == plaintext


@pytest.mark.parametrize("plaintext", [MOST + 1, -MOST - 1, PUBLIC.n, True, 1.0, "1"])
def test_what_is_no_plaintext_is_refused(plaintext: Any) -> None:
    made = encrypt(PUBLIC, 1, FRESH)
    with pytest.raises(RangeError):
        encrypt(PUBLIC, plaintext, FRESH)
    with pytest.raises(RangeError):
        add_plain(PUBLIC, made, plaintext, FRESH)
    with pytest.raises(RangeError):
        multiply(PUBLIC, made, plaintext, FRESH)


def test_a_sum_beyond_the_range_wraps_and_so_must_be_excluded_by_the_packing() -> None:
    made = encrypt(PUBLIC, MOST, FRESH)
    assert decrypt(PAIR, add_plain(PUBLIC, made, 1, FRESH)) == -MOST


def test_every_operation_gives_another_ciphertext_each_time() -> None:
    made = encrypt(PUBLIC, 5, FRESH)
    nothing = encrypt(PUBLIC, 0, FRESH)
    results = [made, encrypt(PUBLIC, 5, FRESH)]
    for _ in range(3):
        results += [
            add(PUBLIC, made, nothing, FRESH), add_plain(PUBLIC, made, 0, FRESH), multiply(PUBLIC, made, 1, FRESH),
        ]  # fmt: skip
    assert len({int(each.value) for each in results}) == len(results)
    assert {decrypt(PAIR, each) for each in results} == {5}


def test_a_sum_says_nothing_of_its_parts() -> None:
    """Over all randomisers of a tiny key, the sum's ciphertexts are alike whatever was added to whatever."""
    pair = _small_pair_for_tests_only(5, 7)
    public = pair.public
    units = [r for r in range(1, public.n) if gmpy2.gcd(r, public.n) == 1]
    powers = [gmpy2.powmod(r, public.n, public.square) for r in units]

    def all_sums(first: int, r: int, second: int) -> list[int]:
        before = encrypt(public, first, lambda: r)
        return sorted(int(add_plain(public, before, second, lambda s=s: s).value) for s in powers)

    expected = sorted(int(encrypt(public, 9, lambda s=s: s).value) for s in powers)
    for first in range(-8, 18):
        for r in powers:
            assert all_sums(first, r, 9 - first) == expected
    assert all_sums(1, powers[0], 9) != expected


BAD = {
    "zero": 0,
    "negative": -5,
    "n squared": PUBLIC.n**2,
    "above n squared": PUBLIC.n**2 + 1,
    "n": PUBLIC.n,
    "a multiple of p": PAIR.p,
    "a multiple of q": PAIR.q * 12345,
    "a truth value": True,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_ciphertext_is_refused(name: str) -> None:
    with pytest.raises(InvalidCiphertext) as caught:
        Ciphertext.of(PUBLIC, BAD[name])
    assert caught.value.code == "CRYPTO"
    with pytest.raises(InvalidCiphertext):
        decrypt(PAIR, Ciphertext(PUBLIC.digest, BAD[name]))


def test_the_ends_of_the_range_are_ciphertexts() -> None:
    assert decrypt(PAIR, Ciphertext.of(PUBLIC, 1)) == 0
    Ciphertext.of(PUBLIC, PUBLIC.n**2 - 1)


def test_what_is_under_another_key_is_refused() -> None:
    foreign = encrypt(pair_of(2048).public, 5, quick(2048))
    own = encrypt(PUBLIC, 5, FRESH)
    for attempt in (
        lambda: add(PUBLIC, own, foreign, FRESH),
        lambda: add(PUBLIC, foreign, own, FRESH),
        lambda: add_plain(PUBLIC, foreign, 1, FRESH),
        lambda: multiply(PUBLIC, foreign, 2, FRESH),
        lambda: decrypt(PAIR, foreign),
    ):
        with pytest.raises(ForeignKey) as caught:
            attempt()
        assert caught.value.code == "VIEW"


def test_bytes_have_one_length_and_are_checked() -> None:
    public = pair_of(2048).public
    for value in (1, public.n**2 - 1):
        data = Ciphertext.of(public, value).write(Writer(1, 1), public).finish()
        assert len(data) == 2 + 512
        assert Ciphertext.read(Reader(data, 1, 1, "test"), public).value == value
        with pytest.raises(MalformedMessage):
            Ciphertext.read(Reader(data[:-1], 1, 1, "test"), public)
    for value in (0, public.n, public.n**2, (1 << 4096) - 1):
        with pytest.raises(InvalidCiphertext):
            Ciphertext.read(Reader(b"\1\1" + value.to_bytes(512, "big"), 1, 1, "test"), public)


def test_a_ciphertext_does_not_show_its_number() -> None:
    made = encrypt(PUBLIC, 5, FRESH)
    assert str(made.value) not in repr(made)
