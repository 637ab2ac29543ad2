"""Hostile and faulty messages from the server to a client, numbered as in the list of bad inputs.

Each meets one typed answer, and nothing leaves the client: no reply, no next state, no mask on its vector.

The core names the type of a message by its first byte and answers FORMAT to a foreign one; that a message is
due is the keeper's to know (`clients.handlers`, STATE), which hands a state to the step of its own round
alone.
"""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest

from arithmetic.field import ELEMENT_BYTES
from secagg.client.r0_advertise_keys import advertise_keys
from secagg.client.r4_unmasking import reveal_shares
from secagg.client.states import AwaitingCohort, AwaitingShares, AwaitingSurvivors, CarryingKeys
from secagg.encoding import Writer
from secagg.errors import ChorusError, MalformedMessage, Misbehaviour
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import (
    CohortAnnounced,
    InputMasked,
    Invitation,
    KeysAdvertised,
    SharesDelivered,
    SharesRevealed,
    SharesSealed,
    UnmaskingRequested,
)
from secagg.params import PARAMS_BYTES, SESSION_BYTES, SecAggParams
from secagg.primitives import KeyPair
from tests.support.cohort import ROUNDS, Cohort, ShakeEntropy, oracle_inputs

CLIENTS = (1, 2, 3, 4, 5)
PARAMS = SecAggParams.complete(5, 24, 8, 3, 3)
HEADER = 2 + SESSION_BYTES + 8 + PARAMS_BYTES
REQUESTS = {"r0": Invitation, "r1": CohortAnnounced, "r2": SharesDelivered, "r4": UnmaskingRequested}
FIELD_PRIME = 2**255 - 19


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """A complete session in which client 5 was dropped at r2."""
    made = Cohort(PARAMS, oracle_inputs(CLIENTS, 8))
    assert made.run({5: "r2"}).error is None
    return made


def announced(cohort: Cohort, client: int = 1) -> CohortAnnounced:
    return CohortAnnounced.from_bytes(cohort.requests["r1", client])


def delivered(cohort: Cohort, client: int = 1) -> SharesDelivered:
    return SharesDelivered.from_bytes(cohort.requests["r2", client])


def with_keys(message: CohortAnnounced, keys: dict[int, PublicKeys]) -> bytes:
    """The cohort with other keys and a digest that belongs to them."""
    keys = dict(sorted(keys.items()))
    return replace(message, keys=keys, cohort_digest=cohort_digest(keys)).to_bytes()


def peak_while(run: Callable[[], object]) -> int:
    """Most bytes allocated while `run` runs."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_messages_as_they_were_are_accepted(cohort: Cohort) -> None:
    """Otherwise every refusal below would be cheap."""
    for at in ROUNDS:
        with pytest.raises(AssertionError, match="a reply left"):
            cohort.refusal(at, 1, cohort.requests[at, 1])


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_01_unknown_message_type(cohort: Cohort, at: str) -> None:
    good = cohort.requests[at, 1]
    for first in range(256):
        if first != good[0]:
            assert cohort.refusal(at, 1, bytes([first]) + good[1:]).code == "FORMAT"
    for version in (0, 1, 3, 255):
        skewed = cohort.refusal(at, 1, good[:1] + bytes([version]) + good[2:])
        assert skewed.code == "VIEW"  # row 87: both versions are named
        assert f"format {version} came to code of format {good[1]}" in str(skewed)


@pytest.mark.parametrize("at", ROUNDS)
@pytest.mark.parametrize("other", ROUNDS)
def test_bad_input_02_protocol_round_skipped_repeated_or_reversed(
    cohort: Cohort, at: str, other: str
) -> None:
    """Neither another round's message nor another round's state is taken, and a used state is gone."""
    if at == other:
        again = cohort.clients[1]
        kept, again.kept = again.kept, None
        if at != "r0":
            with pytest.raises(ChorusError) as caught:
                again.answer(at, cohort.requests[at, 1], 0, cohort.inputs[1].residues)
            assert caught.value.code == "STATE"
        again.kept = kept
        return
    assert cohort.refusal(at, 1, cohort.requests[other, 1]).code == "FORMAT"
    if "r0" not in (at, other):
        assert cohort.refusal(at, 1, cohort.requests[at, 1], cohort.states[other, 1]).code == "FORMAT"


def test_bad_input_02_no_state_reads_as_another(cohort: Cohort) -> None:
    parsers = [AwaitingCohort, AwaitingShares, AwaitingSurvivors, CarryingKeys]
    kept = [cohort.states[at, 1] for at in ("r1", "r2", "r4")] + [cohort.clients[1].kept]
    for parser in parsers:
        for state in kept:
            if parsers.index(parser) != kept.index(state):
                with pytest.raises(MalformedMessage):
                    parser.from_bytes(state)
            else:
                assert parser.from_bytes(state).to_bytes() == state


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_03_missing_field(cohort: Cohort, at: str) -> None:
    """The message cut short at every length."""
    good = cohort.requests[at, 1]
    for length in range(len(good)):
        with pytest.raises(MalformedMessage) as caught:
            REQUESTS[at].from_bytes(good[:length])
        assert caught.value.code == "FORMAT"
    assert cohort.refusal(at, 1, good[:-1]).code == "FORMAT"


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_04_extra_field(cohort: Cohort, at: str) -> None:
    good = cohort.requests[at, 1]
    for extra in (b"\x00", bytes(4), bytes(32), good):
        assert cohort.refusal(at, 1, good + extra).code == "FORMAT"


@pytest.mark.parametrize("at", ROUNDS)
@pytest.mark.parametrize("wrong", [None, True, 0, 0.0, "", "bytes", [], {}, bytearray(b"\x10\x02"), object()])
def test_bad_input_05_wrong_python_type(at: str, wrong: object) -> None:
    with pytest.raises(MalformedMessage) as caught:
        REQUESTS[at].from_bytes(wrong)
    assert caught.value.code == "FORMAT"


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_06_empty_message(cohort: Cohort, at: str) -> None:
    for empty in (b"", cohort.requests[at, 1][:1], cohort.requests[at, 1][:2]):
        assert cohort.refusal(at, 1, empty).code == "FORMAT"


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_07_ten_megabytes_where_a_field_fits(cohort: Cohort, at: str) -> None:
    """Refused without a copy of them."""
    huge = cohort.requests[at, 1] + bytes(10_000_000)
    assert peak_while(lambda: cohort.refusal(at, 1, huge)) < 1_000_000
    assert cohort.refusal(at, 1, huge).code == "FORMAT"
    inside = cohort.requests[at, 1][:20] + bytes(10_000_000)
    assert cohort.refusal(at, 1, inside).code in ("FORMAT", "POLICY")


def test_bad_input_08_a_million_clients(cohort: Cohort) -> None:
    """More names than the cohort has, or a count without the names."""
    good = announced(cohort)
    head = good.to_bytes()[: HEADER + 4 + 32]
    pair = good.keys[1].to_bytes()
    named = b"".join(index.to_bytes(4, "big") + pair for index in range(1, 100_001))
    shares = delivered(cohort)
    flood = (
        Writer(0x14, 2)
        .raw(cohort.session)
        .number(5, 4)
        .members(shares.sharers, 5)
        .number(1_000_000, 4)
        .finish()
    )
    for at, message in (
        ("r1", head + (100_000).to_bytes(4, "big") + named),
        ("r1", head + (2**32 - 1).to_bytes(4, "big")),
        ("r2", flood),
        ("r2", Writer(0x14, 2).raw(cohort.session).number(2**32 - 1, 4).finish()),
        ("r4", Writer(0x18, 2).raw(cohort.session).number(2**20, 4).finish()),
        ("r4", Writer(0x18, 2).raw(cohort.session).number(2**20 + 1, 4).raw(bytes(2**17 + 1)).finish()),
    ):
        assert cohort.refusal(at, 1, message).code == "FORMAT"
        assert peak_while(lambda at=at, message=message: cohort.refusal(at, 1, message)) < 1_000_000


def test_bad_input_08_more_clients_than_the_parameters_admit(cohort: Cohort) -> None:
    good = announced(cohort)
    assert cohort.refusal("r1", 1, replace(good, advertised=6).to_bytes()).code == "FORMAT"


def test_bad_input_09_duplicate_clients_in_a_list(cohort: Cohort) -> None:
    """Indices ascend strictly, so a client named twice is not a message."""
    good = announced(cohort)
    body = [index.to_bytes(4, "big") + keys.to_bytes() for index, keys in good.keys.items()]
    head = good.to_bytes()[: HEADER + 4 + 32] + (5).to_bytes(4, "big")
    assert head + b"".join(body) == good.to_bytes()
    for order in ((0, 0, 2, 3, 4), (1, 0, 2, 3, 4), (0, 1, 2, 3, 3), (4, 3, 2, 1, 0)):
        assert cohort.refusal("r1", 1, head + b"".join(body[at] for at in order)).code == "FORMAT"
    shares = delivered(cohort)
    start = Writer(0x14, 2).raw(cohort.session).number(5, 4).members(shares.sharers, 5).number(4, 4).finish()
    entries = [index.to_bytes(4, "big") + sealed for index, sealed in shares.sealed.items()]
    assert start + b"".join(entries) == shares.to_bytes()
    for order in ((0, 0, 2, 3), (1, 0, 2, 3), (0, 1, 3, 3)):
        assert cohort.refusal("r2", 1, start + b"".join(entries[at] for at in order)).code == "FORMAT"


def test_bad_input_09_a_set_of_survivors_cannot_name_anyone_twice(cohort: Cohort) -> None:
    """It is a bitmap; all that is left to misspell is a bit beyond the cohort."""
    good = cohort.requests["r4", 1]
    bitmap = 2 + SESSION_BYTES + 4
    assert good[bitmap:] == b"\x0f" + bytes(4)
    for beyond in range(5, 8):
        changed = bytes([good[bitmap] | 1 << beyond])
        assert cohort.refusal("r4", 1, good[:bitmap] + changed + good[bitmap + 1 :]).code == "FORMAT"


def test_bad_input_10_own_keys_missing(cohort: Cohort) -> None:
    good = announced(cohort)
    others = {index: keys for index, keys in good.keys.items() if index != 1}
    assert cohort.refusal("r1", 1, with_keys(good, others)).code == "VIEW"
    moved = dict(zip(range(1, 5), others.values(), strict=True))
    assert cohort.refusal("r1", 1, with_keys(replace(good, advertised=4), moved)).code == "VIEW"


@pytest.mark.parametrize("part", ["mask", "channel"])
def test_bad_input_11_own_key_altered(cohort: Cohort, part: str) -> None:
    """VIEW while there is no roster of identities; AUTH comes with signed keys."""
    good, other = announced(cohort), KeyPair.generate(ShakeEntropy("other")).public
    keys = good.keys | {1: replace(good.keys[1], **{part: other})}
    assert cohort.refusal("r1", 1, with_keys(good, keys)).code == "VIEW"


LOW_ORDER = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (FIELD_PRIME - 1).to_bytes(32, "little"),
]
NON_CANONICAL = [
    (FIELD_PRIME + 9).to_bytes(32, "little"),
    FIELD_PRIME.to_bytes(32, "little"),
    (2**255 - 1).to_bytes(32, "little"),
    (9 + 2**255).to_bytes(32, "little"),
    b"\xff" * 32,
]


@pytest.mark.parametrize("part", ["mask", "channel"])
@pytest.mark.parametrize("key", LOW_ORDER)
def test_bad_input_16_low_order_key_of_a_peer(cohort: Cohort, key: bytes, part: str) -> None:
    good = announced(cohort)
    keys = good.keys | {3: replace(good.keys[3], **{part: key})}
    error = cohort.refusal("r1", 1, with_keys(good, keys))
    assert isinstance(error, Misbehaviour)
    assert (error.code, error.culprit) == ("CRYPTO", 3)


@pytest.mark.parametrize("part", ["mask", "channel"])
@pytest.mark.parametrize("key", NON_CANONICAL)
def test_bad_input_17_non_canonical_key_of_a_peer(cohort: Cohort, key: bytes, part: str) -> None:
    """One encoding stands for one key, on both sides: refused as the server refuses it in r0."""
    good = announced(cohort)
    keys = good.keys | {3: replace(good.keys[3], **{part: key})}
    error = cohort.refusal("r1", 1, with_keys(good, keys))
    assert isinstance(error, Misbehaviour)
    assert (error.code, error.culprit) == ("CRYPTO", 3)


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key + b"\x00"])
@pytest.mark.parametrize("index", CLIENTS)
def test_bad_input_18_key_of_31_or_33_bytes(
    cohort: Cohort, index: int, change: Callable[[bytes], bytes]
) -> None:
    good = announced(cohort)
    for part in ("mask", "channel"):
        keys = good.keys | {
            index: replace(good.keys[index], **{part: change(getattr(good.keys[index], part))})
        }
        assert cohort.refusal("r1", 1, replace(good, keys=keys).to_bytes()).code == "FORMAT"


@pytest.mark.parametrize("one", ["mask", "channel"])
@pytest.mark.parametrize("other", ["mask", "channel"])
def test_bad_input_19_two_peers_with_the_same_key(cohort: Cohort, one: str, other: str) -> None:
    good = announced(cohort)
    keys = good.keys | {4: replace(good.keys[4], **{one: getattr(good.keys[3], other)})}
    assert cohort.refusal("r1", 1, with_keys(good, keys)).code == "VIEW"


def test_bad_input_19_a_peer_with_one_key_for_both_uses(cohort: Cohort) -> None:
    good = announced(cohort)
    keys = good.keys | {4: PublicKeys(good.keys[4].mask, good.keys[4].mask)}
    assert cohort.refusal("r1", 1, with_keys(good, keys)).code == "VIEW"


@pytest.mark.parametrize("part", ["mask", "channel"])
def test_bad_input_20_peer_key_equal_to_own(cohort: Cohort, part: str) -> None:
    good = announced(cohort)
    keys = good.keys | {4: replace(good.keys[4], **{part: getattr(good.keys[1], part)})}
    assert cohort.refusal("r1", 1, with_keys(good, keys)).code == "VIEW"
    assert cohort.refusal("r1", 1, with_keys(good, good.keys | {4: good.keys[1]})).code == "VIEW"


PARAMS_AT = 2 + SESSION_BYTES + 8 + 2


@pytest.mark.parametrize(
    ("offset", "width", "number"),
    [
        (0, 4, 0), (0, 4, 2), (0, 4, 2**32 - 1), (4, 4, 0), (4, 4, 1), (4, 4, 6), (8, 4, 0), (8, 4, 5),
        (12, 4, 0), (12, 4, 2), (12, 4, 6), (16, 1, 0), (16, 1, 7), (16, 1, 65),
        (17, 8, 2**64 - 1), (25, 8, 2**63),
    ],
)  # fmt: skip
def test_bad_input_21_parameters_that_cannot_work(
    cohort: Cohort, offset: int, width: int, number: int
) -> None:
    """Cohort, threshold, neighbours, survivors, modulus or lengths out of range: POLICY in r0 as in r1."""
    for at in ("r0", "r1"):
        good = cohort.requests[at, 1]
        start = PARAMS_AT + offset
        bad = good[:start] + number.to_bytes(width, "big") + good[start + width :]
        assert cohort.refusal(at, 1, bad).code == "POLICY"


def test_bad_input_22_fewer_clients_than_the_session_needs(cohort: Cohort) -> None:
    good = announced(cohort)
    two = {index: good.keys[index] for index in (1, 2)}
    assert cohort.refusal("r1", 1, with_keys(replace(good, advertised=2), two)).code == "QUORUM"


def test_bad_input_23_session_without_identifier_or_finished(cohort: Cohort) -> None:
    for at in ("r0", "r1"):
        good = cohort.requests[at, 1]
        assert cohort.refusal(at, 1, good[:2] + bytes(32) + good[34:]).code == "STATE"
        for size in (31, 33):
            identifier = bytes(size - 1) + b"\x01"
            assert cohort.refusal(at, 1, good[:2] + identifier + good[34:]).code in ("FORMAT", "POLICY")
    # The session that has just finished, with the keys that were sent along for the next one.
    assert cohort.clients[1].kept is not None
    assert cohort.refusal("r1", 1, cohort.requests["r1", 1], cohort.clients[1].kept).code == "STATE"


def test_bad_input_35_share_missing_for_a_live_peer(cohort: Cohort) -> None:
    good = delivered(cohort)
    for missing in good.sealed:
        fewer = {index: sealed for index, sealed in good.sealed.items() if index != missing}
        assert cohort.refusal("r2", 1, replace(good, sealed=fewer).to_bytes()).code == "VIEW"
    assert cohort.refusal("r2", 1, replace(good, sealed={}).to_bytes()).code == "VIEW"


def test_bad_input_35_share_of_somebody_who_is_not_live(cohort: Cohort) -> None:
    good = delivered(cohort)
    extra = good.sealed | {1: good.sealed[2]}
    assert cohort.refusal("r2", 1, replace(good, sealed=extra).to_bytes()).code == "VIEW"
    fewer = replace(good, sharers=good.sharers - {5})
    assert cohort.refusal("r2", 1, fewer.to_bytes()).code == "VIEW"


def test_bad_input_34_shares_of_two_peers_swapped(cohort: Cohort) -> None:
    good = delivered(cohort)
    swapped = good.sealed | {2: good.sealed[3], 3: good.sealed[2]}
    assert cohort.refusal("r2", 1, replace(good, sealed=swapped).to_bytes()).code == "CRYPTO"
    others = delivered(cohort, 4).sealed[2]
    assert (
        cohort.refusal("r2", 1, replace(good, sealed=good.sealed | {2: others}).to_bytes()).code == "CRYPTO"
    )


def test_bad_input_33_a_share_with_any_bit_flipped(cohort: Cohort) -> None:
    good = delivered(cohort)
    for at in range(0, 8 * len(good.sealed[3]), 37):
        flipped = bytearray(good.sealed[3])
        flipped[at // 8] ^= 1 << at % 8
        error = cohort.refusal("r2", 1, replace(good, sealed=good.sealed | {3: bytes(flipped)}).to_bytes())
        assert isinstance(error, Misbehaviour)
        assert (error.code, error.culprit) == ("CRYPTO", 3)


def test_bad_input_36_survivor_that_never_shared_keys() -> None:
    cohort = Cohort(PARAMS, oracle_inputs(CLIENTS, 8))
    assert cohort.run({5: "r1"}).error is None
    for client in (1, 4):
        request = UnmaskingRequested(cohort.session, 5, frozenset({1, 2, 3, 4, 5}))
        assert cohort.refusal("r4", client, request.to_bytes()).code == "VIEW"


def test_bad_input_36_survivors_of_a_cohort_of_another_size(cohort: Cohort) -> None:
    for size in (4, 6, 8, 9):
        assert (
            cohort.refusal(
                "r4", 1, UnmaskingRequested(cohort.session, size, frozenset({1, 2, 3, 4})).to_bytes()
            ).code
            == "VIEW"
        )
        shown = delivered(cohort)
        wrong = replace(shown, size=size, sharers=frozenset({1, 2, 3, 4}), sealed=shown.sealed)
        assert cohort.refusal("r2", 1, wrong.to_bytes()).code == "VIEW"


def test_bad_input_36_own_index_not_among_those_that_shared(cohort: Cohort) -> None:
    good = delivered(cohort)
    assert cohort.refusal("r2", 1, replace(good, sharers=good.sharers - {1}).to_bytes()).code == "VIEW"


def test_bad_input_37_peer_both_alive_and_dead_cannot_be_asked(cohort: Cohort) -> None:
    """The request is one set: a bit is set or not. Two sets one after the other are not a message."""
    good = cohort.requests["r4", 1]
    bitmap = 2 + SESSION_BYTES + 4
    assert len(good) == bitmap + 1 + 4
    for second in range(256):
        two = good[: bitmap + 1] + bytes([second]) + good[bitmap + 1 :]
        assert cohort.refusal("r4", 1, two).code == "FORMAT"


def test_bad_input_37_no_reply_can_hold_both_shares(cohort: Cohort) -> None:
    reply = SharesRevealed.from_bytes(cohort.replies["r4", 1])
    assert set(reply.self_mask) == {1, 2, 3, 4}
    assert set(reply.mask_key) == {5}
    both = replace(reply, mask_key=reply.mask_key | {2: 77})
    with pytest.raises(MalformedMessage, match="both shares of client 2"):
        both.to_bytes()


@pytest.mark.parametrize("number", range(32))
def test_bad_input_37_no_request_whatever_yields_both_shares(cohort: Cohort, number: int) -> None:
    """Every request there is: for each peer at most one share, and the kind its fate asks for."""
    survivors = frozenset(index for index in CLIENTS if number >> (index - 1) & 1)
    state = AwaitingSurvivors.from_bytes(cohort.states["r4", 1])
    request = UnmaskingRequested(cohort.session, 5, survivors)
    if 1 not in survivors or len(survivors) < 3:
        code = "VIEW" if 1 not in survivors else "QUORUM"
        assert cohort.refusal("r4", 1, request.to_bytes()).code == code
        return
    _, reply = reveal_shares(state, request, ShakeEntropy("next"))
    assert set(reply.self_mask) == survivors
    assert set(reply.mask_key) == set(CLIENTS) - survivors


def test_bad_input_38_own_index_named_as_dropped(cohort: Cohort) -> None:
    request = UnmaskingRequested(cohort.session, 5, frozenset({2, 3, 4, 5}))
    assert cohort.refusal("r4", 1, request.to_bytes()).code == "VIEW"


@pytest.mark.parametrize("survivors", [{1}, {1, 2}, {1, 5}])
def test_bad_input_39_fewer_survivors_than_agreed(cohort: Cohort, survivors: set[int]) -> None:
    error = cohort.refusal("r4", 1, UnmaskingRequested(cohort.session, 5, frozenset(survivors)).to_bytes())
    assert error.code == "QUORUM"
    assert error.survivors == len(survivors)
    assert error.threshold == 3


@pytest.mark.parametrize("sharers", [{1}, {1, 2}])
def test_bad_input_39_fewer_clients_shared_keys_than_agreed(cohort: Cohort, sharers: set[int]) -> None:
    good = delivered(cohort)
    kept = {index: sealed for index, sealed in good.sealed.items() if index in sharers}
    error = cohort.refusal("r2", 1, replace(good, sharers=frozenset(sharers), sealed=kept).to_bytes())
    assert error.code == "QUORUM"


def test_bad_input_39_a_neighbourhood_below_the_threshold() -> None:
    """In a sparse graph enough survivors in all are not enough around one client."""
    clients = tuple(range(1, 13))
    cohort = Cohort(SecAggParams(12, 4, 4, 3, 24, 15, 3), oracle_inputs(clients, 15))
    outcome = cohort.run()
    far = frozenset(clients) - outcome.neighbours[1]
    assert cohort.refusal("r4", 1, UnmaskingRequested(cohort.session, 12, far).to_bytes()).code == "QUORUM"
    good = delivered(cohort)
    assert cohort.refusal("r2", 1, replace(good, sharers=far, sealed={}).to_bytes()).code == "QUORUM"


def test_bad_input_42_unmasking_asked_before_a_vector_was_sent(cohort: Cohort) -> None:
    """Before r2 the client holds a state that is no `AwaitingSurvivors`: there are no opened shares to
    reveal. The keeper answers STATE; the step, were it asked, FORMAT.
    """
    for earlier in ("r1", "r2"):
        assert cohort.refusal("r4", 1, cohort.requests["r4", 1], cohort.states[earlier, 1]).code == "FORMAT"


def test_bad_input_43_second_unmasking_with_another_list(cohort: Cohort) -> None:
    """After r4 no share is left anywhere: what is kept is fresh keys and the finished session's name.

    The step itself is pure; that its state is handed to it once is the keeper's part
    (`clients.steps._take` removes the state before it parses the message).
    """
    kept = cohort.clients[1].kept
    assert kept is not None
    for survivors in ({1, 2, 3, 4}, {1, 2, 3}, {1, 2, 3, 4, 5}):
        request = UnmaskingRequested(cohort.session, 5, frozenset(survivors))
        assert cohort.refusal("r4", 1, request.to_bytes(), kept).code == "FORMAT"
    state = AwaitingSurvivors.from_bytes(cohort.states["r4", 1])
    for share in (*state.self_mask.values(), *state.mask_key.values()):
        assert share.to_bytes(ELEMENT_BYTES, "big") not in kept
    earlier = AwaitingShares.from_bytes(cohort.states["r2", 1])
    for secret in (earlier.seed, earlier.keys.mask.private, earlier.keys.channel.private):
        assert secret not in kept
        assert secret not in (cohort.states["r4", 1] or b"")


def test_bad_input_10_recorded_messages_of_another_session(cohort: Cohort) -> None:
    """Replayed into a new session, none is taken: own keys are not in it, shares do not open."""
    new = Cohort(PARAMS, oracle_inputs(CLIENTS, 8), seed="new")
    new.run({5: "r2"})
    assert new.refusal("r1", 1, cohort.requests["r1", 1]).code == "STATE"
    assert new.refusal("r2", 1, cohort.requests["r2", 1]).code == "STATE"
    assert new.refusal("r4", 1, cohort.requests["r4", 1]).code == "STATE"
    renamed = replace(delivered(cohort), session=new.session)
    # None of them opens, so it is not one peer that erred.
    assert new.refusal("r2", 1, renamed.to_bytes()).code == "VIEW"
    carrying = new.clients[1].kept
    assert carrying is not None
    assert new.refusal("r1", 1, cohort.requests["r1", 1], carrying).code == "VIEW"


def test_what_the_server_cannot_spell_is_not_a_message_of_a_client(cohort: Cohort) -> None:
    """Messages upwards are not read downwards."""
    for at, kind in (("r0", KeysAdvertised), ("r1", SharesSealed), ("r4", SharesRevealed)):
        assert kind.from_bytes(cohort.replies[at, 1]).to_bytes() == cohort.replies[at, 1]
        assert cohort.refusal(at, 1, cohort.replies[at, 1]).code == "FORMAT"
    assert InputMasked.from_bytes(cohort.replies["r2", 1], PARAMS).to_bytes() == cohort.replies["r2", 1]


def test_an_invitation_is_answered_with_fresh_keys_each_time(cohort: Cohort) -> None:
    invitation = Invitation.from_bytes(cohort.requests["r0", 1])
    entropy = ShakeEntropy("twice")
    first, second = advertise_keys(invitation, entropy)[1], advertise_keys(invitation, entropy)[1]
    assert len({first.keys.mask, first.keys.channel, second.keys.mask, second.keys.channel}) == 4
