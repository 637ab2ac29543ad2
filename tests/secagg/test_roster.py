"""A roster: what nobody should sign, what its signature covers, and who counts."""

import dataclasses
from typing import Any

import pytest

from arithmetic.errors import ParameterError
from secagg.errors import NotAuthentic
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from tests.support.cohort import signing_key

AUTHORITY = signing_key("authority")
KEYS = [signing_key(number) for number in range(4)]
MEMBERS = tuple(Member(f"hospital-{number}", key.public) for number, key in enumerate(KEYS))
ROSTER = Roster("federation", 3, 2_000_000_000, MEMBERS)
SIGNATURE = ROSTER.sign(AUTHORITY)
REVOKED = dataclasses.replace(
    ROSTER, serial=4, members=(MEMBERS[0], dataclasses.replace(MEMBERS[1], revoked=True), *MEMBERS[2:])
)


def with_member(number: int, **changed: Any) -> tuple[Member, ...]:
    members = list(MEMBERS)
    members[number - 1] = dataclasses.replace(members[number - 1], **changed)
    return tuple(members)


# ---- what nobody should sign


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"serial": 0}, "serial of the roster"),
        ({"serial": 2**32}, "serial of the roster"),
        ({"serial": True}, "serial of the roster"),
        ({"not_after": -1}, "not-after of the roster"),
        ({"not_after": 2**40 + 1}, "not-after of the roster"),
        ({"not_after": 1.5}, "not-after of the roster"),
        ({"members": MEMBERS[:2]}, "members of the roster"),
        ({"members": ()}, "members of the roster"),
        ({"federation": ""}, "no name in a roster"),
        ({"federation": "two words"}, "no name in a roster"),
        ({"members": with_member(2, name="hospital-0")}, "a name stands twice"),
        ({"members": with_member(2, key=KEYS[0].public)}, "a key stands twice"),
    ],
)
def test_a_roster_that_cannot_work_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        dataclasses.replace(ROSTER, **change)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a\x00", "caf\u00e9", "x" * 65, "\x7f", "\t"])
def test_names_are_printable_ascii_without_spaces(name: str) -> None:
    with pytest.raises(ParameterError, match="no name in a roster") as refused:
        dataclasses.replace(ROSTER, members=with_member(1, name=name))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["x", "x" * 64, "!~", "a/b@c"])
def test_names_at_the_limits_pass(name: str) -> None:
    assert dataclasses.replace(ROSTER, members=with_member(1, name=name)).members[0].name == name


@pytest.mark.parametrize(
    "key", [bytes(32), b"\x01" + bytes(31), bytes(31), bytes(33), b"\xff" * 32, b"\x02" + bytes(31)],
    ids=["order-4", "order-1", "short", "long", "not-canonical", "no-point"],
)  # fmt: skip
def test_a_key_that_could_not_serve_is_refused_and_its_member_named(key: bytes) -> None:
    with pytest.raises(ParameterError, match=r"member hospital-2: .*; let it make a new one"):
        dataclasses.replace(ROSTER, members=with_member(3, key=key))


def test_three_members_are_enough() -> None:
    assert Roster("f", 1, 0, MEMBERS[:3]).number_of(KEYS[2].public) == 3


# ---- the signature


def test_the_authoritys_signature_is_accepted() -> None:
    ROSTER.check_signed(AUTHORITY.public, SIGNATURE)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(ROSTER, federation="another"),
        dataclasses.replace(ROSTER, serial=4),
        dataclasses.replace(ROSTER, not_after=0),
        dataclasses.replace(ROSTER, members=MEMBERS[:3]),
        dataclasses.replace(ROSTER, members=(MEMBERS[1], MEMBERS[0], *MEMBERS[2:])),
        dataclasses.replace(ROSTER, members=with_member(4, name="hospital-9")),
        dataclasses.replace(ROSTER, members=with_member(4, key=signing_key("new").public)),
        dataclasses.replace(ROSTER, members=with_member(4, revoked=True)),
    ],
    ids=["federation", "serial", "not-after", "fewer", "order", "name", "key", "revoked"],
)
def test_the_signature_covers_every_field(other: Roster) -> None:
    assert other.digest != ROSTER.digest
    assert other.fingerprint != ROSTER.fingerprint
    with pytest.raises(NotAuthentic, match="not that of the authority"):
        other.check_signed(AUTHORITY.public, SIGNATURE)


def test_another_signer_and_another_signature_are_refused() -> None:
    stranger = SigningKey(bytes(32))
    for key, signature in (
        (AUTHORITY.public, ROSTER.sign(stranger)),
        (stranger.public, SIGNATURE),
        (AUTHORITY.public, bytes(64)),
        (AUTHORITY.public, SIGNATURE[:-1]),
        (bytes(32), SIGNATURE),
        (AUTHORITY.public, AUTHORITY.sign(ROSTER.to_bytes())),
    ):
        with pytest.raises(NotAuthentic) as refused:
            ROSTER.check_signed(key, signature)
        assert refused.value.code == "AUTH"


def test_names_and_keys_cannot_be_read_as_one_another() -> None:
    """The canonical form by hand: what is signed has one reading."""
    expected = b"\x30\x01" + b"\x0afederation" + (3).to_bytes(4, "big") + (2_000_000_000).to_bytes(8, "big")
    expected += (4).to_bytes(4, "big")
    for number, member in enumerate(REVOKED.members):
        expected += b"\x0a" + f"hospital-{number}".encode() + member.key + bytes([number == 1])
    assert REVOKED.to_bytes() == expected.replace((3).to_bytes(4, "big"), (4).to_bytes(4, "big"), 1)


def test_the_fingerprint_is_a_hundred_bits_of_the_digest_in_groups_of_four() -> None:
    groups = ROSTER.fingerprint.split("-")
    assert [len(group) for group in groups] == [4] * 5
    bits = "".join(f"{byte:08b}" for byte in ROSTER.digest)[:100]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648, section 6
    assert "".join(f"{alphabet.index(letter):05b}" for letter in "".join(groups)) == bits


# ---- who counts


def test_members_are_numbered_by_their_place() -> None:
    for number, key in enumerate(KEYS, start=1):
        assert ROSTER.number_of(key.public) == number
        assert ROSTER.member(number) == MEMBERS[number - 1]


@pytest.mark.parametrize("number", [0, -1, 5, 2**32 - 1])
def test_a_number_that_nobody_has_is_refused(number: int) -> None:
    with pytest.raises(NotAuthentic, match="there is no member"):
        ROSTER.member(number)


def test_a_stranger_and_a_revoked_member_are_refused_and_numbers_do_not_move() -> None:
    with pytest.raises(NotAuthentic, match="not in the roster"):
        ROSTER.number_of(signing_key("stranger").public)
    with pytest.raises(NotAuthentic, match="member 2 of the roster is revoked"):
        REVOKED.number_of(KEYS[1].public)
    with pytest.raises(NotAuthentic, match="revoked"):
        REVOKED.member(2)
    assert REVOKED.number_of(KEYS[2].public) == 3


def test_a_roster_expires_at_its_second() -> None:
    ROSTER.check_time(1_999_999_999.9)
    for late in (2_000_000_000, 2_000_000_000.5, 2**40):
        with pytest.raises(NotAuthentic, match="expired"):
            ROSTER.check_time(late)
    dataclasses.replace(ROSTER, not_after=0).check_time(2.0**40)


def test_serial_and_expiry_go_up_to_what_their_fields_hold() -> None:
    assert Roster("f", 2**32 - 1, 2**40, MEMBERS).to_bytes()
    for serial, not_after in ((2**32, 0), (0, 0), (1, 2**40 + 1), (1, -1)):
        with pytest.raises(ParameterError):
            Roster("f", serial, not_after, MEMBERS)
