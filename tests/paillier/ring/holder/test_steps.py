"""The key holder's side: whom it invites, whom it names as dropped, what it does not carry."""

from dataclasses import replace

import pytest

from arithmetic.errors import ParameterError
from paillier.errors import HospitalDropped
from paillier.packing import Packing
from paillier.ring.holder.r0_open import open_ring, restart
from paillier.ring.holder.r1_circulate import circulate, pass_on, propose
from paillier.ring.hospital.r0_join import join
from paillier.ring.hospital.r1_reveal import reveal
from paillier.ring.messages import HopSealed, Joined, Revealed
from secagg.errors import CohortTooSmall, NotAuthentic, OutOfTurn
from secagg.roster import Roster
from secagg.signatory import Signatory
from tests.paillier.hospitals import PACKING, PAIR, SUBJECT, federation
from tests.support.streams import stream

ROSTER, KEYS = federation(4)
PLACES = {number: Signatory.of(ROSTER, key) for number, key in enumerate(KEYS, start=1)}
STATE, INVITATION = open_ring(ROSTER, [4, 2, 1, 3], 7, SUBJECT, PAIR.public, PACKING, stream(1))
TERMS = STATE.terms
JOINED = {who: join(INVITATION, place, PAIR.public.digest, stream(10 + who)) for who, place in PLACES.items()}
ANSWERS = {who: answer for who, (_, answer) in JOINED.items()}
REVEALING, PROPOSED = propose(STATE, ANSWERS)
NONCES = {who: reveal(state, PROPOSED, PLACES[who])[1] for who, (state, _) in JOINED.items()}


def test_members_are_invited_in_ascending_order_to_a_session_of_their_own() -> None:
    assert TERMS.members == (1, 2, 3, 4)
    assert (
        open_ring(ROSTER, [1, 2, 3], 7, SUBJECT, PAIR.public, PACKING, stream(2))[0].terms.session
        != TERMS.session
    )


@pytest.mark.parametrize("members", [[], [1, 2], [1, 2, 2], [1, 1, 2, 3]])
def test_fewer_than_three_or_one_twice_make_no_ring(members: list[int]) -> None:
    with pytest.raises(ParameterError):
        open_ring(ROSTER, members, 7, SUBJECT, PAIR.public, PACKING, stream(1))


def test_strangers_and_revoked_members_are_not_invited() -> None:
    with pytest.raises(NotAuthentic):
        open_ring(ROSTER, [1, 2, 5], 7, SUBJECT, PAIR.public, PACKING, stream(1))
    members = tuple(replace(each, revoked=number == 3) for number, each in enumerate(ROSTER.members, start=1))
    with pytest.raises(NotAuthentic):
        open_ring(Roster("ring", 2, 0, members), [1, 2, 3, 4], 7, SUBJECT, PAIR.public, PACKING, stream(1))


def test_a_packing_for_fewer_than_are_invited_makes_no_ring() -> None:
    with pytest.raises(ParameterError):
        open_ring(ROSTER, [1, 2, 3, 4], 7, SUBJECT, PAIR.public, Packing(4, 3, 1, 1, 2048), stream(1))


BAD_JOINS: dict[str, Joined] = {
    "another member's": ANSWERS[3],
    "its own under another's number": replace(ANSWERS[2], member=3),
    "another key": replace(ANSWERS[2], channel=ANSWERS[3].channel),
    "a key of low order": replace(ANSWERS[2], channel=bytes(32)),
    "another commitment": replace(ANSWERS[2], commitment=b"c" * 32),
    "no signature": replace(ANSWERS[2], signature=bytes(64)),
}


@pytest.mark.parametrize("name", [*BAD_JOINS, "none"])
def test_who_does_not_join_rightly_is_named(name: str) -> None:
    answers = {who: answer for who, answer in ANSWERS.items() if who != 2}
    if name in BAD_JOINS:
        answers[2] = BAD_JOINS[name]
    with pytest.raises(HospitalDropped) as caught:
        propose(STATE, answers)
    assert caught.value.dropped == {2}
    assert caught.value.code == "QUORUM"


BAD_REVEALS: dict[str, Revealed] = {
    "another member's": NONCES[3],
    "another nonce": replace(NONCES[2], nonce=b"n" * 32),
    "no signature": replace(NONCES[2], signature=bytes(64)),
}


@pytest.mark.parametrize("name", [*BAD_REVEALS, "none"])
def test_who_does_not_reveal_rightly_is_named(name: str) -> None:
    answers = {who: answer for who, answer in NONCES.items() if who not in (2, 4)}
    if name in BAD_REVEALS:
        answers[2] = BAD_REVEALS[name]
    with pytest.raises(HospitalDropped) as caught:
        circulate(REVEALING, answers)
    assert caught.value.dropped == {2, 4}


def test_the_sum_is_carried_from_place_to_place_and_no_further() -> None:
    state, request = circulate(REVEALING, NONCES)
    assert request.sealed == b""
    turns = [state.turn]
    for hop in (b"one", b"two", b"three"):
        state, request = pass_on(state, HopSealed(TERMS.session, hop))
        assert request.sealed == hop
        turns.append(state.turn)
    assert tuple(turns) == state.circle.order
    assert state.is_last
    with pytest.raises(OutOfTurn):
        pass_on(state, HopSealed(TERMS.session, b"four"))


def test_a_hop_of_another_session_is_not_carried() -> None:
    state, _ = circulate(REVEALING, NONCES)
    with pytest.raises(OutOfTurn):
        pass_on(state, HopSealed(b"t" * 32, b"one"))


def test_a_restart_has_another_session_and_names_whom_it_skips() -> None:
    for old in (STATE, REVEALING, circulate(REVEALING, NONCES)[0]):
        state, message = restart(old, [3], stream(9))
        assert state.terms.members == (1, 2, 4)
        assert state.terms.session != TERMS.session
        assert (message.failed, message.skipped, message.terms) == (TERMS.session, (3,), state.terms)


@pytest.mark.parametrize("dropped", [[], [5], [1, 5], [0]])
def test_only_members_drop(dropped: list[int]) -> None:
    with pytest.raises(ParameterError):
        restart(STATE, dropped, stream(9))


@pytest.mark.parametrize("dropped", [[1, 2], [1, 2, 3], [1, 2, 3, 4]])
def test_fewer_than_three_left_end_the_server_round(dropped: list[int]) -> None:
    with pytest.raises(CohortTooSmall) as caught:
        restart(STATE, dropped, stream(9))
    assert caught.value.survivors == 4 - len(dropped)
