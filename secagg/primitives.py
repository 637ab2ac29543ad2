"""Cryptographic primitives of the protocol; the only importer of crypto libraries.

Decides: X25519 (RFC 7748), HKDF-SHA256 (RFC 5869) with one labelled form, AES-256-GCM for shares,
AES-256-CTR as the mask stream, SHA-256 with length-prefixed parts as the digest, Ed25519 (RFC 8032) for signatures.
Refuses to know: who talks to whom, what a share or a mask is.

Bulk work and X25519 run in OpenSSL through `cryptography`; pycryptodome computes the same bytes in the
tests. Entropy is a callable of the signature of `os.urandom`, which is its only value outside tests.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

Entropy = Callable[[int], bytes]

KEY_BYTES = 32
DIGEST_BYTES = 32
TAG_BYTES = 16
SIGNATURE_BYTES = 64
_BLOCK_BYTES = 16
_ZERO_NONCE = bytes(12)
_FIELD_PRIME = 2**255 - 19
_EDWARDS_D = -121665 * pow(121666, -1, 2**255 - 19)
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
# y-coordinates of the points of order 1, 2, 4 and 8 on edwards25519 (checked by a test).
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _FIELD_PRIME - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)


class BadKey(ValueError):
    """A key that no honest peer has: low order, non-canonical, of the wrong length or kind; or that does not load."""


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


class SigningKey:
    """An Ed25519 private key (RFC 8032); it hides itself in `repr`.

    Args:
        private: 32 bytes, the seed of the key.
    """

    def __init__(self, private: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.public = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return "SigningKey(<secret>)"

    @classmethod
    def generate(cls, entropy: Entropy) -> "SigningKey":
        """A fresh key from 32 bytes of `entropy`."""
        return cls(entropy(KEY_BYTES))

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> "SigningKey":
        """The key in a PEM file (PKCS #8).

        Raises:
            BadKey: no such file, another kind of key, or a passphrase that is missing, wrong or one too many.
        """
        try:
            key = load_pem_private_key(pem, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadKey("no private key in PEM that this passphrase, or none, opens") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise BadKey("a private key, but not of Ed25519")
        return cls(key.private_bytes_raw())

    def to_pem(self, passphrase: bytes | None = None) -> bytes:
        """PKCS #8 in PEM, encrypted where there is a passphrase."""
        how: KeySerializationEncryption = (
            BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        )
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)


def check_identity(public: bytes) -> None:
    """Accept Ed25519 public keys in canonical form and of large order only.

    With such keys a signature that `is_signed` accepts was made with the private half, and no other bytes are
    a signature of the same: S is below the group order and R canonical, or OpenSSL refuses.

    Raises:
        BadKey: wrong length, non-canonical, low order, or no point at all.
    """
    if len(public) != KEY_BYTES:
        raise BadKey(f"an identity key has {KEY_BYTES} bytes, not {len(public)}")
    coordinate = int.from_bytes(public, "little") % 2**255
    if coordinate >= _FIELD_PRIME:
        raise BadKey("the identity key is not in canonical form")
    if coordinate in _SMALL_ORDER:
        raise BadKey("the identity key has low order")
    # x^2 = (y^2 - 1) / (d y^2 + 1) must be a square (RFC 8032, section 5.1.3).
    square = coordinate * coordinate
    numerator, denominator = square - 1, _EDWARDS_D * square + 1
    ratio = numerator * pow(denominator, -1, _FIELD_PRIME)
    if pow(ratio, (_FIELD_PRIME - 1) // 2, _FIELD_PRIME) != 1:
        raise BadKey("the identity key is no point of the curve")


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of `message` under an Ed25519 key that `check_identity` accepts."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


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
