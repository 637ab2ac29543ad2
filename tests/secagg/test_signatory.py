"""What members sign: every field of a statement changes it, and only members that count are believed."""

import dataclasses

import pytest

from secagg.errors import NotAuthentic
from secagg.keys import PublicKeys
from secagg.roster import Member, Roster
from secagg.signatory import Credential, Origin, Signatory, View, check_vouched, is_endorsed, standing
from tests.support.cohort import signing_key

SIGNERS = [signing_key(number) for number in range(4)]
MEMBERS = tuple(Member(f"client-{number}", key.public) for number, key in enumerate(SIGNERS))
ROSTER = Roster("federation", 1, 0, MEMBERS)
OTHER_ROSTER = dataclasses.replace(ROSTER, serial=2)
SECOND = Signatory.of(ROSTER, SIGNERS[1])
KEYS = PublicKeys(b"m" * 32, b"c" * 32)
ORIGIN = Origin(b"s" * 32, ahead=False)
VIEW = View(b"x" * 32, 5, frozenset({1, 2, 3, 5}), frozenset({1, 2, 5}))


def test_a_place_is_that_of_ones_key() -> None:
    assert SECOND.number == 2
    with pytest.raises(NotAuthentic):
        Signatory.of(ROSTER, signing_key("stranger"))
    revoked = dataclasses.replace(
        ROSTER, members=(MEMBERS[0], dataclasses.replace(MEMBERS[1], revoked=True), *MEMBERS[2:])
    )
    with pytest.raises(NotAuthentic, match="revoked"):
        Signatory.of(revoked, SIGNERS[1])


def test_a_place_hides_its_key() -> None:
    assert "_key" not in repr(SECOND)
    assert "SigningKey" not in repr(SECOND)


def test_what_a_member_vouches_for_is_accepted() -> None:
    credential = SECOND.vouch(KEYS, ORIGIN)
    assert credential.member == 2
    check_vouched(ROSTER, KEYS, credential, ORIGIN)


@pytest.mark.parametrize(
    ("roster", "keys", "member", "origin"),
    [
        (OTHER_ROSTER, KEYS, 2, ORIGIN),
        (ROSTER, PublicKeys(b"M" * 32, b"c" * 32), 2, ORIGIN),
        (ROSTER, PublicKeys(b"m" * 32, b"C" * 32), 2, ORIGIN),
        (ROSTER, PublicKeys(b"c" * 32, b"m" * 32), 2, ORIGIN),
        (ROSTER, KEYS, 1, ORIGIN),
        (ROSTER, KEYS, 3, ORIGIN),
        (ROSTER, KEYS, 2, Origin(b"S" * 32, ahead=False)),
        (ROSTER, KEYS, 2, Origin(b"s" * 32, ahead=True)),
    ],
    ids=["roster", "mask", "channel", "swapped", "member-1", "member-3", "session", "role"],
)
def test_a_credential_is_for_one_roster_member_session_role_and_pair_of_keys(
    roster: Roster, keys: PublicKeys, member: int, origin: Origin
) -> None:
    signature = SECOND.vouch(KEYS, ORIGIN).signature
    with pytest.raises(NotAuthentic, match=f"member {member} of the roster are not signed by it"):
        check_vouched(roster, keys, Credential(member, signature), origin)


@pytest.mark.parametrize("number", [0, 5, 2**32 - 1])
def test_a_credential_of_nobody_is_refused(number: int) -> None:
    with pytest.raises(NotAuthentic, match="there is no member"):
        check_vouched(ROSTER, KEYS, Credential(number, SECOND.vouch(KEYS, ORIGIN).signature), ORIGIN)


def test_a_revoked_members_credential_is_refused() -> None:
    """Even one that is signed for the roster in which it is revoked."""
    gone = dataclasses.replace(
        ROSTER, members=(MEMBERS[0], dataclasses.replace(MEMBERS[1], revoked=True), *MEMBERS[2:])
    )
    credential = Signatory(gone, 2, SIGNERS[1]).vouch(KEYS, ORIGIN)
    with pytest.raises(NotAuthentic, match="member 2 of the roster is revoked"):
        check_vouched(gone, KEYS, credential, ORIGIN)
    with pytest.raises(NotAuthentic, match="revoked"):
        is_endorsed(gone, 2, VIEW, SECOND.endorse(VIEW))


def test_what_a_member_endorses_is_accepted() -> None:
    assert is_endorsed(ROSTER, 2, VIEW, SECOND.endorse(VIEW))


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(VIEW, context=b"X" * 32),
        dataclasses.replace(VIEW, size=9),
        dataclasses.replace(VIEW, sharers=frozenset({1, 2, 3, 4, 5})),
        dataclasses.replace(VIEW, sharers=frozenset({1, 2, 5})),
        dataclasses.replace(VIEW, survivors=frozenset({1, 2, 3, 5})),
        dataclasses.replace(VIEW, survivors=frozenset({1, 2})),
        dataclasses.replace(VIEW, survivors=frozenset({1, 3, 5})),
        dataclasses.replace(VIEW, sharers=VIEW.survivors, survivors=VIEW.sharers),
    ],
    ids=["context", "size", "more-sharers", "fewer-sharers", "more", "fewer", "others", "swapped"],
)
def test_a_signature_is_on_one_view(other: View) -> None:
    assert not is_endorsed(ROSTER, 2, other, SECOND.endorse(VIEW))


def test_a_signature_is_one_members() -> None:
    """Nobody's signature can be shown as that of another, also where two numbers have one key behind them."""
    signature = SECOND.endorse(VIEW)
    assert not is_endorsed(ROSTER, 1, VIEW, signature)
    assert VIEW.statement(1) != VIEW.statement(2)


def test_a_signature_on_keys_is_none_on_survivors() -> None:
    assert not is_endorsed(ROSTER, 2, VIEW, SECOND.vouch(KEYS, ORIGIN).signature)


def test_the_standing_is_of_the_roster_and_of_every_member_in_order() -> None:
    stand = standing(ROSTER.digest, (1, 2, 3))
    others = [
        standing(OTHER_ROSTER.digest, (1, 2, 3)),
        standing(ROSTER.digest, (1, 3, 2)),
        standing(ROSTER.digest, (1, 2)),
        standing(ROSTER.digest, (1, 2, 3, 4)),
        standing(ROSTER.digest, (1, 2, 4)),
        standing(ROSTER.digest, ()),
    ]
    assert len({stand, *others}) == 1 + len(others)
    assert len(stand) == 32
