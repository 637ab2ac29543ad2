"""Uniform bytes for tests: the same in every run, or written by hand."""

from collections.abc import Callable

from Crypto.Cipher import AES


def stream(key: int) -> Callable[[int], bytes]:
    """AES-256-CTR under a fixed key: no verdict of a statistic on it is a matter of luck."""
    cipher = AES.new(key.to_bytes(32, "big"), AES.MODE_CTR, nonce=b"", initial_value=bytes(16))
    return lambda size: cipher.encrypt(bytes(size))


def answers(*replies: bytes) -> Callable[[int], bytes]:
    """A stream of exactly these replies, of exactly the sizes asked for; nothing for nothing."""
    left = list(replies)

    def uniform(size: int) -> bytes:
        reply = left.pop(0) if size else b""
        assert len(reply) == size
        return reply

    return uniform
