"""Key pairs: a modulus of two primes that only its owner knows.

Decides: which moduli are keys (3072 bits unless told otherwise, never below 2048), g = n + 1, how primes are drawn,
the bytes of both halves, and decryption by the Chinese remainder theorem (Paillier 1999, section 7).
Refuses to know: what is encrypted, and how a ciphertext is made (`paillier.ciphertext`).

Private exponents go through `powmod_sec`, GMP's exponentiation with side channels closed as far as GMP closes them;
the arithmetic around it is not constant in time, and memory is not wiped. Whoever can time the key holder's
processor is outside what this protects against.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import gcd
from typing import Any, Final, Self

import gmpy2

from arithmetic.errors import ParameterError
from secagg.encoding import Reader, Writer
from secagg.errors import Refused
from secagg.primitives import digest

Entropy = Callable[[int], bytes]
# gmpy2 has no type stubs; its integers mix with Python's in every operation used here.
Integer = Any

DEFAULT_BITS: Final = 3072
LEAST_BITS: Final = 2048
MOST_BITS: Final = 16384
# 40 rounds: a strong Baillie-PSW test, then 16 Miller-Rabin rounds.
_PRIME_ROUNDS = 40
# |p - q| keeps this distance, in bits below the primes' length, from Fermat's factoring (FIPS 186-5, appendix A.1.3).
_NEARNESS = 100
_SMALL_PRIMES = gmpy2.primorial(4096)
_TAG_PUBLIC, _TAG_PRIVATE, _FORMAT = 0x58, 0x59, 1


@dataclass(frozen=True)
class PublicKey:
    """The modulus n; the generator is always n + 1.

    Attributes:
        n: of 2048 to 16384 bits, an even number of them, without a factor below 4096.

    Raises:
        Refused: any other number.
    """

    n: int
    _least: int = field(default=LEAST_BITS, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what is no modulus; an owner who wants to give its key away can, whatever is checked here."""
        if isinstance(self.n, bool) or not isinstance(self.n, int):
            raise Refused("a public key is a whole number; ask the key holder for another")
        bits = self.n.bit_length()
        if not self._least <= bits <= MOST_BITS or bits % 2:
            raise Refused(
                f"a public key of {bits} bits is refused; the key holder must make one of {self._least} to "
                f"{MOST_BITS} bits, an even number of them"
            )
        if self._least == LEAST_BITS and gmpy2.gcd(self.n, _SMALL_PRIMES) != 1:
            raise Refused("the public key has a small factor; the key holder must make another")

    def __repr__(self) -> str:
        return f"PublicKey({self.bits} bits, {self.digest[:8].hex()})"

    @property
    def bits(self) -> int:
        """Length of n."""
        return self.n.bit_length()

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a number below n^2."""
        return -(-self.bits // 4)

    @cached_property
    def modulus(self) -> Integer:
        """n, for fast arithmetic."""
        return gmpy2.mpz(self.n)

    @cached_property
    def square(self) -> Integer:
        """n^2, for fast arithmetic."""
        return self.modulus * self.modulus

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the key's bytes: the name under which ciphertexts and messages know it."""
        return digest("paillier key", self.to_bytes())

    def to_bytes(self) -> bytes:
        """Bits of n in two bytes, then n."""
        writer = Writer(_TAG_PUBLIC, _FORMAT).number(self.bits, 2)
        return writer.number(self.n, (self.bits + 7) // 8).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage, or Refused for a number that is no modulus."""
        reader = Reader(data, _TAG_PUBLIC, _FORMAT, "public key")
        key = cls.read(reader)
        reader.finish()
        return key

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """The next key of a message, without its tag."""
        bits = reader.number(2, LEAST_BITS, MOST_BITS)
        return cls(reader.number((bits + 7) // 8, 1 << (bits - 1), (1 << bits) - 1))

    def write(self, writer: Writer) -> Writer:
        """Append what `read` reads."""
        return writer.raw(self.to_bytes()[2:])


@dataclass(frozen=True)
class PrivateKey:
    """The primes behind a public key; hidden from `repr`.

    Attributes:
        p, q: distinct primes of the same length, far apart, their product of exactly twice that length.

    Raises:
        ParameterError: any other numbers.
    """

    p: int = field(repr=False)
    q: int = field(repr=False)
    _least: int = field(default=LEAST_BITS, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse numbers that make no key pair."""
        p, q = self.p, self.q
        fits = p.bit_length() == q.bit_length() and (p * q).bit_length() == 2 * p.bit_length() >= self._least
        apart = abs(p - q).bit_length() > max(0, p.bit_length() - _NEARNESS)
        coprime = gcd(p * q, (p - 1) * (q - 1)) == 1
        if not (fits and apart and coprime and _is_prime(p) and _is_prime(q)):
            raise ParameterError(
                f"these two numbers make no key pair of at least {self._least} bits; generate a new one"
            )

    @classmethod
    def generate(cls, entropy: Entropy, bits: int = DEFAULT_BITS) -> Self:
        """A fresh pair.

        Args:
            entropy: source of the primes; `os.urandom` outside tests.
            bits: length of n, even, 2048 to 16384.

        Raises:
            ParameterError: another length.
        """
        if bits % 2 or not LEAST_BITS <= bits <= MOST_BITS:
            raise ParameterError(
                f"a key of {bits} bits is refused; choose an even number from {LEAST_BITS} to {MOST_BITS}"
            )
        while True:
            p, q = _draw_prime(entropy, bits // 2), _draw_prime(entropy, bits // 2)
            if abs(p - q).bit_length() > bits // 2 - _NEARNESS:
                return cls(p, q)

    @cached_property
    def public(self) -> PublicKey:
        """The half that may be sent."""
        return PublicKey(self.p * self.q, self._least)

    def decrypt_residue(self, value: Integer) -> int:
        """The plaintext in [0, n) of a number that `paillier.ciphertext` has checked.

        Paillier 1999, section 7: m mod p = L_p(c^(p-1) mod p^2) h_p mod p, and the same for q. With g = n + 1
        the constant is h_p = L_p(g^(p-1) mod p^2)^-1 = (-q)^-1 mod p.
        """
        p, q, square_p, square_q, hp, hq, inverse = self._constants
        left = (gmpy2.powmod_sec(value % square_p, p - 1, square_p) - 1) // p * hp % p
        right = (gmpy2.powmod_sec(value % square_q, q - 1, square_q) - 1) // q * hq % q
        return int(left + (right - left) * inverse % q * p)

    def to_bytes(self) -> bytes:
        """Bits of n in two bytes, then both primes; a secret."""
        bits = self.public.bits
        width = (bits // 2 + 7) // 8
        writer = Writer(_TAG_PRIVATE, _FORMAT).number(bits, 2)
        return writer.number(self.p, width).number(self.q, width).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """Raises MalformedMessage, or ParameterError for numbers that make no key pair."""
        reader = Reader(data, _TAG_PRIVATE, _FORMAT, "private key")
        width = (reader.number(2, LEAST_BITS, MOST_BITS) // 2 + 7) // 8
        p, q = (int.from_bytes(reader.raw(width), "big") for _ in range(2))
        reader.finish()
        return cls(p, q)

    @cached_property
    def _constants(self) -> tuple[Integer, ...]:
        p, q = gmpy2.mpz(self.p), gmpy2.mpz(self.q)
        return p, q, p * p, q * q, gmpy2.invert(-q, p), gmpy2.invert(-p, q), gmpy2.invert(p, q)


def _small_pair_for_tests_only(p: int, q: int) -> PrivateKey:
    """A key pair of any size, for tests of arithmetic: anybody can factor it. Nothing but tests calls this."""
    return PrivateKey(p, q, _least=4)


def _is_prime(number: int) -> bool:
    return (
        number > 2 and bool(gmpy2.is_strong_bpsw_prp(number)) and bool(gmpy2.is_prime(number, _PRIME_ROUNDS))
    )


def _draw_prime(entropy: Entropy, bits: int) -> int:
    """A uniform prime of exactly `bits` bits whose two highest are set, so that a product has 2 * bits."""
    top = 3 << (bits - 2)
    while True:
        drawn = int.from_bytes(entropy((bits + 7) // 8), "big") % (1 << (bits - 2))
        candidate = gmpy2.mpz(top | drawn | 1)
        if gmpy2.gcd(candidate, _SMALL_PRIMES) == 1 and _is_prime(candidate):
            return int(candidate)
