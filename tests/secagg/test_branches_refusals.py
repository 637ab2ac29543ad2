"""Refusals of the protocol core, step by step, without transport: each message an honest side never sends.

The same attacks run through the whole stack in `tests/adversary`; here every branch of the pure steps is met by the
core's own tests.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from secagg.bounds import Adversary, derive_graph
from secagg.client.r0_advertise_keys import advertise_keys
from secagg.client.states import AwaitingCohort, AwaitingSignatures, AwaitingSurvivors, CarryingKeys
from secagg.errors import (
    ChorusError,
    CohortTooSmall,
    MalformedMessage,
    Misbehaviour,
    OutOfTurn,
    ParameterError,
    SuspectServer,
    Unrecoverable,
)
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import (
    CohortAnnounced,
    Invitation,
    KeysAdvertised,
    SharesDelivered,
    SharesRevealed,
    SharesSealed,
    session_named,
)
from secagg.params import SESSION_BYTES, SecAggParams, Session
from secagg.primitives import KeyPair, PrivateKey
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.server.r2_masked_input import InputCollection
from tests.support.cohort import Cohort, ShakeEntropy, oracle_inputs, tampering

CLIENTS = (1, 2, 3, 4, 5)
CURIOUS = SecAggParams.complete(5, 24, 8, 3, 3)
ACTIVE = SecAggParams.complete(5, 24, 8, 3, 3, Adversary.ACTIVE)
LOW_ORDER = bytes(32)
NOBODY = bytes(SESSION_BYTES)


def played(params: SecAggParams) -> Cohort:
    made = Cohort(params, oracle_inputs(CLIENTS, 8))
    assert made.run().error is None
    return made


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return played(CURIOUS)


def strange_pair(what: str = "a") -> PublicKeys:
    return PublicKeys(*(KeyPair.generate(ShakeEntropy(what, each)).public for each in ("mask", "channel")))


def shown(cohort: Cohort) -> CohortAnnounced:
    return CohortAnnounced.from_bytes(cohort.requests["r1", 1])


def with_keys(honest: CohortAnnounced, **keys: PublicKeys) -> CohortAnnounced:
    """Other keys for some clients (`client_2=...`), and the digest that belongs to them."""
    changed = honest.keys | {int(name.removeprefix("client_")): pair for name, pair in keys.items()}
    return replace(honest, keys=changed, cohort_digest=cohort_digest(changed))


COHORTS: list[tuple[Callable[[CohortAnnounced], CohortAnnounced], type[ChorusError], str]] = [
    (lambda c: replace(c, session=replace(c.session, identifier=NOBODY)), OutOfTurn, "no identifier"),
    (lambda c: replace(c, session=replace(c.session, identifier=b"o" * 32)), OutOfTurn, "another session"),
    (lambda c: with_keys(c, client_2=c.keys[3]), SuspectServer, "shown twice"),
    (lambda c: with_keys(c, client_1=strange_pair()), SuspectServer, "own keys are missing"),
    (
        lambda c: replace(c, advertised=2, keys={at: c.keys[at] for at in (1, 2)}),
        CohortTooSmall,
        "2 clients advertised keys, 3 are needed",
    ),
    (
        lambda c: with_keys(c, client_4=PublicKeys(LOW_ORDER, strange_pair().channel)),
        Misbehaviour,
        "peer 4: .* low order",
    ),
    (
        lambda c: with_keys(c, client_4=PublicKeys(strange_pair().mask, LOW_ORDER)),
        Misbehaviour,
        "peer 4: .* low order",
    ),
]


@pytest.mark.parametrize(("change", "error", "why"), COHORTS, ids=range(len(COHORTS)))
def test_a_cohort_that_no_honest_server_shows(
    cohort: Cohort,
    change: Callable[[CohortAnnounced], CohortAnnounced],
    error: type[ChorusError],
    why: str,
) -> None:
    with pytest.raises(error, match=why):
        raise cohort.refusal("r1", 1, change(shown(cohort)).to_bytes())


def test_carried_keys_do_not_serve_the_session_that_is_finished(cohort: Cohort) -> None:
    state = AwaitingCohort.from_bytes(cohort.states["r1", 1])
    carrying = CarryingKeys(cohort.session, state.keys).to_bytes()
    with pytest.raises(OutOfTurn, match="finished"):
        raise cohort.refusal("r1", 1, cohort.requests["r1", 1], kept=carrying)


def test_a_part_of_the_cohort_is_nothing_against_an_active_server() -> None:
    cohort = played(ACTIVE)
    honest = shown(cohort)
    assert honest.vouched is not None
    signatures = {at: each for at, each in honest.vouched.signatures.items() if at != 5}
    keys = {at: pair for at, pair in honest.keys.items() if at != 5}
    part = replace(honest, keys=keys, vouched=replace(honest.vouched, signatures=signatures))
    with pytest.raises(SuspectServer, match="a part of the cohort"):
        raise cohort.refusal("r1", 1, part.to_bytes())


DELIVERIES: list[tuple[Callable[[SharesDelivered], SharesDelivered], type[ChorusError], str]] = [
    (lambda d: replace(d, session=b"o" * 32), OutOfTurn, "another session"),
    (lambda d: replace(d, size=6), SuspectServer, "not of this cohort"),
    (lambda d: replace(d, sharers=d.sharers - {1}), SuspectServer, "not of this cohort"),
    (
        lambda d: replace(d, sealed={at: each for at, each in d.sealed.items() if at != 3}),
        SuspectServer,
        "not those of the neighbours",
    ),
    (
        lambda d: replace(d, sealed=d.sealed | {3: d.sealed[3][:-1] + bytes([d.sealed[3][-1] ^ 1])}),
        Misbehaviour,
        "peer 3 do not open: they are not the shares it bound itself to",
    ),
]


@pytest.mark.parametrize(("change", "error", "why"), DELIVERIES, ids=range(len(DELIVERIES)))
def test_shares_that_no_honest_server_delivers(
    cohort: Cohort,
    change: Callable[[SharesDelivered], SharesDelivered],
    error: type[ChorusError],
    why: str,
) -> None:
    honest = SharesDelivered.from_bytes(cohort.requests["r2", 1])
    with pytest.raises(error, match=why):
        raise cohort.refusal("r2", 1, change(honest).to_bytes())


def test_no_keys_are_made_for_a_session_without_an_identifier() -> None:
    with pytest.raises(OutOfTurn, match="no identifier"):
        advertise_keys(Invitation(Session(NOBODY, 1, CURIOUS)), ShakeEntropy("keys"))


def test_more_clients_than_the_headroom_was_proven_for() -> None:
    with pytest.raises(ParameterError, match="6 clients are invited, the parameters are for 5"):
        KeyCollection(Session(b"s" * 32, 1, CURIOUS), range(1, 7))


def test_keys_that_could_not_serve_are_kept_out_of_the_cohort() -> None:
    keys = KeyCollection(Session(b"s" * 32, 1, CURIOUS), CLIENTS)
    good = strange_pair()
    keys.receive(1, KeysAdvertised(good))
    for pair in (
        PublicKeys(LOW_ORDER, strange_pair("b").channel),
        PublicKeys(strange_pair("b").mask, LOW_ORDER),
    ):
        with pytest.raises(Misbehaviour, match="low order"):
            keys.receive(2, KeysAdvertised(pair))
    other = strange_pair("b")
    for pair in (PublicKeys(good.mask, other.channel), PublicKeys(other.mask, other.mask)):
        with pytest.raises(Misbehaviour, match="a key twice"):
            keys.receive(2, KeysAdvertised(pair))
    assert keys.heard == 1


def test_who_shares_with_others_than_its_neighbours_is_dropped() -> None:
    def fewer(data: bytes) -> bytes:
        sent = SharesSealed.from_bytes(data)
        return replace(sent, sealed={at: each for at, each in sent.sealed.items() if at != 3}).to_bytes()

    cohort = Cohort(CURIOUS, oracle_inputs(CLIENTS, 8), tamper=tampering("r1", "up", 2, fewer))
    outcome = cohort.run()
    assert isinstance(outcome.refused["r1", 2], MalformedMessage)
    assert outcome.unmasked is not None
    assert outcome.unmasked.survivors == (1, 3, 4, 5)


def test_who_reveals_other_shares_than_it_was_asked_for_is_not_heard() -> None:
    def fewer(data: bytes) -> bytes:
        sent = SharesRevealed.from_bytes(data)
        return replace(
            sent, self_mask={at: each for at, each in sent.self_mask.items() if at != 3}
        ).to_bytes()

    outcome = Cohort(CURIOUS, oracle_inputs(CLIENTS, 8), tamper=tampering("r4", "up", 2, fewer)).run()
    assert isinstance(outcome.refused["r4", 2], MalformedMessage)
    assert outcome.unmasked is not None
    assert outcome.unmasked.survivors == CLIENTS


@pytest.mark.parametrize("which", ["mask", "channel"])
def test_who_sends_a_next_key_that_could_not_serve_is_not_heard(which: str) -> None:
    def low(data: bytes) -> bytes:
        sent = SharesRevealed.from_bytes(data)
        keys = replace(sent.following.keys, **{which: LOW_ORDER})
        return replace(sent, following=KeysAdvertised(keys)).to_bytes()

    outcome = Cohort(CURIOUS, oracle_inputs(CLIENTS, 8), tamper=tampering("r4", "up", 2, low)).run()
    assert isinstance(outcome.refused["r4", 2], Misbehaviour)
    assert outcome.unmasked is not None
    assert set(outcome.unmasked.next_keys) == {1, 3, 4, 5}


def test_a_commitment_to_another_seed_ends_the_session_and_names_its_author() -> None:
    def other(data: bytes) -> bytes:
        return replace(SharesSealed.from_bytes(data), commitment=b"x" * 32).to_bytes()

    outcome = Cohort(CURIOUS, oracle_inputs(CLIENTS, 8), tamper=tampering("r1", "up", 2, other)).run()
    assert outcome.unmasked is None
    assert isinstance(outcome.error, Unrecoverable)
    assert outcome.error.culprit == 2


def test_fractions_that_no_dropout_could_mend_are_told_without_that_way() -> None:
    with pytest.raises(ParameterError) as refused:
        derive_graph(3, 0.9, 0.0, Adversary.CURIOUS, 40, 20)
    assert "dropout-fraction to" not in str(refused.value)
    assert "corrupt-fraction to" in str(refused.value)


def test_a_request_names_its_session_or_none(cohort: Cohort) -> None:
    assert session_named(cohort.requests["r2", 1]) == cohort.session
    assert session_named(cohort.requests["r2", 1][:33]) == b""


def test_a_private_key_hides_itself() -> None:
    assert repr(PrivateKey(b"\x01" * 32)) == "PrivateKey(<secret>)"


def test_a_quorum_that_was_missed_can_say_what_the_others_said() -> None:
    told = CohortTooSmall("sent a masked input", 2, 3).because("VIEW")
    assert (told.survivors, told.threshold) == (2, 3)
    assert "Most others said VIEW" in str(told)


def test_a_state_that_signed_knows_how_many_advertised() -> None:
    cohort = played(ACTIVE)
    state = AwaitingSignatures.from_bytes(cohort.states["r4", 1])
    assert state.advertised == AwaitingSurvivors.from_bytes(cohort.states["r3", 1]).advertised == 5


def test_survivors_in_two_parts_of_the_graph_stay_masked() -> None:
    """The neighbours of one client vanish before r2: its vector would come out alone."""
    params = SecAggParams(16, 2, 4, 3, 24, 20, 3)
    inputs = oracle_inputs(tuple(range(1, 17)), 20)
    neighbours = Cohort(params, inputs).run().neighbours[1]
    outcome = Cohort(params, inputs).run(dict.fromkeys(neighbours, "r2"))
    assert outcome.unmasked is None
    assert isinstance(outcome.error, CohortTooSmall)
    assert "in one connected part" in str(outcome.error)


def test_survivors_of_a_curious_session_are_not_announced_for_signatures(cohort: Cohort) -> None:
    collection = InputCollection(cohort.collection.agreement, {}, {})
    with pytest.raises(ParameterError, match="active server only"):
        collection.close_active()
