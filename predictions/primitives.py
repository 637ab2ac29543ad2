"""Cryptographic primitives of private predictions; the only importer of crypto libraries in this package.

Decides: HKDF-SHA256 (RFC 5869) with one labelled form, AES-256-CTR as the stream of masks, SHA-256 as the digest of
what was opened, GMAC (NIST SP 800-38D) as the tag of a frame. Refuses to know: who holds which seed and what a
mask hides.

Bulk work runs in OpenSSL. Entropy is a callable of the signature of `os.urandom`, its only value outside tests.
"""

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

Entropy = Callable[[int], bytes]

KEY_BYTES = 32
DIGEST_BYTES = 32
TAG_BYTES = 16
NONCE_BYTES = 12
_BLOCK_BYTES = 16
_ZEROS = bytes(1 << 18)


def derive_key(secret: bytes, label: str) -> bytes:
    """A 32-byte key for one use of a secret: HKDF-SHA256, no salt, info = the label."""
    pseudorandom = hmac.digest(bytes(KEY_BYTES), secret, "sha256")
    return hmac.digest(pseudorandom, b"chorus/predictions/" + label.encode() + b"\x01", "sha256")


class KeyStream:
    """AES-256-CTR from a zero counter block: one key, one stream, read forward only.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(AES256(key), CTR(bytes(_BLOCK_BYTES))).encryptor()

    def __repr__(self) -> str:
        return "KeyStream(<secret>)"

    def fill(self, buffer: memoryview) -> None:
        """Write the next `len(buffer)` bytes of the stream to `buffer`."""
        for start in range(0, len(buffer), len(_ZEROS)):
            part = buffer[start : start + len(_ZEROS)]
            self._encryptor.update_into(memoryview(_ZEROS)[: len(part)], part)


class Digest:
    """SHA-256 of what both online servers opened, in its order; they must agree on it.

    Args:
        label: what is hashed.
    """

    def __init__(self, label: str) -> None:
        self._hasher = hashlib.sha256(b"chorus/predictions/" + label.encode() + b"\x00")

    def update(self, opened: memoryview) -> None:
        """Take in the next opened values."""
        self._hasher.update(len(opened).to_bytes(8, "big"))
        self._hasher.update(opened)

    def value(self) -> bytes:
        """32 bytes."""
        return self._hasher.digest()


def same(left: bytes | memoryview, right: bytes | memoryview) -> bool:
    """Equality in constant time."""
    return hmac.compare_digest(left, right)


class Tagger:
    """GMAC under one key: whoever holds it can tag, and nobody else.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "Tagger(<secret>)"

    def tag(self, nonce: bytes, data: memoryview) -> bytes:
        """16 bytes.

        Args:
            nonce: 12 bytes, never used twice under one key for different data.
            data: what is tagged, in the clear.
        """
        return self._cipher.encrypt(nonce, b"", data)
