"""What a client keeps: bytes there and back, secrets that hide themselves, refusals that are ours."""

import dataclasses
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.field import PRIME
from secagg.client.states import (
    AwaitingCohort,
    AwaitingShares,
    AwaitingSignatures,
    AwaitingSurvivors,
    CarryingKeys,
    SecretKeys,
)
from secagg.errors import ChorusError, MalformedMessage
from secagg.keys import PublicKeys
from secagg.params import MOST_CLIENTS, PARAMS_BYTES, SecAggParams
from secagg.primitives import KeyPair, PrivateKey

Parse = Callable[[object], Any]

key_bytes = st.binary(min_size=32, max_size=32)
# Public halves of a few pairs computed once: what is tested here is bytes, not X25519.
PAIRS = [KeyPair.from_private(bytes([number]) * 32) for number in range(1, 9)]
pairs = st.sampled_from(PAIRS)
secret_keys = st.builds(SecretKeys, pairs, pairs)
public_keys = st.builds(PublicKeys, key_bytes, key_bytes)
elements = st.integers(0, PRIME - 1)


def shares(advertised: int) -> st.SearchStrategy[dict[int, int]]:
    return st.dictionaries(st.integers(1, advertised), elements, max_size=4)


def members(advertised: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, 2**32 - 1), max_size=advertised).map(tuple)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[SecAggParams, int, int]:
    """Parameters, clients that advertised, the client's own index."""
    cohort = draw(st.integers(3, 60))
    params = SecAggParams.complete(cohort, draw(st.sampled_from([24, 64])), draw(st.integers(0, 99)), 3)
    advertised = draw(st.integers(3, cohort))
    return params, advertised, draw(st.integers(1, advertised))


@st.composite
def awaiting_shares(draw: st.DrawFn) -> AwaitingShares:
    params, advertised, index = draw(sizes())
    peers = draw(st.dictionaries(st.integers(1, advertised), public_keys, max_size=4))
    return AwaitingShares(
        draw(key_bytes), draw(key_bytes), params, advertised, index,
        peers, draw(secret_keys), draw(key_bytes), draw(shares(advertised)), draw(members(advertised)),
    )  # fmt: skip


@st.composite
def awaiting_survivors(draw: st.DrawFn) -> AwaitingSurvivors:
    params, advertised, index = draw(sizes())
    sharers = draw(st.frozensets(st.integers(1, advertised)))
    kept = [draw(shares(advertised)) for _ in range(2)]
    return AwaitingSurvivors(
        draw(key_bytes), draw(key_bytes), params, advertised, index, sharers, *kept, draw(members(advertised))
    )


@st.composite
def awaiting_signatures(draw: st.DrawFn) -> AwaitingSignatures:
    told = draw(awaiting_survivors())
    return AwaitingSignatures(told, draw(st.frozensets(st.integers(1, told.advertised))))


EVERY = {
    AwaitingCohort: st.builds(AwaitingCohort, key_bytes, secret_keys),
    CarryingKeys: st.builds(CarryingKeys, key_bytes, secret_keys),
    AwaitingShares: awaiting_shares(),
    AwaitingSurvivors: awaiting_survivors(),
    AwaitingSignatures: awaiting_signatures(),
}

PARAMS = dataclasses.replace(SecAggParams.complete(5, 24, 7, 3), threshold=3, min_survivors=3)
MASK = KeyPair.from_private(bytes(range(65, 97)))
CHANNEL = KeyPair.from_private(bytes(range(97, 129)))
KEYS = SecretKeys(MASK, CHANNEL)
SEED = b"SEED-OF-THE-SELF-MASK-32-BYTES!!"
OWN_SHARE = 111222333444555666777
PEERS = {2: PublicKeys(b"2" * 32, b"b" * 32), 5: PublicKeys(b"5" * 32, b"e" * 32)}
SELF_MASK = {1: 999888777666555444333, 5: PRIME - 1}
MASK_KEY = {2: 123123123123123123123}
MEMBERS = (4, 9, 1, 7, 3)
TOLD = AwaitingSurvivors(
    b"s" * 32, b"x" * 32, PARAMS, 5, 1, frozenset({1, 2, 5}), SELF_MASK, MASK_KEY, MEMBERS
)
SAMPLES: dict[type, Any] = {
    AwaitingCohort: AwaitingCohort(b"i" * 32, KEYS),
    CarryingKeys: CarryingKeys(b"f" * 32, KEYS),
    AwaitingShares: AwaitingShares(
        b"s" * 32, b"x" * 32, PARAMS, 5, 1, PEERS, KEYS, SEED, {1: OWN_SHARE}, MEMBERS
    ),
    AwaitingSurvivors: TOLD,
    AwaitingSignatures: AwaitingSignatures(TOLD, frozenset({1, 5})),
}
every_state = pytest.mark.parametrize("kind", list(SAMPLES), ids=lambda kind: kind.__name__)


def parser(kind: type) -> Parse:
    parse: Parse = kind.from_bytes  # type: ignore[attr-defined]
    return parse


# ---- round trips


@pytest.mark.parametrize("kind", list(EVERY), ids=lambda kind: kind.__name__)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_state_round_trips_and_has_one_form(kind: type, data: st.DataObject) -> None:
    state = data.draw(EVERY[kind])
    kept = state.to_bytes()
    assert type(kept) is bytes
    assert parser(kind)(kept) == state
    assert parser(kind)(memoryview(kept)).to_bytes() == kept


def test_every_state_and_tag_is_its_own() -> None:
    assert len({state.to_bytes()[0] for state in SAMPLES.values()}) == len(SAMPLES)
    for kind in SAMPLES:
        for other, state in SAMPLES.items():
            if other is not kind:
                with pytest.raises(MalformedMessage):
                    parser(kind)(state.to_bytes())


def test_public_keys_are_computed_from_the_private_ones() -> None:
    """They are not kept: what is read back cannot disagree with them."""
    kept = SAMPLES[AwaitingCohort].to_bytes()
    assert kept == b"\x20\x02" + b"i" * 32 + MASK.private + CHANNEL.private
    found = AwaitingCohort.from_bytes(kept)
    assert found.keys.public == PublicKeys(MASK.public, CHANNEL.public)
    assert found.keys.public.to_bytes() == MASK.public + CHANNEL.public


def test_states_are_frozen() -> None:
    for state in SAMPLES.values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            state.session = b""


# ---- key pairs


def test_generate_makes_two_different_pairs_from_its_entropy() -> None:
    drawn = [os.urandom(32), os.urandom(32)]
    source = iter(drawn)
    keys = SecretKeys.generate(lambda size: next(source)[:size])
    assert keys == SecretKeys(KeyPair.from_private(drawn[0]), KeyPair.from_private(drawn[1]))
    fresh = [SecretKeys.generate(os.urandom) for _ in range(3)]
    assert len({pair.private for keys in fresh for pair in (keys.mask, keys.channel)}) == 6


def test_public_halves_belong_to_the_private_ones() -> None:
    keys, peer = SecretKeys.generate(os.urandom), KeyPair.generate(os.urandom)
    assert PrivateKey(keys.mask.private).agree(peer.public) == PrivateKey(peer.private).agree(
        keys.public.mask
    )
    assert PrivateKey(keys.channel.private).agree(peer.public) == PrivateKey(peer.private).agree(
        keys.public.channel
    )


# ---- secrets hide themselves


def forms(secret: bytes) -> list[str]:
    """Every way in which a text might show these bytes."""
    number = int.from_bytes(secret, "big")
    return [
        secret.hex(),
        secret.hex().upper(),
        repr(secret)[2:-1],
        str(list(secret)),
        str(number),
        hex(number),
    ]


@every_state
def test_repr_shows_no_secret(kind: type) -> None:
    state = SAMPLES[kind]
    shown = f"{state!r} {state} {[state]!r} {(state,)}"
    for secret in (MASK.private, CHANNEL.private, SEED):
        assert not [form for form in forms(secret) if form in shown]
    for share in (OWN_SHARE, *SELF_MASK.values(), *MASK_KEY.values()):
        assert str(share) not in shown
        assert f"{share:x}" not in shown


def test_repr_of_key_pairs_shows_the_public_half_only() -> None:
    assert repr(MASK.public) in repr(KEYS)
    for secret in (MASK.private, CHANNEL.private):
        assert not [form for form in forms(secret) if form in repr(KEYS) + str(KEYS)]


@every_state
def test_errors_show_no_secret(kind: type) -> None:
    """A damaged state is reported without what was in it."""
    kept = SAMPLES[kind].to_bytes()
    for broken in (kept[:-1], kept + b"\x00", b"\x77" + kept[1:]):
        with pytest.raises(ChorusError) as refused:
            parser(kind)(broken)
        for secret in (MASK.private, CHANNEL.private, SEED):
            assert not [form for form in forms(secret) if form in str(refused.value)]


# ---- refusals


@every_state
def test_every_truncation_is_refused(kind: type) -> None:
    kept = SAMPLES[kind].to_bytes()
    for length in range(len(kept)):
        with pytest.raises(MalformedMessage):
            parser(kind)(kept[:length])


@every_state
@pytest.mark.parametrize("surplus", [b"\x00", b"\xff" * 50], ids=len)
def test_bytes_too_many_are_refused(kind: type, surplus: bytes) -> None:
    with pytest.raises(MalformedMessage, match="too many"):
        parser(kind)(SAMPLES[kind].to_bytes() + surplus)


@every_state
@pytest.mark.parametrize("data", [None, "", "text", 0, 1.5, True, [], [32, 1], {}, bytearray(66)], ids=repr)
def test_other_python_types_are_refused(kind: type, data: object) -> None:
    with pytest.raises(MalformedMessage):
        parser(kind)(data)


@every_state
def test_other_tags_and_versions_are_refused(kind: type) -> None:
    kept = SAMPLES[kind].to_bytes()
    for at in (0, 1):
        for octet in set(range(256)) - {kept[at]}:
            with pytest.raises(MalformedMessage):
                parser(kind)(kept[:at] + bytes([octet]) + kept[at + 1 :])


@every_state
def test_a_flip_of_any_bit_raises_nothing_of_python(kind: type) -> None:
    kept = SAMPLES[kind].to_bytes()
    for at in range(8 * len(kept)):
        flipped = bytearray(kept)
        flipped[at // 8] ^= 1 << at % 8
        try:
            found = parser(kind)(bytes(flipped))
        except ChorusError:
            continue
        assert found != SAMPLES[kind]
        assert parser(kind)(found.to_bytes()) == found


@every_state
@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=300), data=st.data())
def test_random_bytes_raise_nothing_of_python(kind: type, body: bytes, data: st.DataObject) -> None:
    genuine = SAMPLES[kind].to_bytes()
    kept = data.draw(st.integers(2, len(genuine)))
    try:
        found = parser(kind)(genuine[:kept] + body)
    except ChorusError:
        return
    assert parser(kind)(found.to_bytes()) == found


PEERS_AT = 2 + 32 + 32 + PARAMS_BYTES + 4 + 4
SHARES_AT = 2 + 32 + 32 + PARAMS_BYTES + 4 + 4 + 1
MEMBERS_AT = -4 - 4 * len(MEMBERS)


@pytest.mark.parametrize(
    ("kind", "offset"),
    [
        (AwaitingShares, PEERS_AT),
        (AwaitingSurvivors, SHARES_AT),
        (AwaitingSurvivors, SHARES_AT - 9),
        (AwaitingShares, MEMBERS_AT - 41),
        (AwaitingShares, MEMBERS_AT),
        (AwaitingSurvivors, MEMBERS_AT),
    ],
    ids=["peers", "shares", "advertised", "own shares", "members", "members of survivors"],
)
@pytest.mark.parametrize("claim", [10**9, 2**32 - 1, MOST_CLIENTS, MOST_CLIENTS + 1])
def test_a_count_beyond_what_is_there_allocates_nothing(kind: type, offset: int, claim: int) -> None:
    kept = bytearray(SAMPLES[kind].to_bytes())
    offset %= len(kept)
    kept[offset : offset + 4] = claim.to_bytes(4, "big")
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage):
            parser(kind)(bytes(kept))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bit", [5, 6, 7])
def test_signed_survivors_beyond_the_cohort_are_refused(bit: int) -> None:
    kept = bytearray(SAMPLES[AwaitingSignatures].to_bytes())
    assert kept[-1] == 0b10001
    kept[-1] |= 1 << bit
    with pytest.raises(MalformedMessage, match="beyond the cohort"):
        AwaitingSignatures.from_bytes(bytes(kept))


@pytest.mark.parametrize("kind", [AwaitingShares, AwaitingSurvivors])
def test_a_member_nought_is_refused(kind: type) -> None:
    kept = SAMPLES[kind].to_bytes()
    with pytest.raises(MalformedMessage):
        parser(kind)(kept[:-4] + bytes(4))


def test_sharers_beyond_the_cohort_are_refused() -> None:
    kept = bytearray(SAMPLES[AwaitingSurvivors].to_bytes())
    assert kept[SHARES_AT - 1] == 0b10011
    for bit in (5, 6, 7):
        flipped = bytearray(kept)
        flipped[SHARES_AT - 1] |= 1 << bit
        with pytest.raises(MalformedMessage, match="beyond the cohort"):
            AwaitingSurvivors.from_bytes(bytes(flipped))


@pytest.mark.parametrize(
    ("kind", "offset"), [(AwaitingShares, MEMBERS_AT - 33), (AwaitingSurvivors, MEMBERS_AT - 33)]
)
def test_shares_beyond_the_field_are_refused(kind: type, offset: int) -> None:
    kept = SAMPLES[kind].to_bytes()
    with pytest.raises(MalformedMessage):
        parser(kind)(kept[:offset] + PRIME.to_bytes(33, "big") + kept[offset + 33 :])


@pytest.mark.parametrize("kind", [AwaitingShares, AwaitingSurvivors])
def test_parameters_that_cannot_work_are_refused(kind: type) -> None:
    kept = bytearray(SAMPLES[kind].to_bytes())
    at = kept.index(PARAMS.to_bytes())
    kept[at + 2 : at + 6] = (2).to_bytes(4, "big")
    with pytest.raises(ChorusError):
        parser(kind)(bytes(kept))


@pytest.mark.parametrize(
    ("kind", "start", "width"), [(AwaitingShares, PEERS_AT + 4, 68), (AwaitingSurvivors, SHARES_AT + 4, 37)]
)
@pytest.mark.parametrize("twice", [True, False], ids=["twice", "descending"])
def test_entries_twice_or_descending_are_refused(kind: type, start: int, width: int, twice: bool) -> None:
    kept = SAMPLES[kind].to_bytes()
    first, second = kept[start : start + width], kept[start + width : start + 2 * width]
    assert first < second
    turned = first + first if twice else second + first
    with pytest.raises(MalformedMessage):
        parser(kind)(kept[:start] + turned + kept[start + 2 * width :])


@pytest.mark.parametrize(("kind", "at"), [(AwaitingShares, PEERS_AT - 4), (AwaitingSurvivors, SHARES_AT - 5)])
@pytest.mark.parametrize("index", [0, 6, 2**32 - 1])
def test_an_index_that_nobody_has_is_refused(kind: type, at: int, index: int) -> None:
    kept = bytearray(SAMPLES[kind].to_bytes())
    assert kept[at : at + 4] == b"\0\0\0\1"
    kept[at : at + 4] = index.to_bytes(4, "big")
    with pytest.raises(MalformedMessage):
        parser(kind)(bytes(kept))
