"""The file of a roster, numbered as in the list of bad inputs (78): one sentence for each way to be none."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from arithmetic.errors import ChorusError
from secagg.errors import NotAuthentic
from secagg.roster import Member, Roster
from tests.support.cohort import signing_key
from wire import roster_file
from wire.roster_file import RosterUnusable, parse_roster, roster_text

AUTHORITY = signing_key("authority")
MEMBERS = tuple(Member(f"client-{number}", signing_key(number).public) for number in range(3))
ROSTER = Roster("federation", 7, 2_000_000_000, MEMBERS)
GOOD = roster_text(ROSTER, AUTHORITY)


def parsed(data: str | bytes) -> Roster:
    return parse_roster(data.encode() if isinstance(data, str) else data, AUTHORITY.public)


def refused(data: str | bytes, kind: type[ChorusError] = RosterUnusable) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(kind) as caught:
        parsed(data)
    said = str(caught.value)
    assert "\n" not in said
    assert "Traceback" not in said
    return said


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    table = json.loads(GOOD)
    change(table)
    return json.dumps(table)


def resigned(table: dict[str, Any]) -> str:
    """A file whose signature is right, whatever is in it."""
    members = tuple(Member(m["name"], bytes.fromhex(m["key"]), m["revoked"]) for m in table["members"])
    roster = Roster(table["federation"], table["serial"], table["not-after"], members)
    return json.dumps(table | {"signature": roster.sign(AUTHORITY).hex()})


def test_a_roster_goes_to_its_file_and_back() -> None:
    assert parsed(GOOD) == ROSTER
    assert GOOD.endswith("\n")
    assert list(json.loads(GOOD)) == ["federation", "serial", "not-after", "members", "signature"]


def test_what_is_left_out_is_what_it_usually_is() -> None:
    forever = Roster("federation", 7, 0, MEMBERS)
    table = json.loads(roster_text(forever, AUTHORITY))
    del table["not-after"]
    for member in table["members"]:
        del member["revoked"]
    assert parsed(json.dumps(table)) == forever


def test_the_layout_of_the_file_is_nobodys_business() -> None:
    """The signature is on what the file says, not on its spaces."""
    assert parsed(json.dumps(json.loads(GOOD), sort_keys=True)) == ROSTER


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"roster", b"\xff\xfe", b"{", b"[" * 100_000, GOOD.encode()[:-20], b"PK\x03\x04", GOOD.encode() * 2],
    ids=["empty", "blank", "text", "not-utf-8", "open", "deep", "cut", "zip", "twice"],
)  # fmt: skip
def test_bad_input_78_no_json(data: bytes) -> None:
    assert "no JSON in UTF-8" in refused(data)


@pytest.mark.parametrize("data", ["null", "3", '"text"', "[]", "{}", "true"])
def test_bad_input_78_json_but_no_roster(data: str) -> None:
    assert refused(data).startswith("the roster cannot be used: ")


@pytest.mark.parametrize("key", ["federation", "serial", "members", "signature"])
def test_bad_input_78_a_key_is_missing(key: str) -> None:
    assert key in refused(changed(lambda table: table.pop(key)))


@pytest.mark.parametrize("key", ["surplus", "not_after", "Signature"])
def test_bad_input_78_a_key_too_many(key: str) -> None:
    assert key in refused(changed(lambda table: table.update({key: 1})))
    assert key in refused(changed(lambda table: table["members"][0].update({key: 1})))


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace('"serial": 7', '"serial": 7, "serial": 7'),
        GOOD.replace('"serial": 7', '"serial": 6, "serial": 7'),
        GOOD.replace('"name": "client-1"', '"name": "client-9", "name": "client-1"'),
        GOOD.replace('"revoked": false', '"revoked": true, "revoked": false', 1),
    ],
    ids=["same", "another", "name", "revoked"],
)
def test_bad_input_78_a_json_key_stands_twice(text: str) -> None:
    """Two readers must not see two rosters."""
    assert text != GOOD
    assert "no JSON" in refused(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("federation", 1), ("federation", None), ("serial", "7"), ("serial", 7.0), ("serial", True), ("serial", 0),
        ("serial", 2**32), ("not-after", -1), ("not-after", "never"), ("members", []), ("members", {}),
        ("members", "all"), ("signature", ""), ("signature", "00" * 63), ("signature", "GG" * 64),
        ("signature", None), ("federation", "two words"), ("federation", ""),
    ],
)  # fmt: skip
def test_bad_input_78_a_value_of_another_kind(key: str, value: Any) -> None:
    refused(changed(lambda table: table.update({key: value})))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", ""), ("name", 1), ("name", "a b"), ("name", "x" * 65), ("key", ""), ("key", "00"), ("key", None),
        ("key", "00" * 32), ("key", "FF" * 32), ("key", MEMBERS[0].key.hex().upper()), ("key", "ff" * 32),
        ("revoked", 0), ("revoked", "no"), ("revoked", None),
    ],
)  # fmt: skip
def test_bad_input_78_a_member_of_another_kind(key: str, value: Any) -> None:
    refused(changed(lambda table: table["members"][0].update({key: value})))


def test_bad_input_78_a_name_or_a_key_stands_twice() -> None:
    for key in ("name", "key"):
        text = changed(lambda table, key=key: table["members"][1].update({key: table["members"][0][key]}))
        assert f"a {key} stands twice" in refused(text)


def test_bad_input_78_too_few_members() -> None:
    assert "members of the roster" in refused(changed(lambda table: table["members"].pop()))


@pytest.mark.parametrize("signature", ["00" * 64, "ff" * 64])
def test_bad_input_78_unsigned(signature: str) -> None:
    said = refused(changed(lambda table: table.update(signature=signature)), NotAuthentic)
    assert "compare fingerprints" in said


def test_bad_input_78_signed_by_somebody_else() -> None:
    refused(roster_text(ROSTER, signing_key("somebody else")), NotAuthentic)
    with pytest.raises(NotAuthentic):
        parse_roster(GOOD.encode(), signing_key("somebody else").public)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.update(federation="another"),
        lambda table: table.update(serial=8),
        lambda table: table.update({"not-after": 0}),
        lambda table: table["members"][2].update(name="client-9"),
        lambda table: table["members"][2].update(key=signing_key("new").public.hex()),
        lambda table: table["members"][2].update(revoked=True),
        lambda table: table["members"].reverse(),
        lambda table: table["members"].append({"name": "new", "key": signing_key("new").public.hex()}),
    ],
    ids=["federation", "serial", "not-after", "name", "key", "revoked", "order", "added"],
)
def test_bad_input_78_changed_after_it_was_signed(change: Callable[[dict[str, Any]], object]) -> None:
    refused(changed(change), NotAuthentic)


def test_bad_input_78_revoked_and_expired_are_for_whoever_asks() -> None:
    """The file is a roster all the same: numbers do not move, and the caller has the clock."""
    table = json.loads(GOOD)
    table["members"][1]["revoked"] = True
    roster = parsed(resigned(table))
    with pytest.raises(NotAuthentic, match="revoked"):
        roster.number_of(MEMBERS[1].key)
    assert roster.number_of(MEMBERS[2].key) == 3
    with pytest.raises(NotAuthentic, match="expired"):
        roster.check_time(2_000_000_001)


def test_bad_input_78_longer_than_any_roster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_file, "MOST_BYTES", len(GOOD))
    assert parsed(GOOD) == ROSTER
    assert "longer than" in refused(GOOD + " ")


def test_refusals_repeat_nothing_of_the_file() -> None:
    """A wrong file may be anything, a private key for one."""
    secret = "MC4CAQAwBQYDK2VwBCIEIOq"
    for text in (secret, json.dumps({"key": secret}), changed(lambda table: table.update(signature=secret))):
        assert secret not in refused(text)


def test_the_digest_of_a_parsed_roster_is_that_of_the_signed_one() -> None:
    assert parsed(GOOD).digest == ROSTER.digest
    assert dataclasses.replace(ROSTER, serial=8).digest != ROSTER.digest


def test_bad_input_78_a_key_too_many_is_named_on_one_printable_line() -> None:
    for key in ("revok\x7fd", "\x1b[31m\n", "x" * 10**6):
        table = json.dumps({"federation": "f", "serial": 1, "members": [], "signature": "0" * 128, key: 1})
        with pytest.raises(RosterUnusable) as caught:
            parse_roster(table.encode(), bytes(32))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300
