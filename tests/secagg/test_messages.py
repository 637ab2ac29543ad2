"""The wire form of every message: round trips, one form only, and refusals before allocation."""

import dataclasses
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.field import PRIME
from secagg.errors import ChorusError, MalformedMessage, Refused, VersionSkew
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import (
    CohortAnnounced,
    InputMasked,
    Invitation,
    KeysAdvertised,
    SharesDelivered,
    SharesRevealed,
    SharesSealed,
    SurvivorsAnnounced,
    SurvivorsSigned,
    UnmaskingRequested,
    Vouched,
)
from secagg.params import MOST_CLIENTS, PARAMS_BYTES, Adversary, SecAggParams, Session
from secagg.primitives import SIGNATURE_BYTES, digest
from secagg.requests import FORMAT_VERSION
from secagg.sealed import SEALED_BYTES
from secagg.signatory import Credential

Parse = Callable[[object], Any]

# ---- strategies

key_bytes = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=SIGNATURE_BYTES, max_size=SIGNATURE_BYTES)
members = st.integers(1, 2**32 - 1)
public_keys = st.builds(PublicKeys, key_bytes, key_bytes)
elements = st.integers(0, PRIME - 1)
indices = st.integers(1, MOST_CLIENTS)
ciphertexts = st.binary(min_size=SEALED_BYTES, max_size=SEALED_BYTES)
sealed = st.dictionaries(indices, ciphertexts, max_size=4)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    cohort = draw(st.integers(3, 60))
    params = SecAggParams.complete(
        cohort,
        draw(st.sampled_from([16, 24, 32, 40, 48, 64])),
        draw(st.integers(0, 1 << 33)),
        draw(st.integers(0, 1 << 33)),
        adversary=draw(st.sampled_from(Adversary)),
        colluders=draw(st.integers(0, cohort // 3 - 1)),
    )
    return Session(draw(key_bytes), draw(st.integers(0, 2**64 - 1)), params)


@st.composite
def cohorts(draw: st.DrawFn) -> CohortAnnounced:
    session = draw(sessions())
    advertised = draw(st.integers(1, session.params.cohort))
    keys = draw(st.dictionaries(st.integers(1, advertised), public_keys, min_size=1, max_size=5))
    vouched = None
    if session.params.is_active:
        numbers = draw(st.lists(members, min_size=advertised, max_size=advertised))
        vouched = Vouched(draw(key_bytes), tuple(numbers), {index: draw(signatures) for index in keys})
    return CohortAnnounced(session, advertised, draw(key_bytes), keys, vouched)


def subsets(size: int) -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.integers(1, size))


sizes = st.integers(1, 70)
delivered = sizes.flatmap(
    lambda size: st.builds(SharesDelivered, key_bytes, st.just(size), subsets(size), sealed)
)
survived = sizes.flatmap(lambda size: st.builds(SurvivorsAnnounced, key_bytes, st.just(size), subsets(size)))


def signed_by(size: int) -> st.SearchStrategy[dict[int, bytes]]:
    return st.dictionaries(st.integers(1, size), signatures, max_size=4)


requested = sizes.flatmap(
    lambda size: st.builds(UnmaskingRequested, key_bytes, st.just(size), subsets(size), signed_by(size))
)
advertised_keys = st.builds(
    KeysAdvertised, public_keys, st.none() | st.builds(Credential, members, signatures)
)


@st.composite
def revealed(draw: st.DrawFn) -> SharesRevealed:
    shares = draw(st.dictionaries(indices, st.tuples(st.booleans(), elements), max_size=5))
    kinds: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for index, (kind, share) in shares.items():
        kinds[kind][index] = share
    return SharesRevealed(kinds[0], kinds[1], draw(advertised_keys))


EVERY = {
    Invitation: st.builds(Invitation, sessions()),
    KeysAdvertised: advertised_keys,
    CohortAnnounced: cohorts(),
    SharesSealed: st.builds(SharesSealed, key_bytes, sealed),
    SharesDelivered: delivered,
    SurvivorsAnnounced: survived,
    SurvivorsSigned: st.builds(SurvivorsSigned, signatures),
    UnmaskingRequested: requested,
    SharesRevealed: revealed(),
}

# ---- one sample of each

PARAMS = dataclasses.replace(SecAggParams.complete(5, 24, 7, 3), threshold=3, min_survivors=3)
SESSION = Session(bytes(range(32)), 4, PARAMS)


def keys_of(index: int) -> PublicKeys:
    return PublicKeys(bytes([index]) * 32, bytes([index + 100]) * 32)


ACTIVE_SESSION = Session(bytes(range(32)), 4, dataclasses.replace(PARAMS, adversary=Adversary.ACTIVE))
SIGNATURES = {index: bytes([200 + index]) * SIGNATURE_BYTES for index in (1, 2, 5)}
CREDENTIAL = Credential(9, b"v" * SIGNATURE_BYTES)


@dataclasses.dataclass(frozen=True)
class Active:
    """A kind of message as it is in an active session."""

    kind: type

    @property
    def __name__(self) -> str:
        return f"{self.kind.__name__}-active"

    @property
    def from_bytes(self) -> Parse:
        return parser(self.kind)


Kind = type | Active
SEALED = {2: b"\x22" * SEALED_BYTES, 5: b"\x55" * SEALED_BYTES}
COHORT_KEYS = {1: keys_of(1), 2: keys_of(2), 5: keys_of(5)}
SAMPLES: dict[Kind, Any] = {
    Invitation: Invitation(SESSION),
    KeysAdvertised: KeysAdvertised(keys_of(1)),
    CohortAnnounced: CohortAnnounced(SESSION, 5, b"d" * 32, COHORT_KEYS),
    SharesSealed: SharesSealed(b"c" * 32, SEALED),
    SharesDelivered: SharesDelivered(b"s" * 32, 11, frozenset({1, 2, 9, 11}), SEALED),
    InputMasked: InputMasked(b"t" * 21, b"s" * 24),
    SurvivorsAnnounced: SurvivorsAnnounced(b"s" * 32, 11, frozenset({3, 8, 11})),
    SurvivorsSigned: SurvivorsSigned(b"v" * SIGNATURE_BYTES),
    UnmaskingRequested: UnmaskingRequested(b"s" * 32, 11, frozenset({3, 8, 11})),
    SharesRevealed: SharesRevealed({1: 0, 3: PRIME - 1}, {2: 5}, KeysAdvertised(keys_of(7))),
    Active(Invitation): Invitation(ACTIVE_SESSION),
    Active(KeysAdvertised): KeysAdvertised(keys_of(1), CREDENTIAL),
    Active(CohortAnnounced): CohortAnnounced(
        ACTIVE_SESSION, 5, b"d" * 32, COHORT_KEYS, Vouched(b"r" * 32, (4, 7, 1, 9, 3), SIGNATURES)
    ),
    Active(UnmaskingRequested): UnmaskingRequested(b"s" * 32, 11, frozenset({1, 2, 5}), SIGNATURES),
    Active(SharesRevealed): SharesRevealed(
        {1: 0, 3: PRIME - 1}, {2: 5}, KeysAdvertised(keys_of(7), CREDENTIAL)
    ),
}


def parser(kind: Kind) -> Parse:
    if kind is InputMasked:
        return lambda data: InputMasked.from_bytes(data, PARAMS)
    parse: Parse = kind.from_bytes  # type: ignore[attr-defined]
    return parse


every_message = pytest.mark.parametrize("kind", list(SAMPLES), ids=lambda kind: kind.__name__)


def outcome(parse: Parse, data: object) -> Any:
    """What was read, or the error of ours that it was refused with; nothing else may come out."""
    try:
        return parse(data)
    except ChorusError as error:
        return error


def refuses(parse: Parse, data: object) -> None:
    """A typed refusal, of one line, without a large allocation."""
    tracemalloc.start()
    try:
        with pytest.raises((MalformedMessage, Refused)) as refused:
            parse(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert "\n" not in str(refused.value)
    assert refused.value.code in {"FORMAT", "POLICY"}


# ---- round trips


@every_message
def test_sample_round_trips_from_bytes_and_from_a_view(kind: Kind) -> None:
    sample = SAMPLES[kind]
    data = sample.to_bytes()
    assert type(data) is bytes
    assert parser(kind)(data) == sample
    assert parser(kind)(memoryview(data)) == sample
    assert parser(kind)(data).to_bytes() == data


@pytest.mark.parametrize("kind", list(EVERY), ids=lambda kind: kind.__name__)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_message_round_trips_and_has_one_form(kind: type, data: st.DataObject) -> None:
    message = data.draw(EVERY[kind])
    encoded = message.to_bytes()
    found = parser(kind)(encoded)
    assert found == message
    assert found.to_bytes() == encoded


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([16, 24, 32, 40, 48, 64]), st.integers(0, 20), st.integers(0, 5), st.data())
def test_masked_input_round_trips(bits: int, length: int, scalars: int, data: st.DataObject) -> None:
    params = SecAggParams.complete(5, bits, length, scalars)
    tensor = data.draw(st.binary(min_size=length * bits // 8, max_size=length * bits // 8))
    message = InputMasked(tensor, os.urandom(8 * scalars))
    encoded = message.to_bytes()
    assert len(encoded) == 2 + length * bits // 8 + 8 * scalars
    found = InputMasked.from_bytes(encoded, params)
    assert found == message
    assert found.to_bytes() == encoded


def test_masked_input_is_not_copied() -> None:
    encoded = SAMPLES[InputMasked].to_bytes()
    found = InputMasked.from_bytes(encoded, PARAMS)
    assert isinstance(found.tensor, memoryview)
    assert found.tensor.obj is encoded


def test_order_of_a_dictionary_does_not_matter() -> None:
    backwards = dict(reversed(SEALED.items()))
    assert SharesSealed(b"c" * 32, backwards).to_bytes() == SAMPLES[SharesSealed].to_bytes()
    message = SAMPLES[CohortAnnounced]
    turned = dataclasses.replace(message, keys=dict(reversed(message.keys.items())))
    assert turned.to_bytes() == message.to_bytes()


def test_bytes_by_hand() -> None:
    """Written down from the documented layout; a change here is a change of the wire form."""
    assert SAMPLES[KeysAdvertised].to_bytes() == b"\x11\x02" + b"\x01" * 32 + b"\x65" * 32 + b"\0"
    assert SAMPLES[Active(KeysAdvertised)].to_bytes() == (
        b"\x11\x02" + b"\x01" * 32 + b"\x65" * 32 + b"\1" + b"\0\0\0\x09" + b"v" * 64
    )
    assert SAMPLES[Invitation].to_bytes() == (
        b"\x10\x02" + bytes(range(32)) + (4).to_bytes(8, "big") + PARAMS.to_bytes()
    )
    assert SAMPLES[SharesSealed].to_bytes() == (
        b"\x13\x02" + b"c" * 32 + b"\0\0\0\2" + b"\0\0\0\2" + SEALED[2] + b"\0\0\0\5" + SEALED[5]
    )
    assert SAMPLES[
        UnmaskingRequested
    ].to_bytes() == b"\x18\x02" + b"s" * 32 + b"\0\0\0\x0b" + b"\x84\x04" + bytes(4)
    assert SAMPLES[SurvivorsAnnounced].to_bytes() == b"\x16\x02" + b"s" * 32 + b"\0\0\0\x0b" + b"\x84\x04"
    assert SAMPLES[SurvivorsSigned].to_bytes() == b"\x17\x02" + b"v" * 64
    assert SAMPLES[Active(UnmaskingRequested)].to_bytes() == (
        b"\x18\x02" + b"s" * 32 + b"\0\0\0\x0b" + b"\x13\x00" + b"\0\0\0\3"
        + b"".join(index.to_bytes(4, "big") + SIGNATURES[index] for index in (1, 2, 5))
    )  # fmt: skip
    assert SAMPLES[Active(CohortAnnounced)].to_bytes() == (
        b"\x12\x02" + bytes(range(32)) + (4).to_bytes(8, "big") + ACTIVE_SESSION.params.to_bytes()
        + b"\0\0\0\5" + b"d" * 32 + b"\0\0\0\3"
        + b"".join(index.to_bytes(4, "big") + keys_of(index).to_bytes() for index in (1, 2, 5))
        + b"r" * 32 + b"".join(number.to_bytes(4, "big") for number in (4, 7, 1, 9, 3))
        + b"".join(SIGNATURES[index] for index in (1, 2, 5))
    )  # fmt: skip
    assert SAMPLES[SharesRevealed].to_bytes() == (
        b"\x19\x02" + b"\x07" * 32 + b"\x6b" * 32 + b"\0" + b"\0\0\0\3"
        + b"\0\0\0\1" + b"\0" + bytes(33)
        + b"\0\0\0\2" + b"\1" + bytes(32) + b"\5"
        + b"\0\0\0\3" + b"\0" + (PRIME - 1).to_bytes(33, "big")
    )  # fmt: skip
    assert SAMPLES[InputMasked].to_bytes() == b"\x15\x02" + b"t" * 21 + b"s" * 24


def test_no_two_messages_share_a_tag() -> None:
    kinds = {kind for kind in SAMPLES if not isinstance(kind, Active)}
    assert len({sample.to_bytes()[0] for sample in SAMPLES.values()}) == len(kinds) == 10
    assert {sample.to_bytes()[1] for sample in SAMPLES.values()} == {FORMAT_VERSION}


def test_sizes_do_not_depend_on_what_is_in_them() -> None:
    """Two clients with different data send as many bytes (threats.md, 27)."""
    other = SharesRevealed({1: 17, 2: 1, 3: 1}, {}, KeysAdvertised(keys_of(9)))
    assert len(other.to_bytes()) == len(SAMPLES[SharesRevealed].to_bytes())


# ---- refusals


@every_message
def test_every_truncation_is_refused(kind: Kind) -> None:
    data = SAMPLES[kind].to_bytes()
    for length in range(len(data)):
        with pytest.raises(MalformedMessage):
            parser(kind)(data[:length])


@every_message
@pytest.mark.parametrize("surplus", [b"\x00", b"\xff", bytes(1000)], ids=len)
def test_bytes_too_many_are_refused(kind: Kind, surplus: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parser(kind)(SAMPLES[kind].to_bytes() + surplus)


@every_message
def test_every_other_tag_and_version_is_refused(kind: Kind) -> None:
    data = SAMPLES[kind].to_bytes()
    for at in (0, 1):
        for octet in set(range(256)) - {data[at]}:
            with pytest.raises(MalformedMessage):
                parser(kind)(data[:at] + bytes([octet]) + data[at + 1 :])


@every_message
def test_no_message_is_read_as_another(kind: Kind) -> None:
    for sample in SAMPLES.values():
        if type(sample) is not type(SAMPLES[kind]):
            with pytest.raises(MalformedMessage):
                parser(kind)(sample.to_bytes())


@every_message
@pytest.mark.parametrize(
    "data", [None, "", "text", 0, 17, 0.0, True, [], [16, 1], {}, (1,), bytearray(b"\x10\x02")], ids=repr
)
def test_other_python_types_are_refused(kind: Kind, data: object) -> None:
    refuses(parser(kind), data)


@every_message
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        b"PK\x03\x04" + bytes(60),
        b"\x80\x05\x95" + bytes(60),
        bytes(200),
        b"\xff" * 200,
    ],
    ids=["empty", "npy", "zip", "pickle", "zeros", "ones"],
)
def test_foreign_bytes_are_refused(kind: Kind, data: bytes) -> None:
    refuses(parser(kind), data)


@every_message
def test_a_flip_of_any_bit_is_refused_or_read_as_what_it_says(kind: Kind) -> None:
    """Never anything but our own errors; and what is read has exactly the flipped bytes as its form."""
    data = SAMPLES[kind].to_bytes()
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        found = outcome(parser(kind), bytes(flipped))
        if isinstance(found, ChorusError):
            assert isinstance(found, VersionSkew) or found.code in {"FORMAT", "POLICY"}
            assert at // 8 != 1 or isinstance(found, VersionSkew)
        else:
            assert found != SAMPLES[kind]
            assert found.to_bytes() == bytes(flipped)


@every_message
@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=300), data=st.data())
def test_random_bytes_never_raise_anything_of_python(kind: Kind, body: bytes, data: st.DataObject) -> None:
    genuine = SAMPLES[kind].to_bytes()
    kept = data.draw(st.integers(2, len(genuine)))
    found = outcome(parser(kind), genuine[:kept] + body)
    assert (
        found.code in {"FORMAT", "POLICY"}
        if isinstance(found, ChorusError)
        else type(found) is type(SAMPLES[kind])
    )


# Where each message counts something: the offset of the four bytes and how it reads.
COUNTS = [
    (CohortAnnounced, 2 + 32 + 8 + PARAMS_BYTES),  # clients that advertised
    (CohortAnnounced, 2 + 32 + 8 + PARAMS_BYTES + 4 + 32),  # keys that follow
    (SharesSealed, 2 + 32),
    (SharesDelivered, 2 + 32),  # size of the bitmap
    (SharesDelivered, 2 + 32 + 4 + 2),
    (UnmaskingRequested, 2 + 32),
    (SharesRevealed, 2 + 65),
    (SurvivorsAnnounced, 2 + 32),
    (UnmaskingRequested, 2 + 32 + 4 + 2),
    (Active(UnmaskingRequested), 2 + 32 + 4 + 2),
    (Active(SharesRevealed), 2 + 65 + 68),
    (Active(CohortAnnounced), 2 + 32 + 8 + PARAMS_BYTES),
]


@pytest.mark.parametrize(("kind", "offset"), COUNTS, ids=lambda value: getattr(value, "__name__", str(value)))
@pytest.mark.parametrize("claim", [10**9, 2**32 - 1, MOST_CLIENTS + 1, MOST_CLIENTS, 100_000])
def test_a_header_that_claims_more_than_there_is_allocates_nothing(
    kind: Kind, offset: int, claim: int
) -> None:
    data = bytearray(SAMPLES[kind].to_bytes())
    data[offset : offset + 4] = claim.to_bytes(4, "big")
    refuses(parser(kind), bytes(data))


def test_the_largest_cohort_claimed_with_a_short_body() -> None:
    params = SecAggParams(MOST_CLIENTS, 2, 2, 3, 64, 1 << 33, 1 << 33)
    message = CohortAnnounced(Session(bytes(32), 1, params), MOST_CLIENTS, bytes(32), {1: keys_of(1)})
    data = message.to_bytes()
    at = 2 + 32 + 8 + PARAMS_BYTES + 4 + 32
    refuses(CohortAnnounced.from_bytes, data[:at] + MOST_CLIENTS.to_bytes(4, "big") + data[at + 4 :])


def test_masked_input_of_the_largest_session_allocates_nothing() -> None:
    params = SecAggParams(MOST_CLIENTS, 2, 2, 3, 64, 1 << 33, 1 << 33)
    refuses(lambda data: InputMasked.from_bytes(data, params), SAMPLES[InputMasked].to_bytes())


@pytest.mark.parametrize("off", [-1, 1])
def test_masked_input_one_byte_off(off: int) -> None:
    refuses(lambda data: InputMasked.from_bytes(data, PARAMS), b"\x15\x02" + bytes(21 + 24 + off))


# Messages with a list of entries: kind, offset of the first entry, length of an entry.
LISTS = [
    (CohortAnnounced, 2 + 32 + 8 + PARAMS_BYTES + 4 + 32 + 4, 4 + 64),
    (SharesSealed, 2 + 32 + 4, 4 + SEALED_BYTES),
    (SharesDelivered, 2 + 32 + 4 + 2 + 4, 4 + SEALED_BYTES),
    (SharesRevealed, 2 + 65 + 4, 4 + 1 + 33),
    (Active(SharesRevealed), 2 + 65 + 68 + 4, 4 + 1 + 33),
    (Active(UnmaskingRequested), 2 + 32 + 4 + 2 + 4, 4 + SIGNATURE_BYTES),
]
every_list = pytest.mark.parametrize(
    ("kind", "start", "width"), LISTS, ids=lambda v: getattr(v, "__name__", None)
)


@every_list
def test_a_client_named_twice_is_refused(kind: Kind, start: int, width: int) -> None:
    data = SAMPLES[kind].to_bytes()
    first = data[start : start + width]
    refuses(parser(kind), data[:start] + first + first + data[start + 2 * width :])


@every_list
def test_clients_in_descending_order_are_refused(kind: Kind, start: int, width: int) -> None:
    data = SAMPLES[kind].to_bytes()
    first, second = data[start : start + width], data[start + width : start + 2 * width]
    assert first < second
    refuses(parser(kind), data[:start] + second + first + data[start + 2 * width :])


@every_list
@pytest.mark.parametrize("index", [0, MOST_CLIENTS + 1, 2**32 - 1])
def test_indices_that_nobody_has_are_refused(kind: Kind, start: int, width: int, index: int) -> None:
    data = SAMPLES[kind].to_bytes()
    last = start + width * ((len(data) - start) // width - 1)
    for at in {start, last} if index == 0 else {last}:
        refuses(parser(kind), data[:at] + index.to_bytes(4, "big") + data[at + 4 :])


@pytest.mark.parametrize("kind", [SharesDelivered, SurvivorsAnnounced, UnmaskingRequested])
def test_bits_beyond_the_cohort_are_refused(kind: Kind) -> None:
    data = bytearray(SAMPLES[kind].to_bytes())
    assert data[34:38] == b"\0\0\0\x0b"
    for bit in range(3, 8):  # clients 12..16 of 11
        flipped = bytearray(data)
        flipped[39] |= 1 << bit
        refuses(parser(kind), bytes(flipped))


@pytest.mark.parametrize("kind", [SharesDelivered, SurvivorsAnnounced, UnmaskingRequested])
def test_a_reader_that_knows_the_cohort_refuses_a_larger_one(kind: Kind) -> None:
    """Before the bitmap is looked at: a megabit of it costs nothing."""
    data = SAMPLES[kind].to_bytes()
    assert kind.from_bytes(data, 11) == SAMPLES[kind]
    refuses(lambda received: kind.from_bytes(received, 10), data)


@pytest.mark.parametrize("kind", [SharesDelivered, SurvivorsAnnounced, UnmaskingRequested])
def test_a_cohort_of_nobody_is_refused(kind: Kind) -> None:
    data = SAMPLES[kind].to_bytes()
    refuses(parser(kind), data[:34] + bytes(4) + data[38:])


@pytest.mark.parametrize("advertised", [0, 6])
def test_more_or_fewer_advertised_than_the_session_allows_are_refused(advertised: int) -> None:
    refuses(
        CohortAnnounced.from_bytes,
        dataclasses.replace(SAMPLES[CohortAnnounced], advertised=advertised).to_bytes(),
    )


def test_a_cohort_without_keys_is_refused() -> None:
    refuses(CohortAnnounced.from_bytes, dataclasses.replace(SAMPLES[CohortAnnounced], keys={}).to_bytes())


@pytest.mark.parametrize("kind", [Invitation, CohortAnnounced])
@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, 2), (4, 1), (4, 0), (8, 1), (12, 2), (0, 2**32 - 1)],
    ids=lambda value: str(value),
)
def test_parameters_that_cannot_work_are_refused_by_policy(kind: Kind, offset: int, value: int) -> None:
    data = bytearray(SAMPLES[kind].to_bytes())
    at = 2 + 32 + 8 + 2 + offset  # tag and version, identifier, round, tag and version of the parameters
    data[at : at + 4] = value.to_bytes(4, "big")
    with pytest.raises(Refused, match="refused"):
        parser(kind)(bytes(data))


@pytest.mark.parametrize("kind", [Invitation, CohortAnnounced])
def test_an_active_session_whose_threshold_holds_no_majority_is_refused_by_policy(kind: type) -> None:
    weak = dataclasses.replace(PARAMS, threshold=2)
    data = bytearray(dataclasses.replace(SAMPLES[kind], session=Session(bytes(32), 4, weak)).to_bytes())
    data[2 + 32 + 8 + PARAMS_BYTES - 5] = list(Adversary).index(Adversary.ACTIVE)
    with pytest.raises(Refused, match="active; choose 3 or more"):
        parser(kind)(bytes(data))


@pytest.mark.parametrize("octet", [2, 3, 255])
def test_a_third_kind_of_adversary_is_refused(octet: int) -> None:
    data = bytearray(SAMPLES[Invitation].to_bytes())
    data[2 + 32 + 8 + PARAMS_BYTES - 5] = octet
    refuses(Invitation.from_bytes, bytes(data))


# ---- what active sessions add


def test_a_cohort_of_an_active_session_shows_what_stands_behind_its_keys() -> None:
    """Neither can it be left out, nor does a curious session carry it."""
    active, curious = SAMPLES[Active(CohortAnnounced)], SAMPLES[CohortAnnounced]
    refuses(CohortAnnounced.from_bytes, dataclasses.replace(active, vouched=None).to_bytes())
    refuses(CohortAnnounced.from_bytes, dataclasses.replace(curious, vouched=active.vouched).to_bytes())


@pytest.mark.parametrize(
    "change", [lambda m: m[:-1], lambda m: (*m, 2), lambda m: (*m[:-1], 0), lambda m: ()]
)
def test_a_cohort_names_a_member_for_every_client(
    change: Callable[[tuple[int, ...]], tuple[int, ...]],
) -> None:
    active = SAMPLES[Active(CohortAnnounced)]
    vouched = dataclasses.replace(active.vouched, members=change(active.vouched.members))
    refuses(CohortAnnounced.from_bytes, dataclasses.replace(active, vouched=vouched).to_bytes())


@pytest.mark.parametrize("signed", [(1, 2), (1, 2, 4, 5), ()])
def test_a_cohort_shows_one_signature_for_each_key_shown(signed: tuple[int, ...]) -> None:
    active = SAMPLES[Active(CohortAnnounced)]
    shown = {index: b"v" * SIGNATURE_BYTES for index in signed}
    vouched = dataclasses.replace(active.vouched, signatures=shown)
    refuses(CohortAnnounced.from_bytes, dataclasses.replace(active, vouched=vouched).to_bytes())


@pytest.mark.parametrize("octet", [2, 128, 255])
def test_a_credential_is_there_or_not(octet: int) -> None:
    for sample, at in ((SAMPLES[KeysAdvertised], 2 + 64), (SAMPLES[SharesRevealed], 2 + 64)):
        data = bytearray(sample.to_bytes())
        data[at] = octet
        refuses(type(sample).from_bytes, bytes(data))


def test_a_credential_of_member_nought_is_refused() -> None:
    refuses(KeysAdvertised.from_bytes, KeysAdvertised(keys_of(1), Credential(0, b"v" * 64)).to_bytes())


def test_more_signatures_than_clients_are_refused() -> None:
    signed = {index: b"v" * SIGNATURE_BYTES for index in range(1, 13)}
    refuses(
        UnmaskingRequested.from_bytes, UnmaskingRequested(b"s" * 32, 11, frozenset({1}), signed).to_bytes()
    )


@pytest.mark.parametrize("length", [0, 63, 65])
def test_signatures_of_another_length_are_refused(length: int) -> None:
    refuses(SurvivorsSigned.from_bytes, b"\x17\x02" + bytes(length))
    refuses(
        UnmaskingRequested.from_bytes,
        UnmaskingRequested(b"s" * 32, 11, frozenset({1}), {1: bytes(length)}).to_bytes(),
    )


# ---- both shares of one peer


def test_both_shares_of_one_peer_cannot_be_written() -> None:
    both = SharesRevealed({1: 5, 2: 6}, {2: 7}, KeysAdvertised(keys_of(1)))
    with pytest.raises(MalformedMessage, match="both shares of client 2"):
        both.to_bytes()


def test_both_shares_of_one_peer_cannot_be_read() -> None:
    data = SAMPLES[SharesRevealed].to_bytes()
    start, width = 2 + 65 + 4, 38
    first = bytearray(data[start : start + width])
    first[4] = 1  # the same client again, as the other kind
    refuses(SharesRevealed.from_bytes, data[: start + width] + bytes(first) + data[start + 2 * width :])


@pytest.mark.parametrize("octet", [2, 3, 128, 255])
def test_a_third_kind_of_share_is_refused(octet: int) -> None:
    data = bytearray(SAMPLES[SharesRevealed].to_bytes())
    data[2 + 65 + 4 + 4] = octet
    refuses(SharesRevealed.from_bytes, bytes(data))


@pytest.mark.parametrize("share", [PRIME, PRIME + 1, 2**264 - 1])
def test_a_share_beyond_the_field_is_refused(share: int) -> None:
    data = bytearray(SAMPLES[SharesRevealed].to_bytes())
    start = 2 + 65 + 4 + 5
    data[start : start + 33] = share.to_bytes(33, "big")
    refuses(SharesRevealed.from_bytes, bytes(data))


def test_an_unmasking_request_names_nobody_twice() -> None:
    """Every byte string of the right length names a set: no client can be named twice, or as both."""
    for octet in range(8):
        data = b"\x18\x02" + b"s" * 32 + b"\0\0\0\3" + bytes([octet]) + bytes(4)
        found = UnmaskingRequested.from_bytes(data)
        assert found.survivors == {index for index in (1, 2, 3) if octet >> (index - 1) & 1}


# ---- repr, digest


def test_repr_of_revealed_shares_hides_them() -> None:
    message = SharesRevealed({1: 987654321987654321}, {2: 123456789123456789}, KeysAdvertised(keys_of(1)))
    for shown in (repr(message), str(message), f"{[message]}"):
        assert "987654321987654321" not in shown
        assert "123456789123456789" not in shown


def test_cohort_digest_is_of_all_keys_in_order() -> None:
    keys = {1: keys_of(1), 2: keys_of(2), 10: keys_of(10)}
    expected = digest("cohort", *(keys[index].mask + keys[index].channel for index in (1, 2, 10)))
    assert cohort_digest(keys) == expected
    assert cohort_digest(dict(reversed(keys.items()))) == expected


def test_cohort_digest_changes_with_any_key_and_any_member() -> None:
    keys = {1: keys_of(1), 2: keys_of(2), 3: keys_of(3)}
    others = [
        {1: keys_of(1), 2: keys_of(2)},
        {1: keys_of(2), 2: keys_of(1), 3: keys_of(3)},
        keys | {2: PublicKeys(keys[2].channel, keys[2].mask)},
        keys | {3: PublicKeys(keys[3].mask, bytes(32))},
        keys | {4: keys_of(4)},
        {},
    ]
    assert len({cohort_digest(found) for found in [keys, *others]}) == 1 + len(others)
