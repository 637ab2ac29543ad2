"""Ciphertexts, and what may be done to them without the private key.

Decides: which numbers are ciphertexts, and that every result is randomised anew, so that nobody who saw the operands
recognises it. Plaintexts are whole numbers of either sign, -n/2 < m < n/2, with one exponent: none.
Refuses to know: what a plaintext means (`paillier.packing`), and where randomisers come from.

Anybody can turn a ciphertext of m into one of m + k or k m: that is the purpose, and no signature of the cipher's own
tells. Who may change what is the protocol's matter (`paillier.ring`).
"""

from dataclasses import dataclass, field
from typing import Self

import gmpy2

from arithmetic.errors import RangeError
from paillier.errors import ForeignKey, InvalidCiphertext
from paillier.keys import Integer, PrivateKey, PublicKey
from paillier.randomisers import Randomiser
from secagg.encoding import Reader, Writer


@dataclass(frozen=True)
class Ciphertext:
    """A unit mod n^2 under the public key with this digest.

    Make it with `of`, which checks, or with the functions below.
    """

    key: bytes
    value: Integer = field(repr=False)

    @classmethod
    def of(cls, public: PublicKey, value: int) -> Self:
        """A number that came from elsewhere.

        Raises:
            InvalidCiphertext: not in [1, n^2), or not coprime to n.
        """
        if isinstance(value, bool) or not 0 < value < public.square:
            raise InvalidCiphertext(
                "a number that claims to be a ciphertext is not in [1, n^2); nothing was computed with it"
            )
        if gmpy2.gcd(value, public.modulus) != 1:
            raise InvalidCiphertext(
                "a number that claims to be a ciphertext shares a factor with n; nothing was computed with it"
            )
        return cls(public.digest, gmpy2.mpz(value))

    def write(self, writer: Writer, public: PublicKey) -> Writer:
        """Append the number, as many bytes for every ciphertext under this key."""
        return writer.number(int(self.value), public.ciphertext_bytes)

    @classmethod
    def read(cls, reader: Reader, public: PublicKey) -> Self:
        """The next number; raises MalformedMessage or InvalidCiphertext."""
        return cls.of(public, reader.number(public.ciphertext_bytes))


def encrypt(public: PublicKey, plaintext: int, randomiser: Randomiser) -> Ciphertext:
    """(1 + n)^m r^n mod n^2, where (1 + n)^m = 1 + m n.

    Args:
        public: under which key.
        plaintext: -n/2 < m < n/2.
        randomiser: gives r^n.

    Raises:
        RangeError: the plaintext has no room.
    """
    return Ciphertext(public.digest, _shift(public, plaintext) * randomiser() % public.square)


def add(public: PublicKey, left: Ciphertext, right: Ciphertext, randomiser: Randomiser) -> Ciphertext:
    """A fresh ciphertext of the sum; that it does not wrap is the caller's to prove.

    Raises:
        ForeignKey: an operand is under another key.
    """
    _check_keys(public, left, right)
    value = left.value * right.value % public.square
    return Ciphertext(public.digest, value * randomiser() % public.square)


def add_plain(
    public: PublicKey, ciphertext: Ciphertext, plaintext: int, randomiser: Randomiser
) -> Ciphertext:
    """A fresh ciphertext of the sum with a plaintext: encryption and addition for the price of one.

    Raises:
        ForeignKey: the ciphertext is under another key.
        RangeError: the plaintext has no room.
    """
    _check_keys(public, ciphertext)
    value = ciphertext.value * _shift(public, plaintext) % public.square
    return Ciphertext(public.digest, value * randomiser() % public.square)


def multiply(public: PublicKey, ciphertext: Ciphertext, factor: int, randomiser: Randomiser) -> Ciphertext:
    """A fresh ciphertext of the product with a whole number; that it does not wrap is the caller's to prove.

    Raises:
        ForeignKey: the ciphertext is under another key.
        RangeError: the factor has no room among plaintexts.
    """
    _check_keys(public, ciphertext)
    _check_room(public, factor)
    value = gmpy2.powmod(ciphertext.value, factor, public.square)
    return Ciphertext(public.digest, value * randomiser() % public.square)


def decrypt(private: PrivateKey, ciphertext: Ciphertext) -> int:
    """The plaintext, -n/2 < m < n/2.

    Raises:
        ForeignKey: the ciphertext is under another key.
        InvalidCiphertext: it was not made by this module, and is none.
    """
    public = private.public
    _check_keys(public, ciphertext)
    plaintext = private.decrypt_residue(Ciphertext.of(public, ciphertext.value).value)
    return plaintext - public.n if 2 * plaintext > public.n else plaintext


def _check_keys(public: PublicKey, *ciphertexts: Ciphertext) -> None:
    if any(ciphertext.key != public.digest for ciphertext in ciphertexts):
        raise ForeignKey("a ciphertext is under another public key; nothing was computed with it")


def _check_room(public: PublicKey, number: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or 2 * abs(number) >= public.n:
        raise RangeError("a plaintext is a whole number of less than half of n; nothing was encrypted")


def _shift(public: PublicKey, plaintext: int) -> Integer:
    _check_room(public, plaintext)
    return 1 + plaintext % public.modulus * public.modulus
