"""Cryptographic primitives of the protocol; the only importer of crypto libraries.

Decides: X25519 (RFC 7748), HKDF-SHA256 (RFC 5869) with one labelled form, AES-256-GCM for shares,
AES-256-CTR as the mask stream, SHA-256 with length-prefixed parts as the digest.
Refuses to know: who talks to whom, what a share or a mask is.

Bulk work and X25519 run in OpenSSL through `cryptography`; pycryptodome computes the same bytes in the
tests. Entropy is a callable of the signature of `os.urandom`, which is its only value outside tests.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

Entropy = Callable[[int], bytes]

KEY_BYTES = 32
DIGEST_BYTES = 32
TAG_BYTES = 16
_BLOCK_BYTES = 16
_ZERO_NONCE = bytes(12)
_FIELD_PRIME = 2**255 - 19
# u-coordinates of order 1, 2, 4 and 8 on the curve and its twist (Bernstein, "Curve25519", 2006; checked by a test).
_LOW_ORDER = frozenset(
    {
        0,
        1,
        _FIELD_PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)


class BadKey(ValueError):
    """A public key that no honest peer advertises: low order, non-canonical, or of the wrong length."""


class BadCiphertext(ValueError):
    """A ciphertext whose tag does not check."""


@dataclass(frozen=True)
class KeyPair:
    """An X25519 key pair; the private half hides itself in `repr`."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def generate(cls, entropy: Entropy) -> "KeyPair":
        """A fresh pair from 32 bytes of `entropy`."""
        return cls.from_private(entropy(KEY_BYTES))

    @classmethod
    def from_private(cls, private: bytes) -> "KeyPair":
        """The pair of a 32-byte private key."""
        public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
        return cls(private, public)


class PrivateKey:
    """An X25519 private key, loaded once for many agreements: loading costs as much as agreeing."""

    def __init__(self, private: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(private)

    def __repr__(self) -> str:
        return "PrivateKey(<secret>)"

    def agree(self, public: bytes) -> bytes:
        """The X25519 shared secret, 32 bytes.

        Raises:
            BadKey: the result is zero, which only a low-order key gives (RFC 7748, section 6.1).
        """
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise BadKey("the public key has low order") from error


def check_public_key(public: bytes) -> None:
    """Accept canonical X25519 public keys of large order only.

    RFC 7748 lets a receiver accept non-canonical coordinates; here one key has one encoding, so u >= 2^255 - 19
    and a set top bit are refused. What is left of low order are five points.

    Raises:
        BadKey: wrong length, non-canonical, or low order (every product with it is zero).
    """
    if len(public) != KEY_BYTES:
        raise BadKey(f"a public key has {KEY_BYTES} bytes, not {len(public)}")
    coordinate = int.from_bytes(public, "little")
    if coordinate >= _FIELD_PRIME:
        raise BadKey("the public key is not in canonical form")
    if coordinate in _LOW_ORDER:
        raise BadKey("the public key has low order")


def derive_key(secret: bytes, label: str, context: bytes, *parts: int) -> bytes:
    """A 32-byte key: HKDF-SHA256, salt = `context`, info = label, parts (8 bytes each) and `context` again.

    The session's context enters every derivation: parties that were shown different sessions, models or
    configurations hold unrelated keys.
    """
    info = b"chorus/" + label.encode() + b"".join(part.to_bytes(8, "big") for part in parts)
    pseudorandom = hmac.digest(context, secret, "sha256")
    return hmac.digest(pseudorandom, info + context + b"\x01", "sha256")


def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """AES-256-GCM under a key used once, hence a zero nonce; `len(plaintext) + 16` bytes."""
    return AESGCM(key).encrypt(_ZERO_NONCE, plaintext, associated)


def unseal(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """The plaintext of `seal`.

    Raises:
        BadCiphertext: key, associated data or ciphertext do not belong together.
    """
    try:
        return AESGCM(key).decrypt(_ZERO_NONCE, sealed, associated)
    except (InvalidTag, ValueError) as error:
        raise BadCiphertext("the tag does not check") from error


class KeyStream:
    """AES-256-CTR from a zero counter block: one key, one stream, read forward only.

    Args:
        key: 32 bytes.
        start: byte of the stream to begin at, a multiple of 16: parts of one stream may be expanded side by side.
    """

    def __init__(self, key: bytes, start: int = 0) -> None:
        counter = (start // _BLOCK_BYTES).to_bytes(_BLOCK_BYTES, "big")
        self._encryptor = Cipher(AES256(key), CTR(counter)).encryptor()

    def __repr__(self) -> str:
        return "KeyStream(<secret>)"

    def read(self, size: int) -> bytes:
        """The next `size` bytes of the stream."""
        return self._encryptor.update(bytes(size))

    def read_into(self, zeros: memoryview, buffer: memoryview) -> None:
        """The next `len(buffer)` bytes of the stream, written to `buffer`; `zeros` is as long and all zero."""
        self._encryptor.update_into(zeros, buffer)


def digest(label: str, *parts: bytes) -> bytes:
    """SHA-256 of a label and length-prefixed parts: no two different lists of parts give the same input."""
    hasher = hashlib.sha256(b"chorus/" + label.encode() + b"\x00")
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)
    return hasher.digest()


def same(left: bytes, right: bytes) -> bool:
    """Equality in constant time."""
    return hmac.compare_digest(left, right)
