"""Published vectors through our own wrappers: RFC 7748, 5869, 3686, 8032, NIST CTR and GCM, and Wycheproof's sets.

Where a wrapper fixes what a vector varies (the nonce of GCM, the info of HKDF), that one value is put in its place
and everything else is the wrapper's own. tests/vectors/published/README.md says where the files come from.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from secagg import primitives
from secagg.primitives import (
    BadCiphertext,
    BadKey,
    KeyPair,
    KeyStream,
    PrivateKey,
    SigningKey,
    check_identity,
    check_public_key,
    derive_key,
    is_signed,
    seal,
    unseal,
)

PUBLISHED = Path(__file__).resolve().parent.parent / "vectors" / "published"
P = 2**255 - 19


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


@cache
def wycheproof(name: str) -> tuple[tuple[dict[str, Any], dict[str, Any]], ...]:
    """(group, case) of every case in a set."""
    table = json.loads((PUBLISHED / f"wycheproof_{name}_test.json").read_text())
    found = tuple((group, case) for group in table["testGroups"] for case in group["tests"])
    assert len(found) == table["numberOfTests"]
    return found


def records(name: str, between: str = r"\n\s*\n") -> Iterator[dict[str, str]]:
    """The blocks of lines `KEY = value` in a text file, and `FAIL` where a line says so."""
    for block in re.split(between, (PUBLISHED / name).read_text()):
        pairs = dict(re.findall(r"^(\w+)\s*=[ \t]*(\w*)\s*$", block, re.MULTILINE))
        if len(pairs) > 1:
            yield {key.lower(): value for key, value in pairs.items()} | (
                {"fail": "yes"} if re.search(r"^FAIL", block, re.MULTILINE) else {}
            )


def with_nonce(monkeypatch: pytest.MonkeyPatch, nonce: bytes) -> None:
    """`seal` and `unseal` under another nonce than theirs."""
    monkeypatch.setattr(primitives, "_ZERO_NONCE", nonce)


def with_info(monkeypatch: pytest.MonkeyPatch, info: bytes, context: bytes) -> None:
    """`derive_key` with another info than its own; extraction and expansion stay its own."""

    def digest(key: bytes, message: bytes, name: str) -> bytes:
        ours = b"chorus/x" + context + b"\x01"
        return hmac.digest(key, info + b"\x01" if message == ours else message, name)

    monkeypatch.setattr(primitives, "hmac", SimpleNamespace(digest=digest))


def test_the_files_are_those_that_were_recorded() -> None:
    listed = dict(re.findall(r"`([\w.]+)` \|.*`([0-9a-f]{64})`", (PUBLISHED / "README.md").read_text()))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in PUBLISHED.iterdir()}
    found.pop("README.md")
    assert listed == found


# ---- X25519


def test_x25519_gives_the_vectors_of_rfc_7748() -> None:
    found = list(records("rfc7748_x25519.txt"))
    assert len(found) >= 3
    for each in found:
        agreed = PrivateKey(unhex(each["input_scalar"])).agree(unhex(each["input_u"]))
        assert agreed.hex() == each["output_u"]


def test_x25519_gives_what_wycheproof_expects_or_refuses_a_key_of_low_order() -> None:
    """Non-canonical keys give what RFC 7748 says at `agree`; nobody who was checked shows us one."""
    refused = 0
    for _, case in wycheproof("x25519"):
        public, expected = unhex(case["public"]), unhex(case["shared"])
        if any(expected):
            assert PrivateKey(unhex(case["private"])).agree(public) == expected, case
            continue
        assert case["result"] != "valid"
        with pytest.raises(BadKey):
            PrivateKey(unhex(case["private"])).agree(public)
        refused += 1
    assert refused >= 30


def test_public_keys_that_wycheproof_calls_low_order_or_not_canonical_are_refused() -> None:
    refused = accepted = 0
    for _, case in wycheproof("x25519"):
        public = unhex(case["public"])
        low = not any(unhex(case["shared"]))
        canonical = len(public) == 32 and int.from_bytes(public, "little") < P
        assert not (low and case["result"] == "valid"), case
        if "NonCanonicalPublic" in case["flags"]:
            assert not canonical, case
        if low or not canonical:
            with pytest.raises(BadKey):
                check_public_key(public)
            refused += 1
        else:
            check_public_key(public)
            accepted += 1
    assert refused >= 40
    assert accepted >= 300


# ---- HKDF-SHA256


def test_hkdf_gives_the_vectors_of_rfc_5869(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(records("rfc5869_hkdf_sha256.txt", between=r"\nCOUNT"))
    assert len(found) == 3
    for each in found:
        salt = unhex(each.get("salt", ""))
        with_info(monkeypatch, unhex(each["info"]), salt)
        assert derive_key(unhex(each["ikm"]), "x", salt).hex() == each["okm"][:64]


def test_hkdf_gives_what_wycheproof_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block, which is all that `derive_key` gives; sizes that HKDF has not are nothing one can ask it for."""
    compared = 0
    for _, case in wycheproof("hkdf_sha256"):
        if case["result"] != "valid":
            assert case["size"] > 255 * 32
            continue
        salt, size = unhex(case["salt"]), min(32, case["size"])
        with_info(monkeypatch, unhex(case["info"]), salt)
        assert derive_key(unhex(case["ikm"]), "x", salt)[:size] == unhex(case["okm"])[:size], case
        compared += 1
    assert compared >= 80


# ---- AES-256-GCM


def test_gcm_gives_the_vectors_of_nist(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = refused = 0
    for each in records("nist_gcm_decrypt256_subset.txt"):
        if "key" not in each:
            continue
        with_nonce(monkeypatch, unhex(each["iv"]))
        key, associated = unhex(each["key"]), unhex(each["aad"])
        sealed = unhex(each["ct"] + each["tag"])
        if "fail" in each:
            with pytest.raises(BadCiphertext):
                unseal(key, sealed, associated)
            refused += 1
        else:
            assert unseal(key, sealed, associated).hex() == each["pt"]
            assert seal(key, unhex(each["pt"]), associated) == sealed
            opened += 1
    assert opened >= 150
    assert refused >= 150


def test_gcm_gives_what_wycheproof_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of 256 bits, nonces of 96, tags of 128: what the wrapper takes."""
    opened = refused = 0
    for group, case in wycheproof("aes_gcm"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        with_nonce(monkeypatch, unhex(case["iv"]))
        key, associated, sealed = unhex(case["key"]), unhex(case["aad"]), unhex(case["ct"] + case["tag"])
        if case["result"] == "valid":
            assert unseal(key, sealed, associated) == unhex(case["msg"]), case
            assert seal(key, unhex(case["msg"]), associated) == sealed, case
            opened += 1
        else:
            with pytest.raises(BadCiphertext):
                unseal(key, sealed, associated)
            refused += 1
    assert opened >= 30
    assert refused >= 20


# ---- AES-256-CTR


@pytest.mark.parametrize("name", ["rfc3686_ctr_aes256.txt", "nist_sp800_38a_f55.txt"])
def test_ctr_gives_the_vectors_of_rfc_3686_and_nist(name: str) -> None:
    """The stream of a key, begun at the block that the vector's counter names."""
    found = list(records(name))
    assert found
    for each in found:
        plain, start = unhex(each["plaintext"]), 16 * int(each["iv"], 16)
        written = bytearray(len(plain))
        KeyStream(unhex(each["key"]), start).read_into(memoryview(plain), memoryview(written))
        assert written.hex() == each["ciphertext"].lower()


# ---- Ed25519

# RFC 8032, section 7.1, TEST SHA(abc); the first three and TEST 1024 are lines 1, 2, 3 and 1024 of the file.
RFC8032_ABC = (
    "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
    "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    hashlib.sha512(b"abc").hexdigest(),
    "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9be"
    "f1177331a704",
)


def ed25519_lines() -> list[tuple[str, str, str, str]]:
    lines = (PUBLISHED / "ed25519_sign_input_subset.txt").read_text().splitlines()
    fields = [line.split(":") for line in lines]
    found = [(secret[:64], public, message, signed[:128]) for secret, public, message, signed, _ in fields]
    return [*found, RFC8032_ABC]


def test_ed25519_gives_the_vectors_of_rfc_8032() -> None:
    found = ed25519_lines()
    assert len(found) == 66
    for secret, public, message, signed in found:
        key = SigningKey(unhex(secret))
        assert key.public.hex() == public
        assert key.sign(unhex(message)).hex() == signed
        check_identity(key.public)
        assert is_signed(key.public, unhex(message), unhex(signed))
        assert not is_signed(key.public, unhex(message) + b"\x00", unhex(signed))


def test_ed25519_takes_and_refuses_what_wycheproof_says() -> None:
    taken = refused = 0
    for group, case in wycheproof("ed25519"):
        public = unhex(group["publicKey"]["pk"])
        found = is_signed(public, unhex(case["msg"]), unhex(case["sig"]))
        assert found is (case["result"] == "valid"), case
        taken, refused = taken + found, refused + (not found)
        if found:
            check_identity(public)
    assert taken >= 50
    assert refused >= 50


def test_a_key_pair_gives_the_public_key_of_wycheproofs_private_ones() -> None:
    """Keys agree from either side: u = 9 is a public key as good as any."""
    for _, case in wycheproof("x25519")[:40]:
        private = unhex(case["private"])
        assert KeyPair.from_private(private).public == PrivateKey(private).agree((9).to_bytes(32, "little"))
