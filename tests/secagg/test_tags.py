"""Share tags: each part of what is bound matters, and the tag says nothing by itself."""

import os

import pytest

from arithmetic.field import PRIME
from secagg.tags import TAG_BYTES, ShareKind, is_dealt, tag, tag_pair

CONTEXT = b"c" * 32
KEY, SEED = 2**200 + 17, PRIME - 1
PAIR = tag_pair(KEY, SEED, CONTEXT, owner=3, holder=8)


def test_what_was_dealt_gives_its_tag() -> None:
    assert is_dealt(PAIR, KEY, ShareKind.MASK_KEY, CONTEXT, 3, 8)
    assert is_dealt(PAIR, SEED, ShareKind.SELF_MASK, CONTEXT, 3, 8)


@pytest.mark.parametrize(
    ("share", "kind", "context", "owner", "holder"),
    [
        (KEY + 1, ShareKind.MASK_KEY, CONTEXT, 3, 8),
        (KEY, ShareKind.SELF_MASK, CONTEXT, 3, 8),
        (SEED, ShareKind.MASK_KEY, CONTEXT, 3, 8),
        (KEY, ShareKind.MASK_KEY, b"d" * 32, 3, 8),
        (KEY, ShareKind.MASK_KEY, CONTEXT, 4, 8),
        (KEY, ShareKind.MASK_KEY, CONTEXT, 3, 9),
        (KEY, ShareKind.MASK_KEY, CONTEXT, 8, 3),
    ],
)
def test_anything_else_does_not(share: int, kind: ShareKind, context: bytes, owner: int, holder: int) -> None:
    assert not is_dealt(PAIR, share, kind, context, owner, holder)


def test_every_bit_of_a_tag_counts() -> None:
    for at in range(8 * TAG_BYTES):
        flipped = bytearray(PAIR)
        flipped[at // 8] ^= 1 << at % 8
        assert not is_dealt(bytes(flipped), KEY, ShareKind.MASK_KEY, CONTEXT, 3, 8)
        assert is_dealt(bytes(flipped), SEED, ShareKind.SELF_MASK, CONTEXT, 3, 8)


def test_tags_are_of_fixed_length_and_do_not_repeat() -> None:
    shares = [int.from_bytes(os.urandom(33), "big") % PRIME for _ in range(200)]
    tags = {tag(share, ShareKind.MASK_KEY, CONTEXT, 1, 2) for share in shares}
    assert {len(found) for found in tags} == {TAG_BYTES}
    assert len(tags) == len(set(shares))
