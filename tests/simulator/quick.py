"""The same cryptography, computed once: what makes a seed cost milliseconds.

Decides: which pure functions of the crypto libraries are remembered (X25519 public keys and agreements, Ed25519
checks: equal arguments give equal results), that clients draw their X25519 keys from a pool, never one twice under a
seed, and that masks are added in the one thread there is. Every result is the library's own; nothing is left out.
Refuses to know: seeds of masks, shares and session identifiers, which are fresh for every session.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache
from random import Random
from unittest.mock import patch

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from secagg import masks, primitives
from wire.rounds import ProtocolRound

KEYS = 128
_POOL = tuple(hashlib.sha256(b"simulator" + bytes([at])).digest() for at in range(KEYS))
_REMEMBERED = 1 << 17


class KeyPool:
    """Entropy of the clients under one seed."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._left = list(_POOL)
        chance.shuffle(self._left)

    def entropy(self, trip: ProtocolRound, size: int) -> bytes:
        """In the place of `os.urandom`: in r0 and r4 key pairs are made, in r1 seeds and polynomials."""
        if trip is not ProtocolRound.SHARE_KEYS and size == primitives.KEY_BYTES and self._left:
            return self._left.pop()
        return self._chance.randbytes(size)


class _Bytes:
    """Bytes in the place of a public key of the library."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def public_bytes_raw(self) -> bytes:
        return self._data


class _Agreeing:
    """An X25519 private key."""

    def __init__(self, private: bytes) -> None:
        self._private = private

    @classmethod
    def from_private_bytes(cls, private: bytes) -> "_Agreeing":
        return cls(private)

    def public_key(self) -> _Bytes:
        return _Bytes(_public(self._private))

    def exchange(self, public: _Bytes) -> bytes:
        return _agreed(self._private, public.public_bytes_raw())


class _Shown:
    """Makes X25519 public keys; they are loaded when they are first agreed with."""

    from_public_bytes = staticmethod(_Bytes)


class _Checking:
    """An Ed25519 public key."""

    def __init__(self, public: bytes) -> None:
        self._public = public

    @classmethod
    def from_public_bytes(cls, public: bytes) -> "_Checking":
        return cls(public)

    def verify(self, signature: bytes, message: bytes) -> None:
        if not _is_signed(self._public, bytes(signature), message):
            raise InvalidSignature


@lru_cache(_REMEMBERED)
def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


@lru_cache(_REMEMBERED)
def _agreed(private: bytes, public: bytes) -> bytes:
    key = X25519PrivateKey.from_private_bytes(private)
    return key.exchange(X25519PublicKey.from_public_bytes(public))


@lru_cache(1 << 12)
def _is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


class _Here:
    """A pool of no threads."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> "_Here":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, call: Callable[..., None], *arguments: object) -> Future[None]:
        done: Future[None] = Future()
        call(*arguments)
        done.set_result(None)
        return done


@contextmanager
def computed_once() -> Iterator[None]:
    """Within it, `secagg.primitives` remembers what these functions gave, and `secagg.masks` starts no thread."""
    with (
        patch.object(primitives, "X25519PrivateKey", _Agreeing),
        patch.object(primitives, "X25519PublicKey", _Shown),
        patch.object(primitives, "Ed25519PublicKey", _Checking),
        patch.object(masks, "ThreadPoolExecutor", _Here),
    ):
        yield
