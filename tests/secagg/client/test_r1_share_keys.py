"""r1 and r2 at a client of an active session: a cohort of roster members whose keys are signed for this session."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from secagg.bounds import Adversary
from secagg.client.r1_share_keys import share_keys
from secagg.client.states import AwaitingCohort
from secagg.errors import ChorusError, Misbehaviour, NotAuthentic, Refused, SuspectServer
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import CohortAnnounced, KeysAdvertised, SharesDelivered, Vouched
from secagg.params import SecAggParams
from secagg.primitives import KeyPair
from secagg.signatory import Origin
from tests.support.cohort import CONFIG, MODEL, Cohort, ShakeEntropy, oracle_inputs, signing_key

CLIENTS = (1, 2, 3, 4, 5)
PARAMS = SecAggParams.complete(5, 24, 8, 3, 3, Adversary.ACTIVE)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    made = Cohort(PARAMS, oracle_inputs(CLIENTS, 8))
    assert made.run().error is None
    return made


def announced(cohort: Cohort) -> CohortAnnounced:
    return CohortAnnounced.from_bytes(cohort.requests["r1", 1])


def vouched(cohort: Cohort) -> Vouched:
    found = announced(cohort).vouched
    assert found is not None
    return found


def refusal(cohort: Cohort, shown: CohortAnnounced) -> ChorusError:
    return cohort.refusal("r1", 1, shown.to_bytes())


def standing_behind(cohort: Cohort, change: Callable[[Vouched], Vouched]) -> CohortAnnounced:
    return replace(announced(cohort), vouched=change(vouched(cohort)))


def numbered(cohort: Cohort, index: int, member: int) -> CohortAnnounced:
    """The cohort with another member's number at one index."""
    members = list(vouched(cohort).members)
    members[index - 1] = member
    return standing_behind(cohort, lambda v: replace(v, members=tuple(members)))


def strange_pair() -> PublicKeys:
    return PublicKeys(*(KeyPair.generate(ShakeEntropy(what)).public for what in ("mask", "channel")))


@pytest.mark.parametrize("peer", [2, 5])
def test_a_key_of_the_servers_own_is_signed_by_nobody(cohort: Cohort, peer: int) -> None:
    """The attack that the roster is for: one's neighbour is the server."""
    good = announced(cohort)
    keys = good.keys | {peer: strange_pair()}
    error = refusal(cohort, replace(good, keys=keys, cohort_digest=cohort_digest(keys)))
    assert isinstance(error, NotAuthentic)
    assert f"member {cohort.signatories[peer].number} of the roster" in str(error)


def test_a_signature_by_a_stranger_or_another_member_or_nobody_is_none(cohort: Cohort) -> None:
    good = vouched(cohort)
    for wrong in (bytes(64), good.signatures[3], signing_key("stranger").sign(b"m")):
        shown = standing_behind(
            cohort, lambda v, wrong=wrong: replace(v, signatures=v.signatures | {2: wrong})
        )
        assert isinstance(refusal(cohort, shown), NotAuthentic)


def test_keys_of_another_origin_are_old_keys(cohort: Cohort) -> None:
    """Signed by the right member with its right key, for another session or as sent ahead."""
    own, shown = cohort.signatories[2], announced(cohort)
    for origin in (Origin(b"o" * 32, False), Origin(b"o" * 32, True), Origin(cohort.session, True)):
        signature = own.vouch(shown.keys[2], origin).signature
        stale = standing_behind(
            cohort, lambda v, signature=signature: replace(v, signatures=v.signatures | {2: signature})
        )
        assert isinstance(refusal(cohort, stale), NotAuthentic)


def test_a_client_back_from_an_older_session_is_not_taken_for_a_current_one() -> None:
    """One session later everybody's keys come from session one, but client 2's server shows it session nought's."""
    cohort = Cohort(PARAMS, oracle_inputs(CLIENTS, 8))
    assert cohort.run().error is None
    older = KeysAdvertised.from_bytes(cohort.replies["r0", 2])
    assert older.credential is not None
    assert cohort.run().error is None
    shown = announced(cohort)
    keys = shown.keys | {2: older.keys}
    stale = replace(
        shown,
        keys=keys,
        cohort_digest=cohort_digest(keys),
        vouched=replace(
            vouched(cohort), signatures=vouched(cohort).signatures | {2: older.credential.signature}
        ),
    )
    assert isinstance(refusal(cohort, stale), NotAuthentic)


def test_another_roster_is_suspect(cohort: Cohort) -> None:
    error = refusal(cohort, standing_behind(cohort, lambda v: replace(v, roster=b"r" * 32)))
    assert isinstance(error, SuspectServer)
    assert "another roster than this client" in str(error)


def test_one_member_twice_is_suspect(cohort: Cohort) -> None:
    error = refusal(cohort, numbered(cohort, 3, cohort.signatories[2].number))
    assert isinstance(error, SuspectServer)
    assert "stands twice" in str(error)


def test_another_members_place_is_not_ones_own(cohort: Cohort) -> None:
    absent = 1
    error = refusal(cohort, numbered(cohort, 1, absent))
    assert isinstance(error, SuspectServer)
    assert "shown as another member" in str(error)


@pytest.mark.parametrize("member", [99, 2**32 - 1])
def test_somebody_who_is_not_in_the_roster_is_refused(cohort: Cohort, member: int) -> None:
    assert isinstance(refusal(cohort, numbered(cohort, 4, member)), NotAuthentic)


def test_a_member_whose_keys_are_not_its_own_is_refused(cohort: Cohort) -> None:
    absent = 2
    assert isinstance(refusal(cohort, numbered(cohort, 4, absent)), NotAuthentic)


def sparse_cohort() -> Cohort:
    clients = tuple(range(1, 13))
    return Cohort(SecAggParams(12, 4, 6, 7, 24, 15, 3, Adversary.ACTIVE), oracle_inputs(clients, 15))


def test_everybody_is_shown_the_whole_cohort_of_a_sparse_graph() -> None:
    cohort = sparse_cohort()
    outcome = cohort.run()
    assert outcome.error is None
    far = next(client for client in range(2, 13) if client not in outcome.neighbours[1])
    assert set(vouched(cohort).signatures) == set(range(1, 13))
    assert isinstance(refusal(cohort, numbered(cohort, far, 99)), NotAuthentic)
    near = next(iter(outcome.neighbours[1]))
    error = refusal(cohort, numbered(cohort, far, cohort.signatories[near].number))
    assert isinstance(error, SuspectServer)


def test_a_far_member_renamed_to_an_absent_one_did_not_sign_those_keys() -> None:
    cohort = sparse_cohort()
    outcome = cohort.run()
    far = next(client for client in range(2, 13) if client not in outcome.neighbours[1])
    absent = 1
    assert isinstance(refusal(cohort, numbered(cohort, far, absent)), NotAuthentic)


def test_a_session_of_the_other_kind_is_refused(cohort: Cohort) -> None:
    state = AwaitingCohort.from_bytes(cohort.states["r1", 1])
    with pytest.raises(Refused, match="no place in a roster"):
        share_keys(state, announced(cohort), MODEL, CONFIG, ShakeEntropy("x"))
    shown = announced(cohort)
    curious = replace(shown, session=replace(shown.session, params=SecAggParams.complete(5, 24, 8, 3, 3)))
    with pytest.raises(Refused, match="goes by a roster"):
        share_keys(
            state, replace(curious, vouched=None), MODEL, CONFIG, ShakeEntropy("x"), cohort.signatories[1]
        )


@pytest.mark.parametrize(
    ("colluders", "bad", "code"), [(0, 1, "CRYPTO"), (0, 2, "VIEW"), (2, 2, "CRYPTO"), (2, 3, "VIEW")]
)
def test_more_shares_that_do_not_open_than_there_are_colluders_are_the_servers_doing(
    colluders: int, bad: int, code: str
) -> None:
    params = SecAggParams.complete(7, 24, 10, 3, 5, Adversary.ACTIVE, colluders)
    cohort = Cohort(params, oracle_inputs(tuple(range(1, 8)), 10))
    assert cohort.run().error is None
    good = SharesDelivered.from_bytes(cohort.requests["r2", 1])
    garbled = {peer: bytes(len(good.sealed[peer])) for peer in sorted(good.sealed)[:bad]}
    error = cohort.refusal("r2", 1, replace(good, sealed=good.sealed | garbled).to_bytes())
    assert error.code == code
    if isinstance(error, Misbehaviour):
        assert error.culprit == 2
