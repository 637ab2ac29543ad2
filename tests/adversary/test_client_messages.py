"""Hostile and faulty messages from a client to the server, numbered as in the list of bad inputs.

The answer is DROP: that reply is refused with one typed error, and the session goes on to the exact sum over
the others. Where too few are left, CohortTooSmall or Unrecoverable, and no sum.
"""

import io
import math
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from arithmetic.field import ELEMENT_BYTES, PRIME, lagrange_weights, to_bytes
from secagg.client.r1_share_keys import channel_key, share_label
from secagg.client.states import AwaitingShares
from secagg.encoding import Writer
from secagg.errors import (
    CohortTooSmall,
    MalformedMessage,
    Misbehaviour,
    OutOfTurn,
    ParameterError,
    RangeError,
    Unrecoverable,
)
from secagg.keys import PublicKeys
from secagg.messages import (
    InputMasked,
    KeysAdvertised,
    SharesRevealed,
    SharesSealed,
)
from secagg.params import SecAggParams, Session
from secagg.primitives import KeyPair, seal
from secagg.sealed import SEALED_BYTES
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.tags import tag_pair
from tests.support.cohort import (
    CONFIG,
    MODEL,
    ROUNDS,
    Arrival,
    Cohort,
    Outcome,
    ShakeEntropy,
    Tamper,
    check_exact,
    decoded,
    oracle_inputs,
    plain_sum,
    run_session,
    tampering,
)

FIVE = (1, 2, 3, 4, 5)
EVERYBODY = frozenset(FIVE)
PARAMS = SecAggParams.complete(5, 24, 8, 3, 3)
INPUTS = oracle_inputs(FIVE, 8)
Change = Callable[[bytes], Arrival]


def honest_are_not_blamed(outcome: Outcome, bad: tuple[int, ...]) -> None:
    """The holder of every false share is bad, and so is whoever is named for what it dealt."""
    assert {holder for holder, _ in outcome.false_shares} <= set(bad)
    if isinstance(outcome.error, Misbehaviour):
        assert outcome.error.culprit in bad


def dropped(at: str, client: int, change: Change, code: str) -> Outcome:
    """Client `client` sends something else in protocol round `at`: refused with `code`, and the sum over the
    rest is exact. Whoever goes wrong in r4 only is still in the sum.
    """
    outcome = run_session(PARAMS, INPUTS, tamper=tampering(at, "up", client, change))
    assert outcome.refused[at, client].code == code
    assert set(outcome.refused) == {(at, client)}
    assert not outcome.client_errors
    assert outcome.heard[at] == EVERYBODY - {client}
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY if at == "r4" else EVERYBODY - {client})
    assert outcome.unmasked is not None
    assert outcome.false_shares == ()
    assert client not in outcome.unmasked.next_keys
    return outcome


def peak_while(run: Callable[[], object]) -> int:
    """Most bytes allocated while `run` runs."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def opened(after: str) -> Cohort:
    """A cohort whose server has the collection of the round after `after` open, and heard nobody in it."""
    following = ROUNDS[ROUNDS.index(after) + 1]
    cohort = Cohort(
        PARAMS, INPUTS, tamper=lambda at, way, c, data: None if (at, way) == (following, "up") else data
    )
    close = {"r0": "r1", "r1": "r2", "r2": "r4"}[after]
    outcome = cohort.run()
    assert isinstance(outcome.error, CohortTooSmall)
    assert following == close
    return cohort


def parse(at: str, data: bytes) -> object:
    """What the server reads from a reply."""
    if at == "r0":
        return KeysAdvertised.from_bytes(data)
    if at == "r2":
        return InputMasked.from_bytes(data, PARAMS)
    return SharesSealed.from_bytes(data) if at == "r1" else SharesRevealed.from_bytes(data)


def tampered_collection(at: str, act: Callable[[Cohort, int, bytes], None]) -> Outcome:
    """`act` sees the server's open collection each time a reply of round `at` comes, before it is taken."""
    cohort: Cohort

    def hook(now: str, way: str, client: int, data: bytes) -> bytes:
        if (now, way) == (at, "up"):
            act(cohort, client, data)
        return data

    cohort = Cohort(PARAMS, INPUTS, tamper=hook)
    return cohort.run()


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_46_reply_from_a_client_that_was_not_asked(at: str) -> None:
    def intrude(cohort: Cohort, client: int, data: bytes) -> None:
        with pytest.raises(OutOfTurn) as caught:
            cohort.collection.receive(99, parse(at, data))
        assert caught.value.code == "STATE"

    check_exact(tampered_collection(at, intrude), PARAMS, INPUTS, EVERYBODY)


@pytest.mark.parametrize("at", ["r1", "r2", "r4"])
def test_bad_input_46_reply_from_a_client_that_dropped_out_before(at: str) -> None:
    earlier = ROUNDS[ROUNDS.index(at) - 1]
    cohort = Cohort(PARAMS, INPUTS)
    refusals = []

    def hook(now: str, way: str, client: int, data: bytes) -> bytes:
        if (now, way, client) == (at, "up", 1):
            with pytest.raises(OutOfTurn) as caught:
                cohort.collection.receive(4, parse(at, data))
            refusals.append(caught.value.code)
        return data

    cohort.tamper = hook
    outcome = cohort.run({4: earlier})
    assert refusals == ["STATE"]
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY - {4})


@pytest.mark.parametrize("at", ["r0", "r1", "r4"])
def test_bad_input_47_another_clients_reply_in_its_own_name(at: str) -> None:
    """No message says who sent it: the sender is whom the server asked. Client 1's bytes under client 2's
    name do not fit client 2's place.
    """
    seen: list[bytes] = []

    def hook(now: str, way: str, client: int, data: bytes) -> bytes:
        if (now, way, client) == (at, "up", 1):
            seen.append(data)
        return seen[0] if (now, way, client) == (at, "up", 2) else data

    outcome = Cohort(PARAMS, INPUTS, tamper=hook).run()
    if at == "r4":  # the same shares under another index are false shares, found and named
        check_exact(outcome, PARAMS, INPUTS, EVERYBODY)
        assert outcome.unmasked is not None
        assert {holder for holder, _ in outcome.false_shares} == {2}
        return
    assert outcome.refused[at, 2].code == {"r0": "CRYPTO", "r1": "FORMAT"}[at]
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY - {2})


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_48_two_replies_to_one_request(at: str) -> None:
    outcome = run_session(PARAMS, INPUTS, tamper=tampering(at, "up", 2, lambda data: (data, data)))
    assert outcome.refused[at, 2].code == "STATE"
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY)


def test_bad_input_48_the_first_valid_reply_counts() -> None:
    """A broken reply before a good one costs nothing; another vector after the first is not added."""
    outcome = run_session(PARAMS, INPUTS, tamper=tampering("r2", "up", 2, lambda data: (data[:-1], data)))
    assert outcome.refused["r2", 2].code == "FORMAT"
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY)
    other = tampering("r2", "up", 2, lambda data: (data, data[:2] + bytes(len(data) - 2)))
    check_exact(run_session(PARAMS, INPUTS, tamper=other), PARAMS, INPUTS, EVERYBODY)


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_49_late_reply(at: str) -> None:
    """After a collection is closed it takes nothing more, and cannot be closed twice."""
    collections, late = {}, {}
    cohort = Cohort(PARAMS, INPUTS)

    def hook(now: str, way: str, client: int, data: bytes) -> Arrival:
        if way == "up":
            collections[now] = cohort.collection
        if (now, way, client) == (at, "up", 3):
            late[client] = data
            return None
        return data

    cohort.tamper = hook
    outcome = cohort.run()
    counted = EVERYBODY if at == "r4" else EVERYBODY - {3}
    with pytest.raises(OutOfTurn) as caught:
        collections[at].receive(3, parse(at, late[3]))
    assert caught.value.code == "STATE"
    with pytest.raises(OutOfTurn):
        collections[at].close(*((MODEL, CONFIG) if at == "r0" else ()))
    check_exact(outcome, PARAMS, INPUTS, counted)


@pytest.mark.parametrize("at", ROUNDS)
@pytest.mark.parametrize("other", ROUNDS)
def test_bad_input_50_reply_to_another_protocol_round(at: str, other: str) -> None:
    if at != other:
        cohort = Cohort(PARAMS, INPUTS)
        cohort.run()
        dropped(at, 2, lambda data: cohort.replies[other, 2], "FORMAT")


def resealed(change: Callable[[SharesSealed], SharesSealed]) -> Change:
    return lambda data: change(SharesSealed.from_bytes(data)).to_bytes()


def test_bad_input_51_a_recipient_missing_or_too_many() -> None:
    for change in (
        lambda m: replace(m, sealed={i: s for i, s in m.sealed.items() if i != 4}),
        lambda m: replace(m, sealed={}),
        lambda m: replace(m, sealed=m.sealed | {2: m.sealed[1]}),
        lambda m: replace(m, sealed=m.sealed | {6: m.sealed[1]}),
    ):
        dropped("r1", 2, resealed(change), "FORMAT")


def raw_reply(
    following: KeysAdvertised, entries: list[tuple[int, int, int]], count: int | None = None
) -> bytes:
    """An r4 reply from (index, kind, share), whatever they are."""
    writer = following.write(Writer(0x19, 2)).number(len(entries) if count is None else count, 4)
    for index, kind, share in entries:
        writer.number(index, 4).number(kind, 1).number(share, ELEMENT_BYTES)
    return writer.finish()


Entries = list[tuple[int, int, int]]


def rewritten(change: Callable[[Entries], Entries]) -> Change:
    """An r4 reply with its entries changed."""

    def rewrite(data: bytes) -> bytes:
        reply = SharesRevealed.from_bytes(data)
        entries = [(i, 0, s) for i, s in reply.self_mask.items()] + [
            (i, 1, s) for i, s in reply.mask_key.items()
        ]
        assert raw_reply(reply.following, sorted(entries)) == data
        return raw_reply(reply.following, change(sorted(entries)))

    return rewrite


@pytest.mark.parametrize(
    "change",
    [
        lambda e: [(0, *e[0][1:]), *e[1:]],
        lambda e: [*e[:-1], (6, *e[-1][1:])],
        lambda e: [*e[:-1], (2**32 - 1, *e[-1][1:])],
        lambda e: [e[0], e[0], *e[2:]],
        lambda e: [e[0], (1, 1, 5), *e[2:]],
        lambda e: list(reversed(e)),
        lambda e: [e[1], e[0], *e[2:]],
    ],
    ids=["zero", "beyond n", "huge", "twice", "both kinds", "descending", "swapped"],
)
def test_bad_input_52_share_index(change: Callable[[Entries], Entries]) -> None:
    """An entry is named by its owner alone; the point of the share is the sender's index, which nobody
    writes.
    """
    dropped("r4", 2, rewritten(change), "FORMAT")


def test_bad_input_53_share_not_below_the_prime_or_of_the_wrong_length() -> None:
    for share in (PRIME, PRIME + 1, 2 ** (8 * ELEMENT_BYTES) - 1):
        dropped("r4", 2, rewritten(lambda e, share=share: [(*e[0][:2], share), *e[1:]]), "FORMAT")
    for cut in (1, ELEMENT_BYTES - 1, ELEMENT_BYTES, ELEMENT_BYTES + 5):
        dropped("r4", 2, lambda data, cut=cut: data[:-cut], "FORMAT")
    dropped("r4", 2, lambda data: data + b"\x00", "FORMAT")


@pytest.mark.parametrize(
    "change",
    [
        lambda e: [*e, (6, 0, 5)],
        lambda e: [*e, (1000, 1, 5)],
        lambda e: e[:-1],
        lambda e: [],
        lambda e: [(i, 1 - kind, s) for i, kind, s in e],
        lambda e: [(*e[0][:1], 1, e[0][2]), *e[1:]],
        lambda e: [(*e[0][:1], 2, e[0][2]), *e[1:]],
    ],
    ids=[
        "unknown",
        "unknown dropped",
        "one less",
        "none",
        "kinds swapped",
        "one of the wrong kind",
        "no such kind",
    ],
)
def test_bad_input_54_shares_of_other_owners_than_asked(change: Callable[[Entries], Entries]) -> None:
    dropped("r4", 2, rewritten(change), "FORMAT")


# 55: false shares.

SEVEN = tuple(range(1, 8))
SEVEN_INPUTS = oracle_inputs(SEVEN, 10)


def lying(liars: tuple[int, ...], lie: Callable[[int, int, int], int]) -> Tamper:
    """`liars` change every share they reveal; `lie(liar, owner, share)`."""

    def hook(at: str, way: str, client: int, data: bytes) -> bytes:
        if (at, way) != ("r4", "up") or client not in liars:
            return data
        reply = SharesRevealed.from_bytes(data)
        return replace(
            reply,
            self_mask={owner: lie(client, owner, share) for owner, share in reply.self_mask.items()},
            mask_key={owner: lie(client, owner, share) for owner, share in reply.mask_key.items()},
        ).to_bytes()

    return hook


def one_bit(liar: int, owner: int, share: int) -> int:
    return share ^ 1


def anything(liar: int, owner: int, share: int) -> int:
    return int.from_bytes(ShakeEntropy(liar, owner)(64), "big") % PRIME


@pytest.mark.parametrize("lie", [one_bit, anything])
@pytest.mark.parametrize("threshold", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("drops", [{}, {7: "r2"}])
def test_bad_input_55_bad_sharers_are_named_while_the_surplus_allows(
    threshold: int, lie: Callable[[int, int, int], int], drops: dict[int, str]
) -> None:
    """1..k bad sharers among the last ones, the first ones and in between: each is named, none of the honest is.
    With t true shares left the sum is exact; with fewer nothing is unmasked.
    """
    params = SecAggParams.complete(7, 24, 10, 3, threshold)
    present = [client for client in SEVEN if client not in drops]
    if len(present) < threshold:
        return
    for count in range(1, len(present) + 1):
        for chosen in (present[:count], present[-count:], present[1 : 1 + count]):
            liars = tuple(chosen)
            outcome = run_session(params, SEVEN_INPUTS, drops, tamper=lying(liars, lie))
            assert {holder for holder, _ in outcome.false_shares} == set(liars)
            honest_are_not_blamed(outcome, liars)
            if len(present) - len(liars) < threshold:
                assert outcome.unmasked is None
                assert isinstance(outcome.error, CohortTooSmall | Unrecoverable)
            else:
                check_exact(outcome, params, SEVEN_INPUTS, frozenset(present))


def test_bad_input_55_a_lie_about_one_owner_only() -> None:
    for owner in FIVE:
        hook = lying((3,), lambda liar, of, share, owner=owner: share ^ 1 if of == owner else share)
        outcome = run_session(PARAMS, INPUTS, tamper=hook)
        check_exact(outcome, PARAMS, INPUTS, EVERYBODY)
        assert outcome.unmasked is not None
        # Of its own seed a client may say what it likes: the others' shares are looked at first.
        assert outcome.false_shares == (() if owner == 3 else ((3, owner),))


def test_bad_input_55_false_next_keys_of_a_bad_sharer_do_not_serve() -> None:
    low = KeysAdvertised(PublicKeys(bytes(32), bytes([1]) + bytes(31)))
    dropped(
        "r4", 2, lambda data: replace(SharesRevealed.from_bytes(data), following=low).to_bytes(), "CRYPTO"
    )


@pytest.mark.parametrize(
    ("size", "threshold", "liars"), [(4, 3, (1, 2)), (5, 3, (1, 2)), (5, 3, (2, 3)), (6, 4, (1, 2))]
)
def test_bad_input_55_liars_whose_errors_cancel_at_zero_cannot_blame_others(
    size: int, threshold: int, liars: tuple[int, int]
) -> None:
    """Errors that cancel in the secret for one set of holders: the secret would check, and honest holders would
    be off the false polynomial. The false shares are seen for what they are before.
    """
    clients = tuple(range(1, size + 1))
    points = clients[:threshold]
    weights = dict(zip(points, lagrange_weights(points), strict=True))
    errors = {liars[0]: 1, liars[1]: -weights[liars[0]] * pow(weights[liars[1]], -1, PRIME) % PRIME}
    params, inputs = SecAggParams.complete(size, 24, size + 3, 3, threshold), oracle_inputs(clients, size + 3)
    hook = lying(liars, lambda liar, owner, share: (share + errors[liar]) % PRIME)
    outcome = run_session(params, inputs, tamper=hook)
    honest_are_not_blamed(outcome, liars)
    assert {holder for holder, _ in outcome.false_shares} == set(liars)
    if size - len(liars) < threshold:
        assert isinstance(outcome.error, CohortTooSmall | Unrecoverable)
    else:
        check_exact(outcome, params, inputs, frozenset(clients))


@pytest.mark.parametrize(("size", "threshold", "liars"), [(9, 7, (7, 8, 9)), (10, 7, (7, 8, 9, 10))])
def test_bad_input_55_a_third_of_the_cohort_cannot_blame_an_honest_holder(
    size: int, threshold: int, liars: tuple[int, ...]
) -> None:
    """Fewer colluders than the threshold move their shares to another polynomial with the same secret and the
    same values at t - 2 honest holders; the other honest holders seem to lie.
    """
    clients = tuple(range(1, size + 1))
    spared = [client for client in clients if client not in liars][: threshold - 2]

    def moved(liar: int, owner: int, share: int) -> int:
        return (share + liar * math.prod(liar - holder for holder in spared)) % PRIME

    params = SecAggParams.complete(size, 24, size + 3, 3, threshold)
    inputs = oracle_inputs(clients, size + 3)
    outcome = run_session(params, inputs, tamper=lying(liars, moved))
    honest_are_not_blamed(outcome, liars)
    assert {holder for holder, _ in outcome.false_shares} == set(liars)
    if size - len(liars) < threshold:
        assert isinstance(outcome.error, CohortTooSmall | Unrecoverable)
    else:
        check_exact(outcome, params, inputs, frozenset(clients))


def false_dealer(cohort: Cohort, dealer: int, victims: tuple[int, ...]) -> Tamper:
    """`dealer` seals a false share of its self-mask seed (and of its key) to each of `victims`, in good order, and
    binds itself to it.
    """

    def hook(at: str, way: str, client: int, data: bytes) -> bytes:
        if (at, way, client) != ("r1", "up", dealer):
            return data
        message = SharesSealed.from_bytes(data)
        state = AwaitingShares.from_bytes(cohort.clients[dealer].kept)
        sealed = dict(message.sealed)
        for victim in victims:
            key = channel_key(
                state.keys.channel.private, state.peers[victim].channel, state.context, dealer, victim
            )
            masks = state.keys.mask.public, state.peers[victim].mask
            label = share_label(state.context, dealer, victim, *masks)
            sealed[victim] = seal(key, to_bytes(victim) + to_bytes(victim), label) + tag_pair(
                victim, victim, state.context, dealer, victim
            )
        return replace(message, sealed=sealed).to_bytes()

    return hook


@pytest.mark.parametrize("victims", [(1,), (5,), (1, 5)])
@pytest.mark.parametrize("drops", [{}, {3: "r2"}])
def test_bad_input_55_a_client_that_dealt_false_shares_cannot_blame_their_holders(
    victims: tuple[int, ...], drops: dict[int, str]
) -> None:
    """The holders reveal what they were dealt. Whether the seed or key comes out is a matter of which shares are
    looked at; whoever is named for it is the dealer.
    """
    cohort = Cohort(PARAMS, INPUTS)
    cohort.tamper = false_dealer(cohort, 3, victims)
    outcome = cohort.run(drops)
    honest_are_not_blamed(outcome, (3,))
    assert outcome.false_shares == ()
    if outcome.unmasked is None:
        assert isinstance(outcome.error, Unrecoverable)
        assert outcome.error.culprit == 3
    else:
        check_exact(outcome, PARAMS, INPUTS, EVERYBODY - set(drops))


def test_bad_input_55_a_framed_holder_beside_liars() -> None:
    """Dealers 1 and 2 deal holder 3 false shares; then 1, 2 and 6 lie about everybody else. Four true shares of
    every honest secret are there where four are needed; what 1 and 2 dealt may come out or not.
    """
    params = SecAggParams.complete(7, 24, 10, 3, 4)
    cohort = Cohort(params, SEVEN_INPUTS)
    deals = [false_dealer(cohort, dealer, (3,)) for dealer in (1, 2)]
    lie = lying((1, 2, 6), lambda liar, owner, share: anything(liar, owner, share) if owner > 2 else share)

    def hook(at: str, way: str, client: int, data: bytes) -> Arrival:
        for one in (*deals, lie):
            changed = one(at, way, client, data)
            assert isinstance(changed, bytes)
            data = changed
        return data

    cohort.tamper = hook
    outcome = cohort.run()
    honest_are_not_blamed(outcome, (1, 2, 6))
    assert {holder for holder, _ in outcome.false_shares} == {1, 2, 6}
    if outcome.unmasked is None:
        assert isinstance(outcome.error, Unrecoverable)
        assert outcome.error.culprit in (1, 2)
    else:
        check_exact(outcome, params, SEVEN_INPUTS, frozenset(SEVEN))


def test_bad_input_55_one_recipient_cannot_open_what_it_was_dealt() -> None:
    """It leaves before it masks; whoever sealed it stays, and so do the others."""
    outcome = run_session(
        PARAMS,
        INPUTS,
        tamper=tampering(
            "r1", "up", 3, resealed(lambda m: replace(m, sealed=m.sealed | {1: bytes(SEALED_BYTES)}))
        ),
    )
    round_, error = outcome.client_errors[1]
    assert (round_, error.code) == ("r2", "CRYPTO")
    assert isinstance(error, Misbehaviour)
    assert error.culprit == 3
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY - {1})


def test_bad_input_55_a_commitment_to_another_seed() -> None:
    change = resealed(lambda m: replace(m, commitment=b"\x07" * 32))
    outcome = run_session(PARAMS, INPUTS, tamper=tampering("r1", "up", 3, change))
    assert isinstance(outcome.error, Unrecoverable)
    assert outcome.unmasked is None


# 56-59: masked vectors.


def test_bad_input_56_masked_vector_short_or_long() -> None:
    for change in (
        lambda data: data[:-1],
        lambda data: data[:-8],
        lambda data: data[:2],
        lambda data: b"",
        lambda data: data + b"\x00",
        lambda data: data + bytes(8),
        lambda data: data[:2] + data[2:] * 2,
    ):
        dropped("r2", 2, change, "FORMAT")


@pytest.mark.parametrize("word", ["<u2", "<u4", "<u8", "<f4", "<f8"])
def test_bad_input_56_masked_vector_of_another_word_size(word: str) -> None:
    body = np.zeros(8, dtype=word).tobytes() + bytes(3 * 8)
    dropped("r2", 2, lambda data: data[:2] + body, "FORMAT")


def test_bad_input_56_a_residue_beyond_the_modulus_cannot_be_written() -> None:
    """Residues are packed to exactly b bits: any bytes of the right length are residues, and the sum stays
    below 2^b.
    """
    full = tampering("r2", "up", 2, lambda data: data[:2] + b"\xff" * (len(data) - 2))
    outcome = run_session(PARAMS, INPUTS, tamper=full)
    assert outcome.unmasked is not None
    assert outcome.unmasked.survivors == FIVE
    others = plain_sum(INPUTS, EVERYBODY - {2})
    assert (
        decoded(outcome.unmasked.total, PARAMS) != others
    )  # whoever sends garbage moves the sum: said in README


def test_bad_input_56_a_refused_vector_leaves_the_sum_as_it_was() -> None:
    """A message object that did not come from bytes and is half right: nothing of it is added."""

    def half(cohort: Cohort, client: int, data: bytes) -> None:
        good = InputMasked.from_bytes(data, PARAMS)
        for bad in (
            replace(good, scalars=bytes(good.scalars)[:-8]),
            replace(good, tensor=bytes(good.tensor)[:-3]),
        ):
            with pytest.raises((RangeError, MalformedMessage)):
                cohort.collection.receive(client, bad)

    check_exact(tampered_collection("r2", half), PARAMS, INPUTS, EVERYBODY)


def foreign_formats() -> dict[str, bytes]:
    """A vector in formats that must never be parsed."""
    plain, archive, zipped = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(plain, np.zeros(8))
    np.savez(archive, a=np.zeros(8))
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("a", bytes(48))
    return {
        "npy": plain.getvalue(),
        "npz": archive.getvalue(),
        "zip": zipped.getvalue(),
        "pickle": pickle.dumps([0] * 8),
        "text": b"[0, 0, 0, 0, 0, 0, 0, 0]",
    }


@pytest.mark.parametrize("name", ["npy", "npz", "zip", "pickle", "text"])
@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_57_foreign_formats(at: str, name: str) -> None:
    body = foreign_formats()[name]
    dropped(at, 2, lambda data: body, "FORMAT")
    dropped(at, 2, lambda data: data[:2] + body, "FORMAT")


def test_bad_input_57_a_pickle_is_not_run(tmp_path: object) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
            return pytest.fail, ("the pickle was run",)

    for at in ROUNDS:
        dropped(at, 2, lambda data: pickle.dumps(Bomb()), "FORMAT")


@pytest.mark.parametrize("count", [10**6, 2**20, 2**20 + 1, 2**32 - 1])
def test_bad_input_58_a_count_without_the_entries(count: int) -> None:
    """Nothing is allocated for a count; a vector has no header at all, its length is the session's."""
    floods = {
        "r1": Writer(0x13, 2).raw(bytes(32)).number(count, 4).finish(),
        "r4": raw_reply(KeysAdvertised(PublicKeys(b"\x09" + bytes(31), b"\x0a" + bytes(31))), [], count),
    }
    for at, flood in floods.items():
        with pytest.raises(MalformedMessage):
            parse(at, flood)

        def read(at: str = at, flood: bytes = flood) -> None:
            with pytest.raises(MalformedMessage):
                parse(at, flood)

        assert peak_while(read) < 100_000
        dropped(at, 2, lambda data, flood=flood: flood, "FORMAT")


def test_bad_input_58_a_long_vector_is_refused_without_a_copy() -> None:
    huge = bytes((0x15, 2)) + bytes(20_000_000)

    def read() -> None:
        with pytest.raises(MalformedMessage):
            InputMasked.from_bytes(huge, PARAMS)

    assert peak_while(read) < 100_000


@pytest.mark.parametrize("at", ROUNDS)
@pytest.mark.parametrize("extra", [b"\x00", b"loss=0.3", bytes(64)])
def test_bad_input_59_anything_more_in_a_reply(at: str, extra: bytes) -> None:
    dropped(at, 2, lambda data: data + extra, "FORMAT")


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_59_wrong_python_type_in_a_reply(at: str) -> None:
    for wrong in (None, True, 0, 1.0, "text", [], bytearray(b"\x11\x02")):
        with pytest.raises(MalformedMessage):
            parse(at, wrong)  # type: ignore[arg-type]


# r0 replies: the keys.


@pytest.mark.parametrize("part", ["mask", "channel"])
@pytest.mark.parametrize(
    "key",
    [
        bytes(32),
        b"\x01" + bytes(31),
        b"\xff" * 32,
        (2**255 - 19 + 9).to_bytes(32, "little"),
        b"\x09" + bytes(30) + b"\x80",
    ],
    ids=["zero", "one", "ones", "non-canonical", "top bit"],
)
def test_bad_input_17_key_of_low_order_or_not_canonical(key: bytes, part: str) -> None:
    """Dropped before anybody is shown it."""
    change = tampering(
        "r0", "up", 2,
        lambda data: KeysAdvertised(replace(KeysAdvertised.from_bytes(data).keys, **{part: key})).to_bytes(),
    )  # fmt: skip
    outcome = run_session(PARAMS, INPUTS, tamper=change)
    assert isinstance(outcome.refused["r0", 2], Misbehaviour)
    assert outcome.refused["r0", 2].code == "CRYPTO"
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY - {2})
    assert all(2 not in near for near in outcome.neighbours.values())


def test_bad_input_18_keys_of_31_or_33_bytes() -> None:
    for change in (lambda d: d[:-1], lambda d: d + b"\x00", lambda d: d[:34], lambda d: d[:2]):
        dropped("r0", 2, change, "FORMAT")


def test_bad_input_19_a_key_advertised_twice() -> None:
    first = Cohort(PARAMS, INPUTS)
    first.run()
    pair = KeysAdvertised.from_bytes(first.replies["r0", 1]).keys
    own = KeyPair.generate(ShakeEntropy("own")).public
    for keys in (pair, PublicKeys(pair.channel, own), PublicKeys(own, pair.mask), PublicKeys(own, own)):
        dropped("r0", 4, lambda data, keys=keys: KeysAdvertised(keys).to_bytes(), "CRYPTO")


# 62-65: how many are left.


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_62_everybody_replies_with_an_error(at: str) -> None:
    cohort = Cohort(PARAMS, INPUTS, tamper=lambda now, way, c, d: b"" if (now, way) == (at, "up") else d)
    outcome = cohort.run()
    assert isinstance(outcome.error, CohortTooSmall)
    assert outcome.error.code == "QUORUM"
    assert (outcome.error.survivors, outcome.error.threshold) == (0, 3)
    assert outcome.heard[at] == frozenset()
    assert {error.code for error in outcome.refused.values()} == {"FORMAT"}


@pytest.mark.parametrize("threshold", [3, 4])
@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_63_exactly_the_threshold_and_one_less(at: str, threshold: int) -> None:
    params = SecAggParams.complete(5, 24, 8, 3, threshold)
    for survivors in combinations(FIVE, threshold):
        drops = {client: at for client in FIVE if client not in survivors}
        outcome = run_session(params, INPUTS, drops)
        check_exact(outcome, params, INPUTS, EVERYBODY if at == "r4" else frozenset(survivors))
        outcome = run_session(params, INPUTS, drops | {survivors[0]: at})
        assert isinstance(outcome.error, CohortTooSmall)
        assert (outcome.error.survivors, outcome.error.threshold) == (threshold - 1, threshold)


@pytest.mark.parametrize("at", ROUNDS)
def test_bad_input_64_all_drop_and_the_next_session_is_whole(at: str) -> None:
    cohort = Cohort(PARAMS, INPUTS)
    for _ in range(3):
        outcome = cohort.run(dict.fromkeys(FIVE, at))
        assert isinstance(outcome.error, CohortTooSmall)
        assert outcome.unmasked is None
    check_exact(cohort.run(), PARAMS, INPUTS, EVERYBODY)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_bad_input_65_one_client_or_two(size: int) -> None:
    """No parameters admit them, and no session of a larger cohort closes with them."""
    with pytest.raises(ParameterError) as caught:
        SecAggParams.complete(size, 24, 8, 3)
    assert caught.value.code == "CONFIG"
    with pytest.raises(ParameterError):
        SecAggParams(5, 2, 4, size, 24, 8, 3)
    outcome = run_session(PARAMS, INPUTS, {client: "r0" for client in FIVE[size:]})
    assert isinstance(outcome.error, CohortTooSmall)


def test_more_clients_invited_than_the_headroom_is_proven_for() -> None:
    """The headroom of the modulus is proven for `params.cohort` clients. Clients refuse a larger cohort in r1
    (FORMAT, bad input 8), so no sum wraps, but the session is lost with a reason that misleads: the server
    should say so at once.
    """
    with pytest.raises(ParameterError):
        KeyCollection(Session(b"s" * 32, 1, PARAMS), range(1, 7))
