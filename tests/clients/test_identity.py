"""The node's identity, numbered as in the list of bad inputs (79): which files are trusted, what is said of others."""

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flwr.app import Context, RecordDict

from app.simulated_roster import lay_identities
from clients import identity
from clients.identity import IdentityUnusable, load_key, load_roster, signatory_of
from secagg.errors import NotAuthentic
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from tests.support.cohort import signing_key
from wire.roster_file import RosterUnusable, roster_text

AUTHORITY = signing_key("authority")
OWN = signing_key("own")
MEMBERS = (
    Member("first", signing_key("first").public),
    Member("own", OWN.public),
    Member("third", signing_key("third").public),
)
ROSTER = Roster("federation", 1, 0, MEMBERS)


def written(path: Path, data: bytes | str, mode: int = 0o600) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)
    return path


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The node config of a member."""
    monkeypatch.delenv(identity.PASSPHRASE, raising=False)
    return {
        "identity-key": str(written(tmp_path / "own.pem", OWN.to_pem())),
        "roster": str(written(tmp_path / "roster.json", roster_text(ROSTER, AUTHORITY), 0o644)),
        "roster-authority": AUTHORITY.public.hex(),
    }


def context(node: dict[str, Any], run: dict[str, Any] | None = None) -> Context:
    return Context(1, 2, node, RecordDict(), run or {})


def refused(node: dict[str, Any], kind: type[Exception] = IdentityUnusable) -> str:
    with pytest.raises(kind) as caught:
        signatory_of(context(node))
    said = str(caught.value)
    assert "\n" not in said
    assert "PRIVATE" not in said
    return said


def lacking(said: str) -> list[str]:
    """The keys that a refusal says are missing."""
    return said.partition("lacks ")[2].split(", ")


def test_a_member_finds_its_place(kit: dict[str, str]) -> None:
    found = signatory_of(context(kit))
    assert found is not None
    assert found.number == 2
    assert found.roster == ROSTER


def test_a_node_that_names_no_roster_has_no_place() -> None:
    assert signatory_of(context({})) is None
    assert signatory_of(context({"data-path": "/data"}, {"roster": "/r", "run-dir": "/d"})) is None
    assert signatory_of(context({"identity-key": "", "roster": "", "roster-authority": ""})) is None


@pytest.mark.parametrize("given", [("identity-key",), ("roster",), ("roster-authority",)])
def test_bad_input_79_half_the_keys(kit: dict[str, str], given: tuple[str, ...]) -> None:
    only = refused({key: kit[key] for key in given})
    without = refused({key: value for key, value in kit.items() if key not in given})
    for key in kit:
        assert (key in lacking(only)) is (key not in given)
        assert (key in lacking(without)) is (key in given)


@pytest.mark.parametrize("key", ["identity-key", "roster"])
@pytest.mark.parametrize("path", ["own.pem", "./own.pem", "~/own.pem"])
def test_bad_input_79_a_relative_path(kit: dict[str, str], key: str, path: str) -> None:
    assert "is not absolute" in refused(kit | {key: path})


@pytest.mark.parametrize("key", ["identity-key", "roster"])
def test_bad_input_79_no_file_or_no_regular_one(kit: dict[str, str], key: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "nothing", tmp_path, tmp_path / "pipe"):
        assert "there is no " in refused(kit | {key: str(path)})


@pytest.mark.parametrize("key", ["identity-key", "roster"])
def test_bad_input_79_a_file_that_cannot_be_read(
    kit: dict[str, str], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may read everything, so the refusal of the system is put there by hand."""
    plain = Path.open

    def closed(path: Path, *arguments: Any, **named: Any) -> Any:
        if str(path) == kit[key]:
            raise PermissionError(13, "Permission denied")
        return plain(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", closed)
    assert "cannot be read (Permission denied)" in refused(kit)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o666, 0o601, 0o610, 0o777])
def test_bad_input_79_a_key_that_others_can_read(kit: dict[str, str], mode: int) -> None:
    Path(kit["identity-key"]).chmod(mode)
    assert "can be read by others" in refused(kit)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_of_its_owner_alone_is_taken(kit: dict[str, str], mode: int) -> None:
    Path(kit["identity-key"]).chmod(mode)
    assert signatory_of(context(kit)) is not None


def test_bad_input_79_a_key_of_another_user(kit: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(kit["identity-key"]).st_uid + 1)
    assert "not this user's" in refused(kit)


@pytest.mark.parametrize("kind", ["x25519", "p256"])
def test_bad_input_79_a_key_of_another_curve(kit: dict[str, str], kind: str) -> None:
    other = (
        x25519.X25519PrivateKey.generate() if kind == "x25519" else ec.generate_private_key(ec.SECP256R1())
    )
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    written(Path(kit["identity-key"]), pem)
    assert "not of Ed25519" in refused(kit)


def test_bad_input_79_an_encrypted_key(kit: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    written(Path(kit["identity-key"]), OWN.to_pem(b"open sesame"))
    assert "CHORUS_IDENTITY_PASSPHRASE" in refused(kit)
    monkeypatch.setenv(identity.PASSPHRASE, "wrong")
    assert "wrong" not in refused(kit)
    monkeypatch.setenv(identity.PASSPHRASE, "open sesame")
    assert signatory_of(context(kit)) is not None


@pytest.mark.parametrize("data", [b"", b"\x00" * 50, b"-----BEGIN PRIVATE KEY-----\n", OWN.public])
def test_bad_input_79_a_file_that_is_no_key(kit: dict[str, str], data: bytes) -> None:
    written(Path(kit["identity-key"]), data)
    assert "cannot be used" in refused(kit)


def test_bad_input_79_a_key_file_without_end(kit: dict[str, str]) -> None:
    written(Path(kit["identity-key"]), OWN.to_pem() + b"#" * (1 << 16))
    assert "longer than 65536 bytes" in refused(kit, RosterUnusable)


@pytest.mark.parametrize(
    "authority", ["00", "0" * 63, "0" * 65, "G" * 64, AUTHORITY.public.hex().upper(), " " * 64]
)
def test_bad_input_79_an_authority_that_is_no_key(kit: dict[str, str], authority: str) -> None:
    assert "roster-authority is not 64 hex digits" in refused(kit | {"roster-authority": authority})


def test_bad_input_79_the_roster_of_another_authority(kit: dict[str, str]) -> None:
    said = refused(kit | {"roster-authority": signing_key("stranger").public.hex()}, NotAuthentic)
    assert "not that of the authority" in said


def test_bad_input_78_a_roster_without_this_client_or_with_it_revoked(kit: dict[str, str]) -> None:
    revoked = dataclasses.replace(MEMBERS[1], revoked=True)
    stranger = dataclasses.replace(MEMBERS[1], key=signing_key("stranger").public)
    for member, words in ((revoked, "is revoked"), (stranger, "not in the roster")):
        roster = dataclasses.replace(ROSTER, members=(MEMBERS[0], member, MEMBERS[2]))
        written(Path(kit["roster"]), roster_text(roster, AUTHORITY))
        assert words in refused(kit, NotAuthentic)


def test_bad_input_78_an_expired_roster(kit: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    roster = dataclasses.replace(ROSTER, not_after=1000)
    written(Path(kit["roster"]), roster_text(roster, AUTHORITY))
    monkeypatch.setattr(time, "time", lambda: 999.0)
    assert signatory_of(context(kit)) is not None
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert "expired" in refused(kit, NotAuthentic)


def test_the_run_names_no_files_of_a_node(kit: dict[str, str]) -> None:
    """Whoever submits a run cannot point a real node at a key or a roster."""
    run = kit | {"run-dir": "/tmp"}
    assert signatory_of(context({}, run)) is None
    assert signatory_of(context({"partition-id": 0, "data-path": "/data"}, run)) is None
    with pytest.raises(IdentityUnusable):
        signatory_of(context({"roster": kit["roster"]}, run))


def test_a_simulated_client_takes_its_place_from_the_run_directory(tmp_path: Path) -> None:
    run = {"run-dir": str(tmp_path), **lay_identities(tmp_path, 3)}
    for partition in range(3):
        found = signatory_of(context({"partition-id": partition, "num-partitions": 3}, run))
        assert found is not None
        assert found.number == partition + 1
    with pytest.raises(IdentityUnusable, match="there is no identity key"):
        signatory_of(context({"partition-id": 3, "num-partitions": 4}, run))
    assert signatory_of(context({"partition-id": 0}, run | {"roster": ""})) is None
    assert signatory_of(context({"partition-id": 0}, run | {"run-dir": ""})) is None


def test_a_simulated_node_with_an_identity_of_its_own_keeps_it(kit: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    run = {"run-dir": str(tmp_path / "run"), **lay_identities(tmp_path / "run", 3)}
    found = signatory_of(context(kit | {"partition-id": 0}, run))
    assert found is not None
    assert found.number == 2


def test_the_two_readers_say_what_they_want(kit: dict[str, str]) -> None:
    assert load_key(Path(kit["identity-key"])).public == OWN.public
    assert load_roster(Path(kit["roster"]), kit["roster-authority"]) == ROSTER
    assert isinstance(load_key(Path(kit["identity-key"])), SigningKey)
