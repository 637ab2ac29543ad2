"""X25519, HKDF, AES-GCM, AES-CTR, SHA-256, Ed25519: known vectors, pycryptodome's bytes, and what is refused."""

import hashlib
import os
import struct

import pytest
from Crypto.Cipher import AES
from Crypto.Hash import HMAC, SHA256
from Crypto.Protocol.DH import import_x25519_private_key, import_x25519_public_key, key_agreement
from Crypto.Protocol.KDF import HKDF
from Crypto.PublicKey import ECC
from cryptography.hazmat.primitives.asymmetric import ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

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
    digest,
    is_signed,
    same,
    seal,
    unseal,
)

P = 2**255 - 19
keys = st.binary(min_size=32, max_size=32)
quick = settings(max_examples=40, deadline=None)


def ladder(private: bytes, public: bytes) -> bytes:
    """X25519 as RFC 7748, section 5 writes it, over Python integers: a referee that shares no code."""
    scalar = bytearray(private)
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    k, x1 = int.from_bytes(scalar, "little"), int.from_bytes(public, "little") % 2**255 % P
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, (aa - bb) * (aa + 121665 * (aa - bb)) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


# ---- X25519

# RFC 7748, section 5.2: scalar, u-coordinate, result.
RFC7748_5_2 = [
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
]
# RFC 7748, section 6.1.
ALICE = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
ALICE_PUBLIC = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
BOB = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


@pytest.mark.parametrize(("scalar", "u", "result"), RFC7748_5_2)
def test_agree_gives_the_vectors_of_rfc_7748_section_5_2(scalar: str, u: str, result: str) -> None:
    assert PrivateKey(bytes.fromhex(scalar)).agree(bytes.fromhex(u)).hex() == result
    assert ladder(bytes.fromhex(scalar), bytes.fromhex(u)).hex() == result


@pytest.mark.parametrize(
    ("times", "result"),
    [
        (1, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"),
        (1000, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"),
    ],
)
def test_agree_gives_the_iterated_vectors_of_rfc_7748_section_5_2(times: int, result: str) -> None:
    k = u = (9).to_bytes(32, "little")
    for _ in range(times):
        k, u = PrivateKey(k).agree(u), k
    assert k.hex() == result


def test_key_pairs_give_the_vector_of_rfc_7748_section_6_1() -> None:
    alice, bob = KeyPair.from_private(bytes.fromhex(ALICE)), KeyPair.from_private(bytes.fromhex(BOB))
    assert (alice.public.hex(), bob.public.hex()) == (ALICE_PUBLIC, BOB_PUBLIC)
    assert PrivateKey(alice.private).agree(bob.public).hex() == SHARED
    assert PrivateKey(bob.private).agree(alice.public).hex() == SHARED


@quick
@given(keys, keys)
def test_x25519_is_pycryptodomes_and_the_ladders(own: bytes, peer: bytes) -> None:
    pair, other = KeyPair.from_private(own), KeyPair.from_private(peer)
    theirs = import_x25519_private_key(own)
    assert pair.public == theirs.public_key().export_key(format="raw")
    assert pair.public == ECC.construct(curve="Curve25519", seed=own).public_key().export_key(format="raw")
    secret = key_agreement(
        static_priv=theirs, static_pub=import_x25519_public_key(other.public), kdf=lambda raw: raw
    )
    assert PrivateKey(own).agree(other.public) == secret == ladder(own, other.public)
    assert PrivateKey(own).agree(other.public) == PrivateKey(peer).agree(pair.public)
    check_public_key(pair.public)


# The points of order 1, 2, 4, 8 on the curve and its twist (Bernstein, cr.yp.to/ecdh.html#validate), as
# little-endian u-coordinates; with p added where that still fits 32 bytes, and with the top bit set.
ORDER_EIGHT = [
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
]
LOW_ORDER = [0, 1, P - 1, *(int.from_bytes(bytes.fromhex(u), "little") for u in ORDER_EIGHT)]
# What X25519 reads as one of them: the top bit is masked, then the rest is taken mod p.
DISGUISED = sorted({u for u in (P, P + 1)} | {2**255 + u for u in (*LOW_ORDER, P, P + 1)})
# The rest of Bernstein's list, low order only for code that does not mask the top bit.
UNMASKED = [2 * P - 1, 2 * P, 2 * P + 1, *(P + u for u in LOW_ORDER[3:])]


@pytest.mark.parametrize("u", [*LOW_ORDER, *DISGUISED], ids=lambda u: f"{u:x}")
def test_low_order_points_are_refused_in_every_encoding(u: int) -> None:
    public = u.to_bytes(32, "little")
    assert ladder(bytes(range(32)), public) == bytes(32), "this test's own list must be of low order"
    with pytest.raises(BadKey):
        check_public_key(public)
    with pytest.raises(BadKey, match="low order"):
        PrivateKey(bytes(range(32))).agree(public)


@pytest.mark.parametrize("u", UNMASKED, ids=lambda u: f"{u:x}")
def test_points_of_low_order_without_masking_are_refused_too(u: int) -> None:
    with pytest.raises(BadKey, match="canonical"):
        check_public_key(u.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "u", [P, P + 1, P + 9, 2**255 - 1, 2**255, 2**255 + 9, 2**256 - 1], ids=lambda u: f"{u:x}"
)
def test_non_canonical_coordinates_are_refused(u: int) -> None:
    with pytest.raises(BadKey):
        check_public_key(u.to_bytes(32, "little"))


@pytest.mark.parametrize("u", [P + 9, 2**255 - 1, 2**255 + 9])
def test_non_canonical_coordinates_of_large_order_are_refused_as_such(u: int) -> None:
    with pytest.raises(BadKey, match="canonical"):
        check_public_key(u.to_bytes(32, "little"))


@pytest.mark.parametrize("u", [2, 9, P - 2])
def test_canonical_coordinates_of_large_order_pass(u: int) -> None:
    """Every u of large order is a valid X25519 input, on the curve or on its twist."""
    check_public_key(u.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(BadKey, match=f"not {length}"):
        check_public_key(b"\x09" + bytes(length - 1) if length else b"")
    with pytest.raises(BadKey):
        PrivateKey(bytes(range(32))).agree(bytes(length))


def test_generate_uses_its_entropy_and_nothing_else() -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return bytes(range(size))

    assert KeyPair.generate(entropy) == KeyPair.from_private(bytes(range(32)))
    assert asked == [32]


def test_forked_processes_draw_different_keys() -> None:
    """Ray and multiprocessing fork; numpy's and random's state would be shared (threats.md, 21)."""
    publics = []
    for _ in range(3):
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                os.write(writable, KeyPair.generate(os.urandom).public)
            finally:
                os._exit(0)
        os.close(writable)
        publics.append(os.read(readable, 64))
        os.close(readable)
        os.waitpid(child, 0)
    publics.append(KeyPair.generate(os.urandom).public)
    assert all(len(public) == 32 for public in publics)
    assert len(set(publics)) == 4


def forms(secret: bytes) -> list[str]:
    """Every way in which a text might show these bytes."""
    return [
        secret.hex(),
        secret.hex().upper(),
        repr(secret)[2:-1],
        str(list(secret)),
        str(int.from_bytes(secret)),
    ]


def test_repr_and_str_hide_what_is_secret() -> None:
    private = bytes(range(65, 97))
    pair = KeyPair.from_private(private)
    shown = repr(pair) + str(pair) + f"{[pair]}" + repr(KeyStream(private))
    assert not [form for form in forms(private) if form in shown]
    assert repr(pair.public) in shown
    assert "<secret>" in repr(KeyStream(private))


# ---- HKDF


def test_referee_gives_rfc_5869_case_1() -> None:
    """RFC 5869, appendix A.1. `derive_key` fixes info and length, so the vector anchors the referee, and the
    referee anchors `derive_key` below.
    """
    okm = HKDF(
        bytes.fromhex("0b" * 22),
        42,
        bytes.fromhex("000102030405060708090a0b0c"),
        SHA256,
        context=bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"),
    )
    assert okm.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


@quick
@given(
    st.binary(max_size=80),
    st.text(max_size=20),
    st.binary(max_size=80),
    st.lists(st.integers(0, 2**64 - 1), max_size=4),
)
def test_derive_key_is_pycryptodomes_hkdf(
    secret: bytes, label: str, context: bytes, parts: list[int]
) -> None:
    info = b"chorus/" + label.encode() + b"".join(struct.pack(">Q", part) for part in parts) + context
    expected = HKDF(secret, 32, context, SHA256, context=info)
    assert derive_key(secret, label, context, *parts) == expected


def test_derive_key_is_extract_then_expand_by_hand() -> None:
    """RFC 5869, sections 2.2 and 2.3 for one block of output, over pycryptodome's HMAC."""
    secret, context = bytes(range(32)), bytes(range(32, 64))
    pseudorandom = HMAC.new(context, secret, SHA256).digest()
    info = b"chorus/self mask/tensor" + (5).to_bytes(8, "big") + context
    expected = HMAC.new(pseudorandom, info + b"\x01", SHA256).digest()
    assert derive_key(secret, "self mask/tensor", context, 5) == expected


def test_derive_key_separates_whatever_differs() -> None:
    secret, context = bytes(32), bytes(range(32))
    derived = [
        derive_key(secret, "label", context),
        derive_key(secret, "label", context, 0),
        derive_key(secret, "label", context, 1),
        derive_key(secret, "label", context, 1, 2),
        derive_key(secret, "label", context, 2, 1),
        derive_key(secret, "labels", context, 1),
        derive_key(secret, "Label", context, 1),
        derive_key(b"\x01" + bytes(31), "label", context, 1),
        derive_key(secret, "label", context[::-1], 1),
    ]
    assert len(set(derived)) == len(derived)
    assert all(len(key) == 32 for key in derived)


@pytest.mark.parametrize("part", [-1, 2**64])
def test_derive_key_takes_no_part_that_does_not_fit(part: int) -> None:
    with pytest.raises(OverflowError):
        derive_key(bytes(32), "label", bytes(32), part)


# ---- AES-256-GCM


@pytest.mark.parametrize(
    ("plaintext", "sealed"),
    [
        # McGrew and Viega, The Galois/Counter Mode of Operation (2005), appendix B, test cases 13 and 14:
        # key and nonce zero, no associated data.
        ("", "530f8afbc74536b9a963b4f1c4cb738b"),
        ("00" * 16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
    ],
)
def test_seal_gives_the_vectors_of_the_gcm_submission(plaintext: str, sealed: str) -> None:
    assert seal(bytes(32), bytes.fromhex(plaintext), b"").hex() == sealed
    assert unseal(bytes(32), bytes.fromhex(sealed), b"").hex() == plaintext


@quick
@given(keys, st.binary(max_size=200), st.binary(max_size=100))
def test_seal_is_pycryptodomes_gcm(key: bytes, plaintext: bytes, associated: bytes) -> None:
    cipher = AES.new(key, AES.MODE_GCM, nonce=bytes(12))
    cipher.update(associated)
    sealed = b"".join(cipher.encrypt_and_digest(plaintext))
    assert seal(key, plaintext, associated) == sealed
    assert len(sealed) == len(plaintext) + 16
    assert unseal(key, sealed, associated) == plaintext


def test_unseal_refuses_a_flip_of_any_bit_anywhere() -> None:
    key, plaintext, associated = bytes(range(32)), bytes(range(66)), b"from 1 to 2"
    sealed = seal(key, plaintext, associated)
    for at in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(BadCiphertext):
            unseal(key, bytes(flipped), associated)
    for at in range(8 * len(associated)):
        other = bytearray(associated)
        other[at // 8] ^= 1 << at % 8
        with pytest.raises(BadCiphertext):
            unseal(key, sealed, bytes(other))
    for at in range(256):
        other = bytearray(key)
        other[at // 8] ^= 1 << at % 8
        with pytest.raises(BadCiphertext):
            unseal(bytes(other), sealed, associated)


def test_unseal_refuses_every_truncation_and_extension() -> None:
    sealed = seal(bytes(32), b"share", b"")
    for length in range(len(sealed)):
        with pytest.raises(BadCiphertext):
            unseal(bytes(32), sealed[:length], b"")
    with pytest.raises(BadCiphertext):
        unseal(bytes(32), sealed + b"\x00", b"")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_unseal_refuses_a_key_of_another_length(length: int) -> None:
    with pytest.raises(BadCiphertext):
        unseal(bytes(length), seal(bytes(32), b"share", b""), b"")


# ---- AES-256-CTR


def reference_stream(key: bytes, size: int) -> bytes:
    return AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=bytes(16)).encrypt(bytes(size))


def test_referee_gives_the_nist_ctr_aes256_vector() -> None:
    """NIST SP 800-38A, F.5.5. Its counter starts elsewhere than ours; it anchors the referee."""
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    plaintext = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    cipher = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=bytes(range(0xF0, 0x100)))
    assert cipher.encrypt(plaintext).hex() == (
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )


def test_stream_of_the_zero_key_by_known_blocks() -> None:
    """E(0, 0): NIST AESAVS, the all-zero AES-256 block. E(0, 1) and E(0, 2): the tag of GCM test case 13 and
    the ciphertext of case 14, which are the second and third counter blocks of the zero key.
    """
    assert KeyStream(bytes(32)).read(48).hex() == (
        "dc95c078a2408989ad48a21492842087530f8afbc74536b9a963b4f1c4cb738bcea7403d4d606b6e074ec5d3baf39d18"
    )


@quick
@given(keys, st.lists(st.integers(0, 100), max_size=10))
def test_stream_is_pycryptodomes_ctr_however_it_is_read(key: bytes, sizes: list[int]) -> None:
    stream, other = KeyStream(key), KeyStream(key)
    expected = reference_stream(key, sum(sizes))
    assert b"".join(stream.read(size) for size in sizes) == expected
    pieces = []
    for size in sizes:
        buffer = bytearray(b"\xaa" * size)
        other.read_into(memoryview(bytes(size)), memoryview(buffer))
        pieces.append(bytes(buffer))
    assert b"".join(pieces) == expected


def test_counter_carries_beyond_one_byte() -> None:
    size = 16 * 70_000
    assert KeyStream(bytes(range(32))).read(size) == reference_stream(bytes(range(32)), size)


def test_flipping_any_seed_bit_changes_half_of_the_stream() -> None:
    """Binomial(65536, 1/2): nine standard deviations are 1,152 bits."""
    size = 8192
    base = int.from_bytes(KeyStream(bytes(32)).read(size))
    for at in range(256):
        flipped = int.from_bytes(KeyStream((1 << at).to_bytes(32, "little")).read(size))
        assert abs((base ^ flipped).bit_count() - 8 * size // 2) < 1152


def test_flipping_any_bit_of_a_secret_changes_half_of_the_derived_stream() -> None:
    size = 1024
    base = int.from_bytes(KeyStream(derive_key(bytes(32), "label", b"context")).read(size))
    for at in range(256):
        key = derive_key((1 << at).to_bytes(32, "little"), "label", b"context")
        changed = (base ^ int.from_bytes(KeyStream(key).read(size))).bit_count()
        assert abs(changed - 8 * size // 2) < 408  # nine standard deviations


# ---- digest, equality


@quick
@given(
    st.text(max_size=20).filter(lambda text: "\x00" not in text), st.lists(st.binary(max_size=40), max_size=5)
)
def test_digest_is_sha256_of_the_documented_input(label: str, parts: list[bytes]) -> None:
    data = b"chorus/" + label.encode() + b"\x00"
    data += b"".join(struct.pack(">Q", len(part)) + part for part in parts)
    assert digest(label, *parts) == SHA256.new(data).digest() == hashlib.sha256(data).digest()


def test_digest_is_injective_over_part_boundaries() -> None:
    lists: list[tuple[bytes, ...]] = [
        (),
        (b"",),
        (b"", b""),
        (b"ab",),
        (b"a", b"b"),
        (b"ab", b""),
        (b"", b"ab"),
        (b"b", b"a"),
        (b"a" + (1).to_bytes(8, "big") + b"b",),
        ((2).to_bytes(8, "big") + b"ab",),
    ]
    assert len({digest("label", *parts) for parts in lists}) == len(lists)
    assert digest("label", b"a") != digest("labela")
    assert digest("label", b"a") != digest("other", b"a")


@quick
@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_digest_tells_different_lists_apart(left: list[bytes], right: list[bytes]) -> None:
    assert (digest("label", *left) == digest("label", *right)) == (left == right)


def test_same() -> None:
    assert same(b"abc", b"abc")
    assert not same(b"abc", b"abd")
    assert not same(b"abc", b"ab")


# ---- Ed25519

# RFC 8032, section 7.1: tests 1, 2, 3 and SHA(abc), as printed there: (private, public, message, signature).
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
# edwards25519 over Python integers (RFC 8032, section 5.1): a referee that shares no code.
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
SQRT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]


def add(left: Point, right: Point) -> Point:
    product = D * left[0] * right[0] * left[1] * right[1]
    x = (left[0] * right[1] + right[0] * left[1]) * pow(1 + product, -1, P) % P
    return x, (left[1] * right[1] + left[0] * right[0]) * pow(1 - product, -1, P) % P


def times(scalar: int, point: Point) -> Point:
    found: Point = (0, 1)
    while scalar:
        if scalar & 1:
            found = add(found, point)
        point, scalar = add(point, point), scalar >> 1
    return found


def decoded_point(y: int) -> Point | None:
    """A point with this y; None where there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    for root in (pow(square, (P + 3) // 8, P), pow(square, (P + 3) // 8, P) * SQRT_OF_MINUS_ONE % P):
        if root * root % P == square:
            return root, y
    return None


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def torsion() -> set[Point]:
    """The eight points of order 1, 2, 4 and 8, out of a point times the large prime order."""
    y = 2
    while True:
        point = decoded_point(y)
        small = times(ORDER, point) if point else (0, 1)
        if times(4, small) != (0, 1):
            return {times(factor, small) for factor in range(8)}
        y += 1


def base_point() -> Point:
    """The point with y = 4/5 and the even x (RFC 8032, section 5.1)."""
    found = decoded_point(4 * pow(5, -1, P) % P)
    assert found is not None
    x, y = found
    return (x, y) if x % 2 == 0 else (P - x, y)


BASE_POINT = base_point()


@pytest.mark.parametrize("vector", RFC_8032, ids=["1", "2", "3", "sha-abc"])
def test_signatures_of_rfc_8032(vector: tuple[str, str, str, str]) -> None:
    private, public, message, signature = map(bytes.fromhex, vector)
    key = SigningKey(private)
    assert key.public == public
    assert key.sign(message) == signature
    assert is_signed(public, message, signature)
    check_identity(public)


@quick
@given(keys, st.binary(max_size=200))
def test_a_signature_is_of_one_key_and_one_message(private: bytes, message: bytes) -> None:
    key = SigningKey(private)
    signature = key.sign(message)
    assert is_signed(key.public, message, signature)
    assert not is_signed(key.public, message + b"\x00", signature)
    assert not is_signed(SigningKey.generate(os.urandom).public, message, signature)


def test_a_signature_with_any_bit_flipped_is_none() -> None:
    key, message = SigningKey(bytes(range(32))), b"survivors"
    for text in ("signature", "key"):
        good = key.sign(message) if text == "signature" else key.public
        for at in range(8 * len(good)):
            flipped = bytearray(good)
            flipped[at // 8] ^= 1 << at % 8
            pair = (
                (key.public, bytes(flipped)) if text == "signature" else (bytes(flipped), key.sign(message))
            )
            assert not is_signed(pair[0], message, pair[1])


@pytest.mark.parametrize("length", [0, 31, 33, 63, 65, 128])
def test_keys_and_signatures_of_another_length_sign_nothing(length: int) -> None:
    key = SigningKey(bytes(32))
    assert not is_signed(key.public, b"m", bytes(length))
    assert not is_signed(bytes(length), b"m", key.sign(b"m"))
    with pytest.raises(BadKey, match="32 bytes"):
        check_identity(bytes(length))


def test_there_are_five_y_coordinates_of_small_order_and_all_are_refused() -> None:
    points = torsion()
    assert len(points) == 8
    assert {y for _, y in points} == primitives._SMALL_ORDER
    for _, y in points:
        for sign in (0, 1):
            with pytest.raises(BadKey, match="low order"):
                check_identity((y | sign << 255).to_bytes(32, "little"))


def test_a_key_of_small_order_would_sign_everything_for_everybody() -> None:
    """Why they are refused: with A of order one, R = S B fits every message."""
    identity, scalar = encoded((0, 1)), 77
    forged = encoded(times(scalar, BASE_POINT)) + scalar.to_bytes(32, "little")
    assert is_signed(identity, b"whatever", forged)
    assert is_signed(identity, b"something else", forged)
    with pytest.raises(BadKey):
        check_identity(identity)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("above", range(19))
def test_identity_keys_not_in_canonical_form_are_refused(above: int, sign: int) -> None:
    with pytest.raises(BadKey, match="canonical"):
        check_identity((P + above | sign << 255).to_bytes(32, "little"))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, P - 1), st.integers(0, 1))
def test_an_identity_key_is_a_point_of_the_curve(y: int, sign: int) -> None:
    key = (y | sign << 255).to_bytes(32, "little")
    if decoded_point(y) is not None and y not in primitives._SMALL_ORDER:
        check_identity(key)
        return
    with pytest.raises(BadKey, match=r"no point|low order"):
        check_identity(key)


def forged_with(first: bytes, seed: bytes, message: bytes) -> bytes:
    """A signature by the holder of the key whose R encodes the neutral point, however it is written."""
    expanded = hashlib.sha512(seed).digest()
    secret = int.from_bytes(expanded[:32], "little") & (1 << 254) - 8 | 1 << 254
    public = encoded(times(secret, BASE_POINT))
    assert public == SigningKey(seed).public
    hashed = int.from_bytes(hashlib.sha512(first + public + message).digest(), "little")
    return first + (hashed * secret % ORDER).to_bytes(32, "little")


def test_the_first_half_of_a_signature_has_one_form() -> None:
    """R = 1 mod p signs when written as 1 and not when written as p + 1 or with the sign of a zero."""
    seed = bytes(range(32))
    public = SigningKey(seed).public
    assert is_signed(public, b"m", forged_with((1).to_bytes(32, "little"), seed, b"m"))
    for other in (P + 1, 1 | 1 << 255, P + 1 | 1 << 255):
        assert not is_signed(public, b"m", forged_with(other.to_bytes(32, "little"), seed, b"m"))


@pytest.mark.parametrize("multiple", range(1, 16))
def test_the_second_half_of_a_signature_has_one_form(multiple: int) -> None:
    """S + L satisfies the same equation (malleability); only S < L is taken."""
    key = SigningKey(bytes(range(32)))
    good = key.sign(b"m")
    second = int.from_bytes(good[32:], "little")
    assert second < ORDER
    larger = second + multiple * ORDER
    if larger < 2**256:
        assert not is_signed(key.public, b"m", good[:32] + larger.to_bytes(32, "little"))
    assert multiple > 13 or larger < 2**256


def test_a_key_goes_to_pem_and_back() -> None:
    key = SigningKey.generate(os.urandom)
    for passphrase in (None, b"open sesame"):
        pem = key.to_pem(passphrase)
        again = SigningKey.from_pem(pem, passphrase)
        assert again.public == key.public
        assert again.sign(b"m") == key.sign(b"m")
        assert pem.startswith(b"-----BEGIN ENCRYPTED" if passphrase else b"-----BEGIN PRIVATE KEY")


@pytest.mark.parametrize("passphrase", [None, b"wrong", b""])
def test_an_encrypted_key_wants_its_passphrase(passphrase: bytes | None) -> None:
    pem = SigningKey.generate(os.urandom).to_pem(b"open sesame")
    with pytest.raises(BadKey):
        SigningKey.from_pem(pem, passphrase)


def test_a_passphrase_for_an_open_key_is_one_too_many() -> None:
    with pytest.raises(BadKey):
        SigningKey.from_pem(SigningKey.generate(os.urandom).to_pem(), b"open sesame")


@pytest.mark.parametrize(
    "pem", [b"", b"text", bytes(100), b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_pem_is_refused(pem: bytes) -> None:
    with pytest.raises(BadKey):
        SigningKey.from_pem(pem)


@pytest.mark.parametrize("kind", ["x25519", "p256", "ed448", "public"])
def test_keys_of_another_kind_are_refused(kind: str) -> None:
    other = {
        "x25519": x25519.X25519PrivateKey.generate,
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ed448": ed448.Ed448PrivateKey.generate,
        "public": x25519.X25519PrivateKey.generate,
    }[kind]()
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if kind == "public":
        pem = pem.replace(b"PRIVATE", b"PUBLIC")
    with pytest.raises(BadKey, match="no private key" if kind == "public" else "not of Ed25519"):
        SigningKey.from_pem(pem)


def test_a_signing_key_hides_itself() -> None:
    seed = bytes(range(1, 33))
    shown = f"{SigningKey(seed)!r} {SigningKey(seed)} {[SigningKey(seed)]}"
    assert seed.hex() not in shown
    assert repr(seed)[2:-1] not in shown
    assert "<secret>" in shown
