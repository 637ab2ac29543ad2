"""Masks: the sign rule, cancellation, separation, and pieces without seams."""

import os
from itertools import combinations

import numpy as np
import pytest
from Crypto.Cipher import AES
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.residues import Words, to_signed, word_type
from secagg.masks import (
    Mask,
    MaskSeed,
    Residues,
    add_masks,
    commit,
    empty,
    pairwise_mask_seed,
    pairwise_sign,
    self_mask_seed,
)
from secagg.primitives import BadKey, KeyPair, derive_key, digest
from tests.support.residues import packed

every_modulus = pytest.mark.parametrize("bits", [8, 16, 17, 24, 32, 40, 48, 63, 64])
CONTEXT = bytes(range(32))
PIECE_BYTES = 1 << 16


def expanded(key: bytes, length: int, bits: int) -> Words:
    """The whole mask at once, by pycryptodome."""
    word = word_type(bits)
    cipher = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=bytes(16))
    return np.frombuffer(cipher.encrypt(bytes(length * word.itemsize)), dtype=word)


def random_residues(tensor: int, scalars: int, bits: int, seed: int = 1) -> Residues:
    """Any words, surplus bits included."""
    rng = np.random.default_rng(seed)
    whole = word_type(bits)
    return Residues(
        rng.integers(0, np.iinfo(whole).max, tensor, dtype=whole, endpoint=True),
        rng.integers(0, 2**64 - 1, scalars, dtype="<u8", endpoint=True),
    )


def copied(total: Residues) -> Residues:
    return Residues(total.tensor.copy(), total.scalars.copy())


def sent(total: Residues, bits: int) -> bytes:
    return packed(total.tensor, bits) + packed(total.scalars, 64)


# ---- one mask


@every_modulus
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("off", [None, 0, -1, 1])
def test_pieces_leave_no_seam(bits: int, sign: int, off: int | None) -> None:
    """Lengths 0, 1 and around one and two pieces equal a naive one-shot expansion."""
    piece = PIECE_BYTES // word_type(bits).itemsize
    lengths = [0, 1] if off is None else [piece + off, 2 * piece + off]
    for length in lengths:
        seed = self_mask_seed(bytes(32), CONTEXT, length + 1)
        total = random_residues(length, 5, bits)
        before = copied(total)
        add_masks(total, [Mask(seed, 1 if sign == 1 else -1)])
        mask, scalar_mask = expanded(seed.tensor, length, bits), expanded(seed.scalars, 5, 64)
        if sign == 1:
            assert np.array_equal(total.tensor, before.tensor + mask)
            assert np.array_equal(total.scalars, before.scalars + scalar_mask)
        else:
            assert np.array_equal(total.tensor, before.tensor - mask)
            assert np.array_equal(total.scalars, before.scalars - scalar_mask)


def test_long_scalar_part_has_no_seam_either() -> None:
    length = PIECE_BYTES // 8 + 1
    total = empty(0, length, 16)
    seed = self_mask_seed(bytes(32), CONTEXT, 1)
    add_masks(total, [Mask(seed, 1)])
    assert np.array_equal(total.scalars, expanded(seed.scalars, length, 64))


@every_modulus
def test_removing_a_mask_gives_back_the_same_words(bits: int) -> None:
    total = random_residues(1000, 7, bits)
    before = sent(total, bits)
    seed = self_mask_seed(os.urandom(32), CONTEXT, 3)
    add_masks(total, [Mask(seed, 1)])
    assert sent(total, bits) != before
    add_masks(total, [Mask(seed, -1)])
    assert sent(total, bits) == before
    add_masks(total, [Mask(seed, -1)])
    add_masks(total, [Mask(seed, 1)])
    assert sent(total, bits) == before


@every_modulus
def test_empty_vector_is_zero_of_the_right_words_and_unaffected_by_masks(bits: int) -> None:
    total = empty(3, 2, bits)
    assert total.tensor.dtype == word_type(bits)
    assert total.scalars.dtype == word_type(64)
    assert total.tensor.tolist() == [0, 0, 0]
    assert total.scalars.tolist() == [0, 0]
    nothing = empty(0, 0, bits)
    add_masks(nothing, [Mask(self_mask_seed(bytes(32), CONTEXT, 1), 1)])
    assert nothing.tensor.shape == nothing.scalars.shape == (0,)


def test_tensor_and_scalar_parts_take_different_streams() -> None:
    for seed in (
        self_mask_seed(bytes(32), CONTEXT, 1),
        pairwise_mask_seed(bytes(range(32)), KeyPair.from_private(bytes(32)).public, CONTEXT, 1, 2),
    ):
        assert seed.tensor != seed.scalars
        total = empty(64, 64, 64)
        add_masks(total, [Mask(seed, 1)])
        assert not set(total.tensor.tolist()) & set(total.scalars.tolist())


# ---- derivation


def test_self_mask_seed_is_the_labelled_derivation() -> None:
    seed, context = os.urandom(32), os.urandom(32)
    found = self_mask_seed(seed, context, 7)
    assert found.tensor == derive_key(seed, "self mask/tensor", context, 7)
    assert found.scalars == derive_key(seed, "self mask/scalars", context, 7)


def test_anything_that_changes_changes_the_self_mask() -> None:
    other = bytes([CONTEXT[0] ^ 1]) + CONTEXT[1:]
    seeds = [
        self_mask_seed(bytes(32), CONTEXT, 1),
        self_mask_seed(bytes(31) + b"\x01", CONTEXT, 1),
        self_mask_seed(bytes(32), other, 1),
        self_mask_seed(bytes(32), CONTEXT, 2),
        self_mask_seed(bytes(32), CONTEXT, 256),
    ]
    keys = {key for seed in seeds for key in (seed.tensor, seed.scalars)}
    assert len(keys) == 2 * len(seeds)


def test_anything_that_changes_changes_the_pairwise_mask() -> None:
    one, two, three = (KeyPair.from_private(bytes([n]) * 32) for n in (1, 2, 3))
    other = CONTEXT[:-1] + bytes([CONTEXT[-1] ^ 128])
    seeds = [
        pairwise_mask_seed(one.private, two.public, CONTEXT, 1, 2),
        pairwise_mask_seed(one.private, three.public, CONTEXT, 1, 2),
        pairwise_mask_seed(three.private, two.public, CONTEXT, 1, 2),
        pairwise_mask_seed(one.private, two.public, other, 1, 2),
        pairwise_mask_seed(one.private, two.public, CONTEXT, 1, 3),
        pairwise_mask_seed(one.private, two.public, CONTEXT, 3, 2),
        self_mask_seed(one.private, CONTEXT, 1),
    ]
    keys = {key for seed in seeds for key in (seed.tensor, seed.scalars)}
    assert len(keys) == 2 * len(seeds)


def test_low_order_keys_give_no_mask() -> None:
    with pytest.raises(BadKey):
        pairwise_mask_seed(bytes(range(32)), bytes(32), CONTEXT, 1, 2)


def test_sign_rule() -> None:
    """Bonawitz et al.: plus for u < v, minus for u > v."""
    assert pairwise_sign(1, 2) == 1
    assert pairwise_sign(2, 1) == -1
    for own, peer in combinations(range(1, 8), 2):
        assert pairwise_sign(own, peer) + pairwise_sign(peer, own) == 0


# ---- cancellation


@every_modulus
def test_pairwise_masks_cancel_for_all_pairs(bits: int) -> None:
    pairs = {index: KeyPair.from_private(bytes([index]) * 32) for index in range(1, 7)}
    for own, peer in combinations(pairs, 2):
        mine = pairwise_mask_seed(pairs[own].private, pairs[peer].public, CONTEXT, own, peer)
        theirs = pairwise_mask_seed(pairs[peer].private, pairs[own].public, CONTEXT, peer, own)
        assert mine == theirs
        total = empty(9, 3, bits)
        add_masks(total, [Mask(mine, pairwise_sign(own, peer))])
        assert any(total.tensor)
        add_masks(total, [Mask(theirs, pairwise_sign(peer, own))])
        assert not any(total.tensor)
        assert not any(total.scalars)


def masked(
    total: Residues, pairs: dict[int, KeyPair], seeds: dict[int, bytes], own: int, context: bytes
) -> None:
    """What a client does to its input: y_u of Bonawitz et al., section 4."""
    add_masks(total, [Mask(self_mask_seed(seeds[own], context, own), 1)])
    for peer in pairs:
        if peer != own:
            seed = pairwise_mask_seed(pairs[own].private, pairs[peer].public, context, own, peer)
            add_masks(total, [Mask(seed, pairwise_sign(own, peer))])


def cohort(size: int) -> tuple[dict[int, KeyPair], dict[int, bytes]]:
    indices = range(1, size + 1)
    return {i: KeyPair.from_private(bytes([i]) * 32) for i in indices}, {
        i: bytes([100 + i]) * 32 for i in indices
    }


@every_modulus
@pytest.mark.parametrize("dropped", [(), (1,), (3,), (5,), (2, 4)])
def test_unmasking_gives_the_exact_sum_over_the_survivors(bits: int, dropped: tuple[int, ...]) -> None:
    """The server removes self masks of survivors, and of dropped clients the masks nobody cancels."""
    pairs, seeds = cohort(5)
    inputs = {index: random_residues(20, 4, bits, index) for index in pairs}
    survivors = [index for index in pairs if index not in dropped]
    total = empty(20, 4, bits)
    for index in survivors:
        vector = copied(inputs[index])
        masked(vector, pairs, seeds, index, CONTEXT)
        total.tensor += vector.tensor
        total.scalars += vector.scalars
    for index in survivors:
        add_masks(total, [Mask(self_mask_seed(seeds[index], CONTEXT, index), -1)])
    for gone in dropped:
        for index in survivors:
            seed = pairwise_mask_seed(pairs[gone].private, pairs[index].public, CONTEXT, gone, index)
            add_masks(total, [Mask(seed, pairwise_sign(gone, index))])
    for part, width in (("tensor", bits), ("scalars", 64)):
        columns = [getattr(inputs[index], part).tolist() for index in survivors]
        expected = [sum(column) % 2**width for column in zip(*columns, strict=True)]
        found = np.frombuffer(getattr(total, part).tobytes(), dtype=getattr(total, part).dtype)
        assert [int(word) % 2**width for word in found] == expected


def test_clients_shown_different_contexts_do_not_cancel() -> None:
    """Two models, two contexts (Pasquini et al., CCS 2022): the sum stays noise."""
    pairs, seeds = cohort(3)
    total = empty(50, 1, 32)
    for index in pairs:
        context = CONTEXT if index != 2 else bytes(32)
        masked(total, pairs, seeds, index, context)
        add_masks(total, [Mask(self_mask_seed(seeds[index], context, index), -1)])
    assert np.count_nonzero(total.tensor) == 50
    assert float(np.median(np.abs(to_signed(total.tensor, 32)))) > 2**27


@every_modulus
def test_masked_zeros_look_uniform(bits: int) -> None:
    """Chi-squared over the bytes that leave; 255 degrees of freedom, mean 255, deviation 22.6."""
    pairs, seeds = cohort(3)
    total = empty(40_000, 0, bits)
    masked(total, pairs, seeds, 2, CONTEXT)
    octets = np.frombuffer(packed(total.tensor, bits), dtype=np.uint8)
    expected = octets.size / 256
    statistic = float(((np.bincount(octets, minlength=256) - expected) ** 2 / expected).sum())
    assert 255 - 6 * 22.6 < statistic < 255 + 6 * 22.6


# ---- commitment, repr


def test_commitment_is_the_documented_digest() -> None:
    assert commit(bytes(32), CONTEXT, 5) == digest(
        "self mask commitment", CONTEXT, (5).to_bytes(8, "big"), bytes(32)
    )
    assert len(commit(bytes(32), CONTEXT, 5)) == 32


def test_commitment_binds_seed_context_and_owner() -> None:
    commitments = {
        commit(bytes(32), CONTEXT, 1),
        commit(bytes(31) + b"\x01", CONTEXT, 1),
        commit(bytes(32), bytes(32), 1),
        commit(bytes(32), CONTEXT, 2),
    }
    assert len(commitments) == 4


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32))
def test_commitment_does_not_contain_the_seed_or_a_mask_key(seed: bytes) -> None:
    found = commit(seed, CONTEXT, 1)
    keys = self_mask_seed(seed, CONTEXT, 1)
    assert len({found, seed, keys.tensor, keys.scalars}) == 4


def test_repr_hides_the_seed() -> None:
    seed = MaskSeed(b"TENSOR-SECRET-TENSOR-SECRET-1234", b"SCALAR-SECRET-SCALAR-SECRET-1234")
    for shown in (repr(seed), str(seed), f"{seed}", repr([seed])):
        assert "SECRET" not in shown
        assert seed.tensor.hex() not in shown
        assert seed.scalars.hex() not in shown
