"""The stream, the keys and the digest, against other implementations of the same."""

import hashlib

import pytest
from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from hypothesis import given
from hypothesis import strategies as st

from predictions.primitives import Digest, KeyStream, derive_key, same

KEY = bytes(range(32))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1 << 18, (1 << 18) + 5])
def test_the_stream_is_aes_256_in_counter_mode(size: int) -> None:
    buffer = bytearray(size)
    KeyStream(KEY).fill(memoryview(buffer))
    assert bytes(buffer) == AES.new(KEY, AES.MODE_CTR, nonce=b"", initial_value=0).encrypt(bytes(size))


def test_a_stream_goes_on_where_it_was() -> None:
    whole, parts = bytearray(100), bytearray(100)
    KeyStream(KEY).fill(memoryview(whole))
    stream = KeyStream(KEY)
    for start, end in ((0, 7), (7, 64), (64, 100)):
        stream.fill(memoryview(parts)[start:end])
    assert whole == parts


@given(st.binary(min_size=32, max_size=32), st.text(max_size=10))
def test_keys_are_those_of_hkdf(secret: bytes, label: str) -> None:
    theirs = HKDF(secret, 32, bytes(32), SHA256, context=b"chorus/predictions/" + label.encode())
    assert derive_key(secret, label) == theirs


def test_a_digest_tells_lengths_apart() -> None:
    digests = set()
    for parts in ((b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b"")):
        digest = Digest("test")
        for part in parts:
            digest.update(memoryview(part))
        digests.add(digest.value())
    assert len(digests) == 4
    assert Digest("test").value() == hashlib.sha256(b"chorus/predictions/test\x00").digest()


def test_equality() -> None:
    assert same(b"ab", b"ab")
    assert not same(b"ab", b"ac")
    assert not same(b"ab", b"abc")


def test_a_stream_hides_its_key() -> None:
    assert repr(KeyStream(KEY)) == "KeyStream(<secret>)"
