"""The order: everybody's nonce matters, nobody's alone decides; keys and seals name session, place and both ends."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from paillier.ring.circle import Circle, commitment, joining, revealing
from paillier.ring.terms import Terms
from secagg.primitives import BadKey, KeyPair
from tests.paillier.hospitals import PACKING, PAIR
from tests.support.streams import stream

TERMS = Terms(b"s" * 32, 7, b"m" * 32, b"r" * 32, (2, 3, 5, 8), PAIR.public, PACKING)
CONTEXT = b"c" * 32
NONCES = {member: bytes([member]) * 32 for member in TERMS.members}


def test_the_order_is_a_permutation_that_only_its_inputs_give() -> None:
    circle = Circle.of(TERMS, CONTEXT, NONCES)
    assert sorted(circle.order) == list(TERMS.members)
    assert Circle.of(TERMS, CONTEXT, dict(reversed(NONCES.items()))) == circle
    assert [circle.position(member) for member in circle.order] == [1, 2, 3, 4]


def test_every_nonce_and_the_context_change_the_ring() -> None:
    digests = {Circle.of(TERMS, CONTEXT, NONCES).digest, Circle.of(TERMS, b"d" * 32, NONCES).digest}
    for member in TERMS.members:
        digests.add(Circle.of(TERMS, CONTEXT, NONCES | {member: b"x" * 32}).digest)
    other = replace(TERMS, server_round=8)
    digests.add(Circle.of(other, CONTEXT, NONCES).digest)
    assert len(digests) == 7


def test_one_unknown_nonce_is_enough_for_every_order_to_be_as_likely() -> None:
    """2400 nonces of one member, all else fixed: 24 orders (chi squared with 23 degrees, p = 1e-6)."""
    uniform = stream(21)
    orders = Counter(Circle.of(TERMS, CONTEXT, NONCES | {5: uniform(32)}).order for _ in range(2400))
    assert set(orders) == set(itertools.permutations(TERMS.members))
    assert sum((count - 100) ** 2 / 100 for count in orders.values()) < 67.0


def test_both_ends_of_a_hop_have_its_key_and_nobody_else_has() -> None:
    circle = Circle.of(TERMS, CONTEXT, NONCES)
    pairs = {member: KeyPair.generate(stream(member)) for member in TERMS.members}
    keys = set()
    for position in (1, 2, 3):
        sender, recipient = circle.order[position - 1 : position + 1]
        key = circle.key(pairs[sender].private, pairs[recipient].public, position)
        assert circle.key(pairs[recipient].private, pairs[sender].public, position) == key
        keys.add(key)
        for other in set(TERMS.members) - {sender, recipient}:
            assert circle.key(pairs[other].private, pairs[sender].public, position) != key
            assert circle.key(pairs[other].private, pairs[recipient].public, position) != key
    assert len(keys) == 3
    moved = Circle.of(TERMS, b"d" * 32, NONCES)
    assert moved.key(pairs[2].private, pairs[3].public, 1) != circle.key(pairs[2].private, pairs[3].public, 1)


def test_a_public_key_of_low_order_gives_no_key() -> None:
    with pytest.raises(BadKey):
        Circle.of(TERMS, CONTEXT, NONCES).key(b"k" * 32, bytes(32), 1)


def test_seals_of_different_places_sessions_and_rounds_differ() -> None:
    variants = [TERMS, replace(TERMS, server_round=8), replace(TERMS, session=b"t" * 32)]
    circles = [Circle.of(terms, CONTEXT, NONCES) for terms in variants]
    labels = {circle.label(position) for circle in circles for position in (1, 2, 3)}
    assert len(labels) == 9
    assert {len(label) for label in labels} == {32 + 32 + 4 * 8}


def test_statements_are_of_one_member_one_session_and_one_kind() -> None:
    other = replace(TERMS, session=b"t" * 32)
    nonce = b"n" * 32
    statements = [
        commitment(terms, member, nonce) for terms in (TERMS, other) for member in (2, 3)
    ] + [
        joining(terms, member, nonce, nonce) for terms in (TERMS, other) for member in (2, 3)
    ] + [revealing(context, member, nonce) for context in (CONTEXT, b"d" * 32) for member in (2, 3)]  # fmt: skip
    circle = Circle.of(TERMS, CONTEXT, NONCES)
    statements += [circle.handing(b"sum"), circle.handing(b"sun"), circle.digest]
    assert len(set(statements)) == len(statements)
