"""Certificates that serve, and those that must not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flwr.cli.supernode.register import try_load_public_key
from flwr.supercore.primitives.asymmetric import uses_nist_ec_curve

from app.deployment import certificates
from app.deployment.certificates import check_server, make_ca, make_node_key, make_server_certificate
from arithmetic.errors import ConfigError, SetupError

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_server_certificate_serves_for_its_days_and_no_longer() -> None:
    ca = make_ca("f", NOW)
    server = make_server_certificate(ca, ["fl.example.org", "10.0.0.7"], NOW, 10)
    end = check_server(server.public, server.private, ca.public, NOW)
    assert end == NOW + timedelta(days=10)
    with pytest.raises(SetupError, match=r"expired on 2030-01-11.*--renew"):
        check_server(server.public, server.private, ca.public, end)
    with pytest.raises(SetupError, match="valid from"):
        check_server(server.public, server.private, ca.public, NOW - timedelta(days=1))


def test_files_that_do_not_belong_together_are_refused() -> None:
    ca, other = make_ca("f", NOW), make_ca("f", NOW)
    server = make_server_certificate(ca, ["a"], NOW, 10)
    with pytest.raises(SetupError, match="not issued by the CA"):
        check_server(server.public, server.private, other.public, NOW)
    with pytest.raises(SetupError, match="not the key of"):
        check_server(server.public, other.private, ca.public, NOW)
    with pytest.raises(ConfigError, match="no certificate in PEM"):
        check_server(b"x", server.private, ca.public, NOW)


@pytest.mark.parametrize(
    "host", ["", "a b", "-a", "a..b", "ä.org", "https://a.org", "a" * 64, "10.0.0.256/8"]
)
def test_what_is_no_host_is_named(host: str) -> None:
    with pytest.raises(ConfigError, match="no host name and no address"):
        make_server_certificate(make_ca("f", NOW), [host], NOW, 1)


def test_a_node_key_is_what_flower_registers(tmp_path: Path) -> None:
    key = make_node_key()
    (tmp_path / "node.pub").write_bytes(key.public)
    as_flower_reads_it = try_load_public_key(tmp_path / "node.pub")
    assert as_flower_reads_it == certificates.check_node_public(key.public)
    assert certificates.public_of_node_key(key.private) == as_flower_reads_it
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    assert uses_nist_ec_curve(load_ssh_public_key(key.public))


def test_other_keys_are_refused_as_node_keys() -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    smaller = (
        generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    )
    for line in (smaller, b"", b"ssh-ed25519 AAAA", b"\xff"):
        with pytest.raises(ConfigError, match=r"P-384|public key"):
            certificates.check_node_public(line)
    with pytest.raises(ConfigError, match=r"node\.key is no ECDSA key"):
        certificates.public_of_node_key(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")


def test_a_pair_hides_its_private_half() -> None:
    key = make_node_key()
    assert repr(key) == "Pair(<secret>)"
