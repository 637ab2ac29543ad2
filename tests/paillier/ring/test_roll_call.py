"""The roll call: a number counts with its member's signature over this challenge alone."""

from dataclasses import replace

import pytest

from paillier.ring.roll_call import Present, RollCall, answer, check_present
from secagg.errors import MalformedMessage, NotAuthentic
from secagg.roster import Roster
from secagg.signatory import Signatory
from tests.paillier.hospitals import federation

ROSTER, KEYS = federation(4)
CALL = RollCall(b"c" * 32)
PRESENT = answer(CALL, Signatory.of(ROSTER, KEYS[1]))


def test_a_member_is_known_by_its_answer() -> None:
    assert PRESENT.member == 2
    check_present(ROSTER, CALL, PRESENT)
    check_present(ROSTER, RollCall.from_bytes(CALL.to_bytes()), Present.from_bytes(PRESENT.to_bytes()))


@pytest.mark.parametrize(
    "said",
    [
        replace(PRESENT, member=1), replace(PRESENT, member=9), replace(PRESENT, signature=bytes(64)),
        answer(RollCall(b"d" * 32), Signatory.of(ROSTER, KEYS[1])),
        answer(CALL, Signatory.of(Roster("another", 1, 0, ROSTER.members), KEYS[1])),
    ],
)  # fmt: skip
def test_nobody_takes_anothers_place(said: Present) -> None:
    with pytest.raises(NotAuthentic):
        check_present(ROSTER, CALL, said)


def test_a_revoked_member_is_not_present() -> None:
    members = (ROSTER.members[0], replace(ROSTER.members[1], revoked=True), *ROSTER.members[2:])
    roster = Roster("ring", 2, 0, members)
    said = Present(2, KEYS[1].sign(CALL.statement(roster.digest, 2)))
    with pytest.raises(NotAuthentic):
        check_present(roster, CALL, said)


@pytest.mark.parametrize("kind", [RollCall, Present])
def test_no_other_bytes_are_read(kind: type[RollCall] | type[Present]) -> None:
    data = (CALL if kind is RollCall else PRESENT).to_bytes()
    for other in (data[:-1], data + b"\0", b"\x60" + data[1:], b""):
        with pytest.raises(MalformedMessage):
            kind.from_bytes(other)
