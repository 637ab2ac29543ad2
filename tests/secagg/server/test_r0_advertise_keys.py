"""r0 at the server of an active session: roster members only, each once, with keys for this session."""

from dataclasses import replace

import pytest

from secagg.bounds import Adversary
from secagg.client.r0_advertise_keys import advertise_keys
from secagg.errors import NotAuthentic, ParameterError, Refused
from secagg.messages import Invitation, KeysAdvertised
from secagg.params import SecAggParams, Session
from secagg.roster import Member
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.signatory import Credential, Signatory
from tests.support.cohort import Cohort, ShakeEntropy, oracle_inputs, roster_of, signatories_of, signing_key

CLIENTS = (1, 2, 3, 4, 5)
PARAMS = SecAggParams.complete(5, 24, 8, 3, 3, Adversary.ACTIVE)
CURIOUS = SecAggParams.complete(5, 24, 8, 3, 3)
SESSION = Session(b"s" * 32, 1, PARAMS)
ROSTER = roster_of(CLIENTS)
PLACES = signatories_of(CLIENTS)


def advertised(client: int, session: Session = SESSION, place: Signatory | None = None) -> KeysAdvertised:
    entropy = ShakeEntropy(client, session.identifier)
    return advertise_keys(Invitation(session), entropy, place or PLACES[client])[1]


def test_members_are_taken_and_named_in_order() -> None:
    collection = KeyCollection(SESSION, CLIENTS, ROSTER)
    for client in reversed(CLIENTS):
        collection.receive(client, advertised(client))
    _, announced = collection.close(b"M" * 32, b"C" * 32)
    for message in announced.values():
        assert message.vouched is not None
        assert message.vouched.roster == ROSTER.digest
        assert message.vouched.members == tuple(PLACES[each].number for each in CLIENTS)
        credentials = {each: advertised(each).credential for each in CLIENTS}
        assert message.vouched.signatures == {
            each: credential.signature for each, credential in credentials.items() if credential
        }


def test_a_roster_and_an_active_session_go_together() -> None:
    with pytest.raises(ParameterError, match="has a roster, and no other"):
        KeyCollection(SESSION, CLIENTS)
    with pytest.raises(ParameterError, match="has a roster, and no other"):
        KeyCollection(Session(b"s" * 32, 1, CURIOUS), CLIENTS, ROSTER)


def test_unsigned_keys_are_refused() -> None:
    collection = KeyCollection(SESSION, CLIENTS, ROSTER)
    with pytest.raises(NotAuthentic, match="did not sign its keys"):
        collection.receive(1, KeysAdvertised(advertised(1).keys))
    assert collection.heard == 0


def test_keys_signed_by_a_stranger_or_for_another_session_are_refused() -> None:
    own = signing_key("stranger")
    strangers = replace(ROSTER, members=(Member("stranger", own.public), *ROSTER.members[1:]))
    good = advertised(1)
    assert good.credential is not None
    for wrong in (
        advertised(1, place=Signatory.of(strangers, own)),
        advertised(1, replace(SESSION, identifier=b"S" * 32)),
        replace(good, credential=Credential(PLACES[2].number, good.credential.signature)),
        replace(good, credential=Credential(99, good.credential.signature)),
        replace(good, credential=Credential(good.credential.member, bytes(64))),
        replace(good, keys=advertised(2).keys),
    ):
        collection = KeyCollection(SESSION, CLIENTS, ROSTER)
        with pytest.raises(NotAuthentic):
            collection.receive(1, wrong)
        collection.receive(1, good)


def test_a_member_takes_part_once() -> None:
    collection = KeyCollection(SESSION, CLIENTS, ROSTER)
    collection.receive(1, advertised(1))
    again = advertise_keys(Invitation(SESSION), ShakeEntropy("again"), PLACES[1])[1]
    with pytest.raises(NotAuthentic, match=f"member {PLACES[1].number} of the roster, who is here already"):
        collection.receive(2, again)


def test_a_revoked_member_is_refused() -> None:
    number = PLACES[1].number
    members = [replace(m, revoked=at == number) for at, m in enumerate(ROSTER.members, start=1)]
    collection = KeyCollection(SESSION, CLIENTS, replace(ROSTER, serial=2, members=tuple(members)))
    with pytest.raises(NotAuthentic, match="is revoked"):
        collection.receive(1, advertised(1))


def test_keys_sent_ahead_are_for_the_session_after_that_one_and_no_other() -> None:
    """And keys made for an invitation do not pass as sent ahead."""
    cohort = Cohort(PARAMS, oracle_inputs(CLIENTS, 8))
    assert cohort.run().error is None
    sent, finished = cohort.carried[1], cohort.session
    following = Session(b"n" * 32, 2, PARAMS)
    KeyCollection(following, CLIENTS, cohort.roster, finished).receive(1, sent)
    for ahead in (b"", b"n" * 32, b"o" * 32):
        with pytest.raises(NotAuthentic, match="not signed by it for this session"):
            KeyCollection(following, CLIENTS, cohort.roster, ahead).receive(1, sent)
    fresh = advertised(1, Session(finished, 1, PARAMS), cohort.signatories[1])
    with pytest.raises(NotAuthentic):
        KeyCollection(following, CLIENTS, cohort.roster, finished).receive(1, fresh)


def test_a_client_answers_no_invitation_of_the_other_kind() -> None:
    with pytest.raises(Refused, match="no place in a roster"):
        advertise_keys(Invitation(SESSION), ShakeEntropy("x"))
    with pytest.raises(Refused, match="goes by a roster"):
        advertise_keys(Invitation(Session(b"s" * 32, 1, CURIOUS)), ShakeEntropy("x"), PLACES[1])
