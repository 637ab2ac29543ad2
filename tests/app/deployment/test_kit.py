"""A kit that is incomplete, readable by others, forged or out of date starts nothing (bad inputs 78, 79, 86)."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.deployment.kit import NodeKit, ServerKit, address_of, port_of
from arithmetic.errors import ChorusError, ConfigError
from secagg.primitives import SigningKey

DAY = 86_400


def _break(path: Path) -> None:
    path.write_bytes(b"nonsense")


def _table(path: Path, change: Callable[[dict], None]) -> None:
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def _encrypted(path: Path) -> None:
    path.write_bytes(SigningKey.generate(os.urandom).to_pem(b"passphrase"))


def _p256(path: Path) -> None:
    path.write_bytes((path.parent.parent.parent / "authority" / "ca.key").read_bytes())


SPOILED = [
    ("identity.pem", Path.unlink, "CONFIG", "identity.pem is missing"),
    ("identity.pem", lambda path: path.chmod(0o644), "ENV", "can be read by others"),
    ("identity.pem", _break, "CONFIG", "identity.pem: no private key"),
    ("identity.pem", _encrypted, "CONFIG", "identity.pem: no private key"),
    ("identity.pem", _p256, "CONFIG", "not of Ed25519"),
    (
        "identity.pem",
        lambda path: path.write_bytes(SigningKey.generate(os.urandom).to_pem()),
        "AUTH",
        "not in the roster",
    ),
    ("node.key", lambda path: path.chmod(0o640), "ENV", "can be read by others"),
    ("node.key", _break, "CONFIG", "node.key is no ECDSA key"),
    ("node.key", Path.unlink, "CONFIG", "node.key is missing"),
    ("ca.crt", Path.unlink, "CONFIG", "ca.crt is missing"),
    ("policy.toml", Path.unlink, "CONFIG", "policy.toml is missing"),
    (
        "node.env",
        lambda path: path.write_text("CHORUS_DATA=x\n"),
        "CONFIG",
        "says nothing of CHORUS_SUPERLINK",
    ),
    ("authority.pub", lambda path: path.write_text("0" * 64), "CONFIG", "name two authorities"),
    ("authority.pub", _break, "CONFIG", "no authority's public key"),
    ("roster.json", Path.unlink, "CONFIG", "roster.json is missing"),
    ("roster.json", _break, "CONFIG", "no JSON"),
    ("roster.json", lambda path: path.write_text(""), "CONFIG", "no JSON"),
    ("roster.json", lambda path: _table(path, lambda t: t.pop("signature")), "CONFIG", "signature"),
    ("roster.json", lambda path: _table(path, lambda t: t.update(signature="0" * 128)), "AUTH", "signature"),
    ("roster.json", lambda path: _table(path, lambda t: t.update(serial=2)), "AUTH", "signature"),
    (
        "roster.json",
        lambda path: _table(path, lambda t: t["members"][1].update(key=t["members"][0]["key"])),
        "CONFIG",
        "stands twice",
    ),
]


@pytest.mark.parametrize(("file", "spoil", "code", "complaint"), SPOILED)
def test_a_spoiled_node_kit_is_refused_in_one_line(
    federation: Path, file: str, spoil: Callable[[Path], None], code: str, complaint: str
) -> None:
    folder = federation / "nodes" / "hospital-1"
    spoil(folder / file)
    with pytest.raises(ChorusError, match=complaint) as caught:
        NodeKit.open(folder, time.time())
    assert caught.value.code == code
    assert "\n" not in caught.value.line


def test_a_roster_expires(made: Path) -> None:
    NodeKit.open(made / "nodes" / "hospital-1", time.time() + 29 * DAY)
    with pytest.raises(ChorusError, match="the roster has expired"):
        NodeKit.open(made / "nodes" / "hospital-1", time.time() + 31 * DAY)


@pytest.mark.parametrize(
    ("file", "spoil", "complaint"),
    [
        ("server.key", Path.unlink, "server.key is missing"),
        ("server.key", lambda path: path.chmod(0o644), "can be read by others"),
        ("superexec.secret", lambda path: path.chmod(0o604), "can be read by others"),
        ("server.crt", _break, "no certificate in PEM"),
        ("nodes/hospital-2.pub", _break, "no public key of a SuperNode"),
        ("server.env", lambda path: path.write_text(path.read_text().replace("8000", "80000")), "no port"),
    ],
)
def test_a_spoiled_server_kit_is_refused_in_one_line(
    federation: Path, file: str, spoil: Callable[[Path], None], complaint: str
) -> None:
    spoil(federation / "server" / file)
    with pytest.raises(ChorusError, match=complaint):
        ServerKit.open(federation / "server", time.time())


def test_a_server_certificate_expires_and_so_the_server_does_not_start(made: Path) -> None:
    with pytest.raises(ChorusError, match=r"expired.*--renew"):
        ServerKit.open(made / "server", time.time() + 31 * DAY)


def test_addresses() -> None:
    assert address_of("fl.example.org:8000") == ("fl.example.org", 8000)
    assert address_of("[::1]:1") == ("::1", 1)
    for text in ("fl.example.org", ":1", "a:0", "a:65536", "a:x", "a:²"):
        with pytest.raises(ConfigError):
            address_of(text)
    assert port_of("65535") == 65535
