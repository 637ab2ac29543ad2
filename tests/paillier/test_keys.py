"""Keys: what is refused, that halves survive their bytes, that the private one does not show itself."""

import os
from collections.abc import Callable

import gmpy2
import pytest

from arithmetic.errors import ParameterError
from paillier.keys import LEAST_BITS, PrivateKey, PublicKey
from secagg.errors import MalformedMessage, Refused
from tests.paillier.made import pair_of, recorded, small_pair
from tests.support.streams import stream


@pytest.mark.parametrize("bits", [2048, 3072])
def test_keys_of_python_paillier_are_keys_here(bits: int) -> None:
    pair = pair_of(bits)
    assert pair.public.bits == bits
    assert pair.public.n == pair.p * pair.q
    assert pair.public.ciphertext_bytes == bits // 4


@pytest.mark.slow
def test_generated_pairs_are_primes_of_half_the_length_and_never_the_same() -> None:
    pairs = [PrivateKey.generate(os.urandom, 2048) for _ in range(3)] + [PrivateKey.generate(os.urandom)]
    assert [pair.public.bits for pair in pairs] == [2048, 2048, 2048, 3072]
    primes = [prime for pair in pairs for prime in (pair.p, pair.q)]
    assert len(set(primes)) == len(primes)
    for pair in pairs:
        assert gmpy2.is_prime(pair.p, 50)
        assert gmpy2.is_prime(pair.q, 50)
        assert pair.p.bit_length() == pair.q.bit_length() == pair.public.bits // 2
        assert pair.decrypt_residue(pair.public.square - pair.public.n + 1) == pair.public.n - 1


def test_all_randomness_of_a_pair_is_the_entropys() -> None:
    first, second, other = (PrivateKey.generate(stream(key), 2048) for key in (1, 1, 2))
    assert first == second
    assert first.public.n != other.public.n


@pytest.mark.parametrize("bits", [0, 512, 1024, 2046, 2049, 16386])
def test_a_length_that_is_no_keys_is_refused(bits: int) -> None:
    with pytest.raises(ParameterError, match="2048"):
        PrivateKey.generate(os.urandom, bits)


@pytest.mark.parametrize(
    "number",
    [
        0, -1, 1, small_pair().public.n, (1 << 2046) | 1, pair_of(2048).public.n * 4, (1 << 2047) + 1,
        pair_of(2048).public.n - 1, True,
    ],
)  # fmt: skip
def test_a_modulus_that_is_too_small_or_has_a_small_factor_is_refused(number: int) -> None:
    with pytest.raises(Refused):
        PublicKey(number * 3 if number == (1 << 2047) + 1 else number)


def _next_prime(number: int) -> int:
    return int(gmpy2.next_prime(number))


BAD_PAIRS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "twice the same prime": lambda p, q: (p, p),
    "primes that Fermat finds": lambda p, q: (p, _next_prime(p)),
    "primes near each other": lambda p, q: (p, _next_prime(p + (1 << 900))),
    "a composite": lambda p, q: (p, q + 1),
    "an odd composite": lambda p, q: (p, q + 2),
    "primes of unequal length": lambda p, q: (p, _next_prime(q << 1)),
    "a product one bit short": lambda p, q: (_next_prime(1 << 1023), _next_prime((1 << 1023) + (1 << 1000))),
    "a negative pair": lambda p, q: (-p, -q),
}


@pytest.mark.parametrize("name", BAD_PAIRS)
def test_numbers_that_make_no_pair_are_refused(name: str) -> None:
    good = pair_of(2048)
    p, q = BAD_PAIRS[name](max(good.p, good.q), min(good.p, good.q))
    with pytest.raises(ParameterError, match="generate a new one") as caught:
        PrivateKey(p, q)
    assert str(p) not in str(caught.value)


def test_small_pairs_exist_for_tests_and_have_no_bytes_that_anybody_reads() -> None:
    small = small_pair()
    with pytest.raises(MalformedMessage):
        PublicKey.from_bytes(small.public.to_bytes())
    with pytest.raises(MalformedMessage):
        PrivateKey.from_bytes(small.to_bytes())
    with pytest.raises(ParameterError):
        PrivateKey(small.p, small.q)


def test_both_halves_survive_their_bytes() -> None:
    pair = pair_of(2048)
    assert PublicKey.from_bytes(pair.public.to_bytes()) == pair.public
    assert PrivateKey.from_bytes(pair.to_bytes()) == pair
    assert len(pair.public.to_bytes()) == 4 + LEAST_BITS // 8


@pytest.mark.parametrize("kind", [PublicKey, PrivateKey])
def test_no_other_length_is_a_key(kind: type[PublicKey] | type[PrivateKey]) -> None:
    pair = pair_of(2048)
    data = pair.public.to_bytes() if kind is PublicKey else pair.to_bytes()
    for size in range(len(data)):
        with pytest.raises(MalformedMessage):
            kind.from_bytes(data[:size])
    for other in (data + b"\0", b"\0" + data, data[:1] + b"\2" + data[2:], "text", None):
        with pytest.raises(MalformedMessage):
            kind.from_bytes(other)


def test_a_modulus_shorter_than_it_says_is_no_key() -> None:
    data = bytearray(pair_of(2048).public.to_bytes())
    data[4] = 0x7F
    with pytest.raises(MalformedMessage):
        PublicKey.from_bytes(bytes(data))


def test_the_private_half_does_not_show_itself() -> None:
    pair = pair_of(2048)
    for shown in (repr(pair), str(pair), f"{pair}", repr([pair])):
        for secret in (pair.p, pair.q):
            assert str(secret) not in shown
            assert f"{secret:x}" not in shown


def test_the_digest_names_the_key() -> None:
    digests = {pair_of(bits).public.digest for bits in (2048, 3072)}
    assert len(digests) == len(recorded()) == 2
    assert pair_of(2048).public.digest == PublicKey(pair_of(2048).public.n).digest
