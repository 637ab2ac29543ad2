"""r3 and r4 at a client of an active session: what it signs, and whose signatures move it to reveal a share."""

from dataclasses import replace
from typing import Any

import pytest

from secagg.bounds import Adversary
from secagg.client.r3_consistency_check import sign_survivors
from secagg.client.r4_unmasking import reveal_shares
from secagg.client.states import AwaitingSignatures, AwaitingSurvivors
from secagg.errors import ChorusError, CohortTooSmall, OutOfTurn, SuspectServer
from secagg.messages import SharesRevealed, SurvivorsAnnounced, SurvivorsSigned, UnmaskingRequested
from secagg.params import SecAggParams
from secagg.signatory import Origin, check_vouched, is_endorsed
from tests.support.cohort import Cohort, ShakeEntropy, oracle_inputs

CLIENTS = (1, 2, 3, 4, 5)
PARAMS = SecAggParams.complete(5, 24, 8, 3, 3, Adversary.ACTIVE)
SURVIVORS = frozenset({1, 2, 3, 4})


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """A complete session in which client 5 was dropped at r2; client 4 signed and then fell silent."""
    made = Cohort(PARAMS, oracle_inputs(CLIENTS, 8))
    assert made.run({5: "r2", 4: "r4"}).error is None
    return made


def told(cohort: Cohort, client: int = 1) -> AwaitingSurvivors:
    return AwaitingSurvivors.from_bytes(cohort.states["r3", client])


def signed(cohort: Cohort) -> AwaitingSignatures:
    return AwaitingSignatures.from_bytes(cohort.states["r4", 1])


def announced(cohort: Cohort) -> SurvivorsAnnounced:
    return SurvivorsAnnounced.from_bytes(cohort.requests["r3", 1])


def requested(cohort: Cohort) -> UnmaskingRequested:
    return UnmaskingRequested.from_bytes(cohort.requests["r4", 1])


def refusal(cohort: Cohort, request: UnmaskingRequested) -> ChorusError:
    return cohort.refusal("r4", 1, request.to_bytes())


def test_a_client_signs_what_it_was_told_under_its_own_name(cohort: Cohort) -> None:
    state, reply = sign_survivors(told(cohort), announced(cohort), cohort.signatories[1])
    assert state == AwaitingSignatures(told(cohort), SURVIVORS)
    assert reply.to_bytes() == cohort.replies["r3", 1]
    assert cohort.roster is not None
    member = cohort.signatories[1].number
    assert is_endorsed(cohort.roster, member, told(cohort).view(SURVIVORS), reply.signature)
    for other in (SURVIVORS - {4}, SURVIVORS | {5}):
        assert not is_endorsed(cohort.roster, member, told(cohort).view(other), reply.signature)


def test_every_client_of_a_session_signs_one_view(cohort: Cohort) -> None:
    assert cohort.roster is not None
    for client in (2, 3, 4):
        signature = SurvivorsSigned.from_bytes(cohort.replies["r3", client]).signature
        member = cohort.signatories[client].number
        assert is_endorsed(cohort.roster, member, told(cohort).view(SURVIVORS), signature)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"session": bytes(32)}, OutOfTurn),
        ({"size": 4}, SuspectServer),
        ({"size": 6}, SuspectServer),
        ({"survivors": frozenset({2, 3, 4})}, SuspectServer),
        ({"survivors": frozenset()}, SuspectServer),
        ({"survivors": frozenset({1, 2})}, CohortTooSmall),
    ],
    ids=["session", "fewer", "more", "dropped", "nobody", "two"],
)
def test_nothing_is_signed_that_no_honest_server_says(
    cohort: Cohort, change: dict[str, Any], kind: type[ChorusError]
) -> None:
    with pytest.raises(kind):
        sign_survivors(told(cohort), replace(announced(cohort), **change), cohort.signatories[1])


def test_nobody_is_signed_for_who_never_shared_keys() -> None:
    cohort = Cohort(PARAMS, oracle_inputs(CLIENTS, 8))
    assert cohort.run({5: "r1"}).error is None
    with pytest.raises(SuspectServer, match="not of those that shared keys"):
        sign_survivors(
            told(cohort), replace(announced(cohort), survivors=frozenset(CLIENTS)), cohort.signatories[1]
        )


def test_a_reveal_needs_the_signatures_of_as_many_as_the_threshold(cohort: Cohort) -> None:
    good = requested(cohort)
    assert set(good.signatures) == SURVIVORS
    for who in (SURVIVORS, {1, 2, 3}, {2, 3, 4}):
        some = replace(good, signatures={index: good.signatures[index] for index in who})
        _, reply = reveal_shares(signed(cohort), some, ShakeEntropy("next"), cohort.signatories[1])
        assert set(reply.self_mask) == SURVIVORS
        assert set(reply.mask_key) == {5}
    for who in ({1, 2}, {2, 3}, {1}, set[int]()):
        few = replace(good, signatures={index: good.signatures[index] for index in who})
        error = refusal(cohort, few)
        assert isinstance(error, SuspectServer)
        assert f"{len(who)} clients signed who survived, 3 are needed" in str(error)


def test_the_keys_for_the_next_session_are_signed_as_sent_ahead(cohort: Cohort) -> None:
    assert cohort.roster is not None
    following = SharesRevealed.from_bytes(cohort.replies["r4", 1]).following
    assert following.credential is not None
    check_vouched(cohort.roster, following.keys, following.credential, Origin(cohort.session, ahead=True))
    with pytest.raises(ChorusError):
        check_vouched(
            cohort.roster, following.keys, following.credential, Origin(cohort.session, ahead=False)
        )


def test_one_signature_on_another_list_ends_it(cohort: Cohort) -> None:
    """Whoever was told of other survivors: the client learns that the server said two things."""
    good = requested(cohort)
    other = cohort.signatories[3].endorse(told(cohort, 3).view(SURVIVORS - {4}))
    for signature in (other, bytes(64), good.signatures[2]):
        error = refusal(cohort, replace(good, signatures=good.signatures | {3: signature}))
        assert isinstance(error, SuspectServer)
        assert f"member {cohort.signatories[3].number} of the roster" in str(error)


def test_no_signature_of_another_session_counts(cohort: Cohort) -> None:
    other = Cohort(PARAMS, oracle_inputs(CLIENTS, 8), seed="another")
    assert other.run({5: "r2"}).error is None
    error = refusal(cohort, replace(requested(cohort), signatures=requested(other).signatures))
    assert isinstance(error, SuspectServer)


@pytest.mark.parametrize("survivors", [{1, 2, 3}, {1, 2, 3, 4, 5}, {1, 2, 4}])
def test_other_survivors_than_one_signed_are_not_unmasked(cohort: Cohort, survivors: set[int]) -> None:
    """Though everybody else signed them."""
    view = told(cohort).view(frozenset(survivors))
    signatures = {client: cohort.signatories[client].endorse(view) for client in survivors}
    error = refusal(cohort, UnmaskingRequested(cohort.session, 5, frozenset(survivors), signatures))
    assert isinstance(error, SuspectServer)
    assert "not the survivors this client signed" in str(error)


def test_the_dropped_do_not_sign(cohort: Cohort) -> None:
    good = requested(cohort)
    fifth = cohort.signatories[5].endorse(told(cohort).view(SURVIVORS))
    error = refusal(cohort, replace(good, signatures=good.signatures | {5: fifth}))
    assert isinstance(error, SuspectServer)
    assert "did not survive" in str(error)


def test_a_client_that_has_not_signed_reveals_nothing(cohort: Cohort) -> None:
    with pytest.raises(OutOfTurn, match="has not signed who survived"):
        reveal_shares(told(cohort), requested(cohort), ShakeEntropy("next"), cohort.signatories[1])


def test_a_client_that_lost_its_place_reveals_nothing(cohort: Cohort) -> None:
    with pytest.raises(OutOfTurn):
        reveal_shares(signed(cohort), requested(cohort), ShakeEntropy("next"), None)


def test_a_second_announcement_finds_another_state(cohort: Cohort) -> None:
    """Two lists cannot both be signed: the state that signs is gone after the first."""
    second = replace(announced(cohort), survivors=frozenset({1, 2, 3})).to_bytes()
    assert cohort.refusal("r3", 1, second, cohort.states["r4", 1]).code == "FORMAT"
